"""A LoRA of the user's own in `infrope/Wan-v0`, from the command line to the replay of a recording."""

import json
from pathlib import Path

import pytest

from infrope_env import cli
from infrope_env.recording import known_weights
from infrope_env.tensor_files import sha256_of
from tests.models.wan.released_files import small_lora, write
from tests.models.wan.wan_folder import ACTIONS, write_wan_folder
from tests.recording.episodes import lines_of

pytest.importorskip("diffusers", reason="needs the extra 'wan'")
pytest.importorskip("transformers", reason="needs the extra 'wan'")

ID = "infrope/Wan-v0"


def test_a_recording_with_a_lora_asks_for_the_same_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("INFROPE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    folder, actions = write_wan_folder(tmp_path / "Wan"), tmp_path / "small.toml"
    actions.write_text(ACTIONS)
    partial = {n.removeprefix("base_model.model."): v for n, v in small_lora().items() if "blocks.1." in n}
    lora = write(tmp_path / "mine.safetensors", {f"diffusion_model.{name}": value for name, value in partial.items()})
    world = ["--env", ID, "--weights", str(folder), "--actions", str(actions), "--seed", "3", "--blocks", "2"]
    for out, more in (("plain", []), ("merged", ["--lora", str(lora)])):
        assert cli.main(["record", *world, *more, "--steps", "1000,500", "--out", str(tmp_path / out)]) == 0
    plain, merged = (lines_of(tmp_path / out / "episode_000") for out in ("plain", "merged"))
    assert plain[0]["sha256"] != merged[0]["sha256"]
    made_with = json.loads((tmp_path / "merged/episode_000/meta.json").read_text())["made_with"]
    assert made_with["weights"]["lora/mine.safetensors"] == sha256_of(lora)
    assert made_with["sampler"] == "Sampler(steps=(1000, 500), shift=5.0)"
    replay = ["replay", str(tmp_path / "merged/episode_000"), "--verify"]
    assert cli.main(replay) == 0
    monkeypatch.setattr(known_weights, "_used_loras", {})  # as in another process
    assert cli.main(replay) == 2 and "made with the LoRA" in capsys.readouterr().err
    assert cli.main([*replay, "--lora", str(lora)]) == 0
    plain_replay = ["replay", str(tmp_path / "plain/episode_000"), "--verify"]
    assert cli.main([*plain_replay, "--lora", str(lora)]) == 3
    assert "lora/mine.safetensors is not the file" in capsys.readouterr().out
