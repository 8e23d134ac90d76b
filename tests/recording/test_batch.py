"""A batch: a rollout per prompt and seed, whole or absent, continued where it stopped."""

import json
from pathlib import Path

import pytest

from infrope_env import cli
from infrope_env.folder_lock import PARTIAL
from tests.recording.episodes import lines_of

FOX, FROG = "an orange fox waves hello in a dark cave", "a green frog stands still in a sunny beach"


def run(tmp_path: Path, weights: Path, prompts: str, *options: str) -> int:
    (tmp_path / "prompts.txt").write_text(prompts)
    arguments = ["record", "--prompts", str(tmp_path / "prompts.txt"), "--out", str(tmp_path / "out")]
    return cli.main([*arguments, "--seconds", "1.6", "--weights", str(weights), *options])


def made(tmp_path: Path) -> dict[tuple[str, int], str]:
    """Return the digest of the last block of every rollout, by prompt and seed."""
    found = {}
    for episode in sorted((tmp_path / "out").glob("[!.]*/episode_000")):
        lines, meta = lines_of(episode), json.loads((episode / "meta.json").read_text())
        assert (
            len(lines) == 2
            and meta["closed"]["blocks"] == 2
            and {line["prompt"] for line in lines} == {lines[0]["prompt"]}
        )
        found[lines[0]["prompt"], meta["seed"]] = lines[1]["sha256"]
    return found


def test_every_prompt_is_recorded_with_every_seed_once(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, tiny_weights, f"{FOX}\n\n{FROG}\r\n{FOX}\n", "--seeds", "2", "--seed", "5") == 0
    assert f"4 rollouts of 2 blocks made in {tmp_path / 'out'}, 0 there already" in capsys.readouterr().out
    rollouts = made(tmp_path)
    assert set(rollouts) == {(FOX, 5), (FOX, 6), (FROG, 5), (FROG, 6)} and len(set(rollouts.values())) == 4
    names = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")}
    assert all(len(name) == 14 and name[12] == "-" for name in names)  # no prompt is a name


def test_a_stopped_batch_goes_on_and_makes_the_same(
    tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def stop_in_the_third_rollout(*arguments: int) -> None:
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("infrope_env.cli_batch._print_progress", stop_in_the_third_rollout)
        assert run(tmp_path, tiny_weights, f"{FOX}\n{FROG}", "--seeds", "2") == 130
    assert len(made(tmp_path)) == 2 and calls[-1] == (3, 4, 1, 2)
    before = made(tmp_path)
    assert run(tmp_path, tiny_weights, f"{FOX}\n{FROG}", "--seeds", "2") == 0
    assert "2 rollouts of 2 blocks made" in (output := capsys.readouterr().out) and "2 there already" in output
    after = made(tmp_path)
    assert len(after) == 4 and before.items() <= after.items() and not (tmp_path / "out" / PARTIAL).exists()
    assert run(tmp_path, tiny_weights, FOX, "--seconds", "4") == 2
    assert "has 2 blocks, expected 5. Record the batch to another folder." in capsys.readouterr().err


def test_prompts_that_the_model_cannot_read_are_named_and_the_others_are_made(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, tiny_weights, f"a dragon in a cathedral\n{FROG}") == 2
    assert set(made(tmp_path)) == {(FROG, 0)}
    assert "'dragon'" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("prompts", "options", "sentence"),
    [
        (" \n", [], "expected prompts, one on a line, found none"),
        (FOX, ["--seeds", "0"], "expected --seeds to be at least 1, got 0"),
        (FOX, ["--seconds", "0"], "expected --seconds to be more than 0"),
        (FOX, ["--script", "jump"], "--prompts and --script exclude each other"),
    ],
)
def test_a_batch_that_cannot_begin_is_one_sentence(
    tiny_weights: Path, tmp_path: Path, prompts: str, options: list[str], sentence: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(tmp_path, tiny_weights, prompts, *options) == 2
    assert sentence in capsys.readouterr().err and not (tmp_path / "out").exists()
