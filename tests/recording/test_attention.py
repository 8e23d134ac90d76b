"""Attention mass in the log: the numbers of every block, which change no pixel, and logs without them."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from infrope_env import cli
from infrope_env.dynamics.attention_mass import AttentionProbe
from infrope_env.dynamics.cache import LayerContext
from infrope_env.env import InfinityRopeEnv
from infrope_env.player.inspection import measure_attention
from infrope_env.recording.reader import Recording
from infrope_env.recording.verification import verify
from infrope_env.recording.wrapper import RecordRollout
from tests.env_play import play
from tests.recording.episodes import edit_log, lines_of
from tests.recording.test_log_table import schemas

SCRIPT = "walk_right*3 jump cut_desert stand"


def recorded(weights: Path, folder: Path, *more: str) -> Path:
    arguments = ["record", "--out", str(folder), "--script", SCRIPT, "--seed", "3", "--headless", "--device", "cpu"]
    assert cli.main([*arguments, "--weights", str(weights), *more]) == 0
    return folder / "episode_000"


def test_every_block_has_its_attention_mass_and_the_same_pixels(
    tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = recorded(tiny_weights, tmp_path / "plain")
    measured = recorded(tiny_weights, tmp_path / "measured", "--attention")
    assert [line["sha256"] for line in lines_of(plain)] == [line["sha256"] for line in lines_of(measured)]
    assert all("attention" not in line for line in lines_of(plain))
    attention = [line["attention"] for line in lines_of(measured)]
    assert attention[0]["frames"] == attention[0]["coordinates"] == [0, 1, 2]
    assert attention[3]["frames"] == [0, 7, 8, 9, 10, 11]
    assert (attention[4]["frames"], attention[4]["coordinates"]) == ([0, 11, 12, 13, 14], [0, 1, 2, 3, 4])  # flush
    assert attention[5]["coordinates"] == [0, 1, 45, 46, 47]  # cut
    assert all(sum(each["mass"]) == pytest.approx(1, abs=1e-4) for each in attention)
    assert all(len(each["mass"]) == len(each["frames"]) for each in attention)


def test_a_log_with_attention_is_verified_read_and_a_table(tiny_weights: Path, tmp_path: Path) -> None:
    episode = recorded(tiny_weights, tmp_path, "--attention")
    assert cli.main(["replay", "--verify", str(episode), "--weights", str(tiny_weights)]) == 0
    assert len(schemas(episode)) == 1
    blocks = Recording.read(episode).blocks
    assert [block.attention.to_json() for block in blocks if block.attention] == [
        line["attention"] for line in lines_of(episode)
    ]
    assert [block.to_json()["attention"] for block in blocks] == [line["attention"] for line in lines_of(episode)]


@pytest.mark.parametrize(
    "attention",
    [
        5,
        {"frames": [0], "coordinates": [0]},
        {"frames": ["a"], "coordinates": [0], "mass": [1.0]},
        {"frames": [True], "coordinates": [0], "mass": [1.0]},
        {"frames": [0], "coordinates": [0], "mass": [None]},
        {"frames": list(range(5000)), "coordinates": [0], "mass": [1.0]},
        {"frames": [0], "coordinates": [0], "mass": [1.0], "more": 1},
    ],
    ids=lambda content: str(content)[:40],
)
def test_attention_that_does_not_fit_is_tampering(tiny_weights: Path, tmp_path: Path, attention: Any) -> None:
    episode = recorded(tiny_weights, tmp_path, "--attention")
    edit_log(episode, lambda lines: lines[1].update(attention=attention))
    assert verify(episode, weights=str(tiny_weights)).tampering[0].startswith("blocks.jsonl line 2 was changed")


def test_without_measuring_there_is_no_probe_and_blocks_are_the_same_with_one(env: InfinityRopeEnv) -> None:
    plain, contexts = play(env), env._rollout._due.block.contexts  # type: ignore[union-attr]
    assert env._rollout.context_hook is None and {type(context) for context in contexts} == {LayerContext}
    assert env.strip is not None and env.strip.mass == ()
    env.measure_attention(True)
    assert play(env) == plain and isinstance(env._rollout.context_hook, AttentionProbe)
    assert sum(env.strip.mass) == pytest.approx(1, abs=1e-4)
    env.measure_attention(False)
    assert play(env) == plain and env.strip.mass == ()


def test_a_recording_keeps_its_measurement_when_an_inspector_is_switched_off(
    tiny_weights: Path, tmp_path: Path
) -> None:
    made = gymnasium.make("infrope/PocketWorld-v0", weights=str(tiny_weights), device="cpu", disable_env_checker=True)
    with closing(RecordRollout(made, tmp_path, attention=True)) as recorder:
        recorder.reset(seed=1)
        for on in (True, False):
            measure_attention(recorder.unwrapped, on)
            recorder.step(0)
    assert all(
        sum(line["attention"]["mass"]) == pytest.approx(1, abs=1e-4) for line in lines_of(tmp_path / "episode_000")
    )


def test_a_recorder_that_fails_or_is_closed_needs_no_attention(tiny_weights: Path, tmp_path: Path) -> None:
    made = gymnasium.make("infrope/PocketWorld-v0", weights=str(tiny_weights), device="cpu", disable_env_checker=True)
    inner: Any = made.unwrapped
    with pytest.raises(ValueError, match="quality"):
        RecordRollout(made, tmp_path, quality="best", attention=True)  # type: ignore[arg-type]
    assert inner._rollout.context_hook is None
    recorder = RecordRollout(made, tmp_path, attention=True)
    assert isinstance(inner._rollout.context_hook, AttentionProbe)
    recorder.close()
    assert inner._rollout.context_hook is None


@pytest.mark.parametrize("change", [{"compiled": True}, {"precision": "int8"}], ids=str)
def test_attention_is_not_measured_where_that_would_change_the_pixels(
    env: InfinityRopeEnv, change: dict[str, Any]
) -> None:
    env.model = replace(env.model, **change)
    with pytest.raises(ValueError, match="attention is measured neither in"):
        env.measure_attention(True)
    assert env._rollout.context_hook is None
