"""`infrope/Wan-v0` end to end, on tiny files in the released layouts."""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import infrope_env  # noqa: F401  # registers the worlds
from infrope_env import cli
from infrope_env.errors import WeightsError
from infrope_env.models.options import LoadOptions
from infrope_env.models.resolve import load_model
from infrope_env.models.wan import load as wan_load
from infrope_env.text.encoder import TextEncoderAbsent
from infrope_env.text.lazy import LazyTextEncoder
from infrope_env.text.prompt_cache import PromptCache
from infrope_env.text.prompt_files import default_folder
from tests.models.wan.wan_folder import ACTIONS, FRAME_SIZE, write_wan_folder

pytest.importorskip("diffusers", reason="needs the extra 'wan'")
pytest.importorskip("transformers", reason="needs the extra 'wan'")

ID = "infrope/Wan-v0"
STAND, WALK, CUT_SNOW, CUT_FOREST = range(4)
PICTURE = np.random.default_rng(1).integers(0, 256, (*FRAME_SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Point both caches at a fresh folder."""
    folder = tmp_path_factory.mktemp("caches")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INFROPE_CACHE", str(folder))
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
        yield folder


@pytest.fixture(scope="module")
def folder(caches: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all of Wan; do not write to it."""
    return write_wan_folder(tmp_path_factory.mktemp("wan") / "Wan")


@pytest.fixture(scope="module")
def actions(folder: Path) -> str:
    path = folder.parent / "small.toml"
    path.write_text(ACTIONS)
    return str(path)


@pytest.fixture
def given(folder: Path, actions: str) -> dict[str, Any]:
    """JSON-able arguments of the environment."""
    return {"weights": str(folder), "actions": actions, "device": "cpu", "dtype": "float32"}


def without(folder: Path, tmp_path: Path, *parts: str) -> Path:
    """Copy the folder without some of its entries."""
    copy = tmp_path / "Wan"
    shutil.copytree(folder, copy, ignore=lambda _, names: set(names) & set(parts))
    return copy


def play(env: gymnasium.Env, *actions: int) -> list[bytes]:
    return [env.step(action)[0].tobytes() for action in actions]


# the command


def test_play_goes_from_released_files_to_pixels(folder: Path, actions: str, tmp_path: Path) -> None:
    where = os.environ | {"INFROPE_CACHE": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "infrope_env.cli", "play", "--env", ID, "--weights", str(folder), "--headless"]
    steered = ["--blocks", "3", "--actions", actions, "--script", "walk cut_forest"]
    done = subprocess.run([*command, *steered], env=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.split()[2:4] for line in done.stdout.splitlines()[:3]] == [
        ["reset", "start"],
        ["walk", "switch"],
        ["cut_forest", "cut"],
    ]
    assert any(line.startswith("infrope: encoding prompts: 1 of 1, ") for line in done.stderr.splitlines())
    assert len(list((tmp_path / "prompts").glob("*/*.safetensors"))) >= 3


def test_a_recording_names_every_file_and_is_made_again(
    folder: Path, actions: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = ["--env", ID, "--weights", str(folder), "--actions", actions, "--seed", "3"]
    out = tmp_path / "rollouts"
    assert cli.main(["record", *world, "--script", "walk stand cut_forest", "--out", str(out)]) == 0
    meta = json.loads((out / "episode_000" / "meta.json").read_text())
    assert {name.rsplit("/")[0] for name in meta["made_with"]["weights"]} == {
        *("generator", "decoder", "vae", "text_encoder", "settings")
    }
    assert all(len(digest) == 64 for digest in meta["made_with"]["weights"].values())
    assert "diffusers" in meta["made_with"]["versions"]
    assert cli.main(["replay", str(out / "episode_000"), "--verify"]) == 0
    assert "every block is the same" in capsys.readouterr().out


def test_a_storyboard_s_prompts_are_encoded_and_its_cut_is_made(
    folder: Path, actions: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = tmp_path / "board.txt"
    board.write_text("the fox in snow[0.75s] | a fox at dawn[0.75s#]")
    world = ["--env", ID, "--weights", str(folder), "--actions", actions, "--storyboard", str(board)]
    assert cli.main(["play", "--headless", *world]) == 0
    assert [line.split()[-3] for line in capsys.readouterr().out.splitlines()[:2]] == ["start", "cut"]


# the environment


def test_it_keeps_gymnasium_s_contract(given: dict[str, Any]) -> None:
    env = gymnasium.make(ID, disable_env_checker=True, max_blocks=3, **json.loads(json.dumps(given)))
    check_env(env.unwrapped, skip_render_check=True)
    assert env.observation_space.shape == (12, *FRAME_SIZE, 3) and env.spec.to_json()


@pytest.mark.parametrize("decoder", ["taew2_1", "wan_vae"])
def test_a_state_saved_in_midstream_has_one_future(given: dict[str, Any], decoder: str) -> None:
    env = gymnasium.make(ID, decoder=decoder, **given).unwrapped
    env.reset(seed=5)
    play(env, WALK)
    state = env.save_state()
    future = play(env, CUT_FOREST, STAND)
    env.restore_state(state)
    assert play(env, CUT_FOREST, STAND) == future
    assert len(set(future)) == 2


@pytest.mark.parametrize("decoder", ["taew2_1", "wan_vae"])
def test_offload_changes_no_pixel(given: dict[str, Any], decoder: str) -> None:
    plain, offloaded = (gymnasium.make(ID, decoder=decoder, offload=how, **given).unwrapped for how in (False, True))
    for env in (plain, offloaded):
        env.reset(seed=5)
    assert type(offloaded.model.decoder).__name__ == "OffloadedDecoder"
    assert play(offloaded, WALK, CUT_FOREST) == play(plain, WALK, CUT_FOREST)
    state = offloaded.save_state()
    future = play(offloaded, STAND)
    offloaded.restore_state(state)
    assert play(offloaded, STAND) == future


def test_a_compiled_model_is_another_one_and_the_plain_one_stays(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[Any] = []
    monkeypatch.setattr("infrope_env.models.compile.missing_for_compiling", lambda device: None)
    monkeypatch.setattr("infrope_env.env.compile_model", lambda model, rollout: compiled.append(model))
    plain = gymnasium.make(ID, **given).unwrapped.model
    assert compiled == []
    model = gymnasium.make(ID, compile=True, **given).unwrapped.model
    assert model is compiled[0] and (plain.compiled, model.compiled) == (False, True)
    assert model.transformer is not plain.transformer and model.decoder is not plain.decoder


def test_a_decoder_state_belongs_to_the_saved_state(given: dict[str, Any]) -> None:
    env, other = (gymnasium.make(ID, decoder=name, **given).unwrapped for name in ("taew2_1", "wan_vae"))
    env.reset(seed=5)
    other.reset(seed=5)
    assert env.model.transformer is not other.model.transformer or env.model is not other.model
    with pytest.raises(ValueError, match="expected a state of the same weights"):
        other.restore_state(env.save_state())


def test_a_rollout_begins_from_a_picture_that_the_full_vae_encodes(given: dict[str, Any], tmp_path: Path) -> None:
    env = gymnasium.make(ID, **given).unwrapped
    _, info = env.reset(seed=5, options={"image": PICTURE})
    assert info["num_frames"] == 9 and info["transition"] == "start"
    ahead = env.step(WALK)[0]
    env.reset(seed=5, options={"image": 255 - PICTURE})
    assert not np.array_equal(env.step(WALK)[0], ahead)
    bare = without(Path(given["weights"]), tmp_path, "vae")
    env = gymnasium.make(ID, **given | {"weights": str(bare)}).unwrapped
    with pytest.raises(ValueError, match=r"has no encoder: .* Run 'infrope weights wan-vae --download'\."):
        env.reset(options={"image": PICTURE})


# text


def test_play_begins_after_the_start_prompt_and_the_others_are_encoded_meanwhile(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("INFROPE_CACHE", str(tmp_path))
    caplog.set_level(logging.INFO)
    wan_load._load.cache_clear()
    seen: list[tuple[int, bool]] = []
    loaded = spy_on_encoders(monkeypatch)

    def read(*arguments: Any) -> Any:
        seen.append((len(list(default_folder().glob("*/*"))), any(encoder.loaded for encoder in loaded)))
        return read_generator(*arguments)

    read_generator = wan_load.read_generator
    monkeypatch.setattr(wan_load, "read_generator", read)
    env = gymnasium.make(ID, **given)
    assert seen == [(1, False)] and len(loaded) == 1 and kept() == 1
    assert "encoding prompts: 1 of 1" in caplog.text
    env.reset(seed=0)
    wait_until(lambda: kept() == 4)
    assert "encoding prompts while you play: 3 of 3" in caplog.text
    play(env, WALK, CUT_FOREST, STAND)
    assert len(loaded) == 1  # no new prompt, so play never waits for it


def kept() -> int:
    return len(list(default_folder().glob("*/*.safetensors")))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_prompt_that_is_not_encoded_yet_is_encoded_at_once_and_plays_the_same(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    pixels = []
    for ahead in (True, False):
        monkeypatch.setenv("INFROPE_CACHE", str(tmp_path / str(ahead)))
        wan_load._load.cache_clear()
        if not ahead:
            monkeypatch.setattr(PromptCache, "encode_in_background", lambda *_: None)
        env = gymnasium.make(ID, **given)
        env.reset(seed=0)
        if ahead:
            wait_until(lambda: kept() == 4)
        caplog.clear()
        pixels.append(play(env, WALK, CUT_FOREST))
        assert ("encoding prompts: 0 of 1" in caplog.text) == (not ahead) and kept() == (4 if ahead else 3)
    assert pixels[0] == pixels[1]


def test_closing_stops_encoding_ahead_and_the_next_reset_goes_on(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFROPE_CACHE", str(tmp_path))
    wan_load._load.cache_clear()
    env = gymnasium.make(ID, **given).unwrapped
    with env.model.text_encoder.turns.urgent():  # nothing is encoded ahead
        env.reset(seed=0)
        assert env._prompt_cache._background.active
        env.close()
        assert not env._prompt_cache._background.active and kept() == 1
        env.reset(seed=0)
    wait_until(lambda: kept() == 4)
    env.close()


def test_a_prompt_that_is_too_long_says_so_once(given: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    env = gymnasium.make(ID, **given).unwrapped
    env.reset(seed=2)
    for _ in range(2):
        env.set_prompt("a fox at dawn " * 200)
        env.step(STAND)
    (sentence,) = [message for message in caplog.messages if "is cut" in message]
    assert "it has 800 tokens, the text encoder reads the first 511" in sentence


def spy_on_encoders(monkeypatch: pytest.MonkeyPatch) -> list[LazyTextEncoder]:
    """Record every encoder that loads its weights, once per load."""
    loaded: list[LazyTextEncoder] = []
    call = LazyTextEncoder.__call__

    def ask(self: LazyTextEncoder, *arguments: Any) -> Any:
        loaded.extend([] if self.loaded else [self])
        return call(self, *arguments)

    monkeypatch.setattr(LazyTextEncoder, "__call__", ask)
    return loaded


def test_without_an_encoder_kept_prompts_play_and_new_ones_are_refused(given: dict[str, Any], tmp_path: Path) -> None:
    with_encoder = gymnasium.make(ID, **given)
    with_encoder.reset(seed=2)
    bare = without(Path(given["weights"]), tmp_path, "text_encoder", "tokenizer")
    env = gymnasium.make(ID, **given | {"weights": str(bare)})
    env.reset(seed=2)
    assert play(env, WALK, CUT_FOREST) == play(with_encoder, WALK, CUT_FOREST)
    with pytest.raises(TextEncoderAbsent, match=r"has embeddings but no text encoder.*Take a prompt used before"):
        env.unwrapped.set_prompt("a dragon")
    assert env.step(STAND)[-1]["transition"] == "switch"  # play goes on


def test_an_encoder_that_is_switched_off_refuses_in_one_sentence(given: dict[str, Any]) -> None:
    env = gymnasium.make(ID, text_device="refuse", **given).unwrapped
    env.reset(seed=2)
    with pytest.raises(TextEncoderAbsent, match="switched off"):
        env.set_prompt("a dragon")


def test_a_new_prompt_loads_the_encoder_again(given: dict[str, Any]) -> None:
    env = gymnasium.make(ID, text_device="cpu", **given).unwrapped
    env.reset(seed=2)
    env.set_prompt("a fox at dawn", cut=True)
    assert env.step(STAND)[-1]["transition"] == "cut"
    assert not env.model.text_encoder.loaded


# missing parts


@pytest.mark.parametrize(
    ("lacking", "more", "sentence"),
    [
        (["ema_model.pt"], {}, r"holds no generator: expected generator.safetensors or .*ema_model\.pt.*--download"),
        (
            ["taew2_1.pth"],
            {"decoder": "taew2_1"},
            r"No decoder taew2_1 .*'infrope weights taew2_1 --download', or pass",
        ),
        (["vae"], {"decoder": "wan_vae"}, r"No decoder wan_vae .*Wan2.1_VAE.pth.*'infrope weights wan-vae --download'"),
        (["taew2_1.pth", "vae"], {}, r"No decoder taew2_1 .*'infrope weights taew2_1 --download'\."),
        (["tokenizer"], {}, r"tokenizer\.json is missing.*'infrope weights umt5-xxl --download'"),
        ([], {"decoder": "nothing"}, r"No decoder 'nothing': expected taew2_1 or wan_vae, or the path"),
        ([], {"text_dtype": "float8"}, r"expected the text encoder's dtype to be one of bfloat16"),
    ],
)
def test_each_missing_part_is_one_sentence(
    given: dict[str, Any], tmp_path: Path, lacking: list[str], more: dict[str, str], sentence: str
) -> None:
    bare = without(Path(given["weights"]), tmp_path, *lacking)
    with pytest.raises(ValueError, match=sentence):
        gymnasium.make(ID, **given | {"weights": str(bare)} | more)


def test_without_encoder_and_embeddings_the_error_names_the_command(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INFROPE_CACHE", str(tmp_path / "empty"))
    bare = without(Path(given["weights"]), tmp_path, "text_encoder", "tokenizer")
    with pytest.raises(
        WeightsError, match=r"No text encoder in .*Run 'infrope weights umt5-xxl --download' \(11\.4 GB"
    ):
        gymnasium.make(ID, **given | {"weights": str(bare)})


def test_settings_of_wan_are_not_for_a_world_folder(tiny_weights: Path) -> None:
    with pytest.raises(WeightsError, match="text_device='cpu' is for Wan"):
        gymnasium.make("infrope/PocketWorld-v0", weights=str(tiny_weights), text_device="cpu")


# loading


def test_it_is_loaded_once_in_a_process_and_again_when_a_file_changes(given: dict[str, Any], tmp_path: Path) -> None:
    copy = without(Path(given["weights"]), tmp_path)
    first, second = (gymnasium.make(ID, **given | {"weights": str(copy)}).unwrapped.model for _ in range(2))
    assert first is second
    os.utime(copy / "ema_model.pt", ns=(1, 1))
    assert gymnasium.make(ID, **given | {"weights": str(copy)}).unwrapped.model is not first


@pytest.mark.parametrize(
    "other",
    [
        {"decoder": "wan_vae"},
        {"dtype": "bfloat16"},
        {"text_device": "refuse"},
        {"text_dtype": "int8"},
        {"offload": True},
        {"compile": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_model_is_shared_under_the_same_options_only(
    folder: Path, other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrope_env.models.compile.missing_for_compiling", lambda device: None)
    options = LoadOptions(device="cpu", dtype="float32")
    first = load_model(folder, options)
    assert load_model(folder, LoadOptions(device="cpu", dtype="float32")) is first
    changed = load_model(folder, replace(options, **other))
    assert changed is not first and changed.transformer is not first.transformer
    assert load_model(folder, options) is first


def test_the_full_vae_decodes_where_taew2_1_is_not(given: dict[str, Any], tmp_path: Path) -> None:
    bare = without(Path(given["weights"]), tmp_path, "taew2_1.pth")
    model = gymnasium.make(ID, **given | {"weights": str(bare)}).unwrapped.model
    assert type(model.decoder).__name__ == "WanVAE" and model.encoder is model.decoder


def test_the_layout_of_wan_s_own_repository_plays(actions: str, tmp_path: Path) -> None:
    folder = write_wan_folder(tmp_path / "Wan", original=True)
    env = gymnasium.make(ID, weights=str(folder), actions=actions, device="cpu", dtype="float32", decoder="wan_vae")
    env.reset(seed=0)
    assert env.step(CUT_SNOW)[-1]["transition"] == "cut"
    assert {name for name in env.unwrapped.model.sha256 if "/" in name} == {
        "generator/ema_model.pt",  # and not the other model's diffusion_pytorch_model.safetensors
        "decoder/Wan2.1_VAE.pth",
        "vae/Wan2.1_VAE.pth",
        "text_encoder/models_t5_umt5-xxl-enc-bf16.pth",
        "text_encoder/tokenizer.json",
        "settings/infrope.json",
    }


def test_a_generator_is_loaded_in_fp8_and_never_in_int8(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match="precision='int8' is for world folders"):
        load_model(folder, LoadOptions(device="cpu", dtype="float32", precision="int8"))
    monkeypatch.setattr("infrope_env.models.options.multiplies_fp8", lambda device: True)
    plain, rounded = (
        load_model(folder, LoadOptions(device="cpu", dtype="bfloat16", precision=precision))
        for precision in ("float", "fp8")
    )
    assert (plain.precision, rounded.precision) == ("float", "fp8")
    dtypes = [{each.dtype for each in model.transformer.blocks.parameters()} for model in (plain, rounded)]
    assert dtypes == [{torch.bfloat16}, {torch.bfloat16, torch.float32, torch.float8_e4m3fn}]
