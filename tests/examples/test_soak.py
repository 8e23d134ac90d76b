"""The soak test finds what grows and what diverges, and keeps its measurements when it is stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from examples.soak import command
from examples.soak.player import Diverged, RandomPlayer
from examples.soak.trend import Trend
from infrope_env.config import Sampler
from infrope_env.env import InfinityRopeEnv
from infrope_env.recording import verify
from tests.tiny_world import tiny_world

BLOCKS = list(range(100, 2100, 100))
NOISE = np.random.default_rng(0).normal(size=len(BLOCKS))


def trend(slope: float, noise: float, tolerance: float = 2.0, count: int = len(BLOCKS)) -> Trend:
    """Fit values that grow by `slope` over 1,000 blocks."""
    values = 400 + slope * np.array(BLOCKS) / 1000 + noise * NOISE
    return Trend.of(BLOCKS[:count], values.tolist()[:count], tolerance)


@pytest.mark.parametrize(
    ("slope", "noise", "verdict"),
    [(0, 0, "flat"), (0, 0.5, "flat"), (-5, 0.5, "flat"), (1, 0.1, "flat"), (5, 0.5, "grows"), (0, 20, "unclear")],
)
def test_a_quantity_is_flat_if_its_growth_is_certainly_within_the_tolerance(
    slope: float, noise: float, verdict: str
) -> None:
    assert trend(slope, noise).verdict == verdict


def test_a_few_groups_decide_nothing_and_the_interval_holds_the_true_slope() -> None:
    assert trend(0, 0, count=3).verdict == "unclear"
    found = trend(5, 0.5)
    assert found.low < 5 < found.high and found.low < found.growth < found.high


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("worlds") / "small"
    return str(tiny_world(folder, latent_size=(2, 4), num_layers=1, sampler=Sampler(steps=(1000, 500))))


class Leaking(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A wrapper that keeps half a megabyte of every block."""

    kept: list[Any] = []  # noqa: RUF012

    def step(self, action: Any) -> Any:
        self.kept.append(np.ones(62_500))
        return self.env.step(action)


@dataclass(kw_only=True)
class LeakingOptions(command.Options):
    def make_env(self) -> gymnasium.Env[Any, Any]:
        return Leaking(super().make_env())


def test_a_leak_is_found_and_ends_in_exit_code_1(
    world: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = LeakingOptions(blocks=120, weights=world, group=10, warm_up=40, out=tmp_path / "soak.json")
    assert command.main(options) == 1
    Leaking.kept.clear()
    printed = capsys.readouterr().out
    assert "in_use_mb" in printed and ": grows" in printed and "complete: 120 blocks" in printed
    found = json.loads((tmp_path / "soak.json").read_text())
    assert found["ended"] == "complete" and len(found["groups"]) == 12 and found["versions"]["torch"]
    assert found["trends"]["in_use_mb"]["growth"] == pytest.approx(500, rel=0.5)
    assert found["trends"]["in_use_mb"]["verdict"] == "grows" and found["trends"]["files"]["verdict"] == "flat"


def test_ctrl_c_prints_the_summary_and_keeps_the_measurements(
    world: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    turn = RandomPlayer.turn

    def stop(player: RandomPlayer) -> str:
        if player.blocks >= 25:
            raise KeyboardInterrupt
        return turn(player)

    monkeypatch.setattr(RandomPlayer, "turn", stop)
    options = command.Options(weights=world, group=10, out=tmp_path / "soak.json")
    assert command.main(options) == 2  # too few blocks to tell
    assert "interrupted: 20 blocks" in capsys.readouterr().out
    assert json.loads((tmp_path / "soak.json").read_text())["ended"] == "interrupted"


def test_a_recorded_run_is_one_that_replays(world: str, tmp_path: Path) -> None:
    command.main(command.Options(blocks=40, weights=world, group=10, record=tmp_path / "kept"))
    whole = [path for path in (tmp_path / "kept").iterdir() if "episode" not in (path / "meta.json").read_text()]
    reports = [verify(path, weights=world) for path in sorted(whole)[:3]]
    assert reports and all(report.ok for report in reports)


def forget_the_cache(env: InfinityRopeEnv, restore: Callable[..., Any]) -> Callable[..., Any]:
    def restored(state: Any) -> Any:
        found = restore(state)
        env._rollout.cache.keys.zero_()
        return found

    return restored


def test_a_restored_state_that_goes_on_differently_ends_the_run(world: str, tmp_path: Path) -> None:
    player = RandomPlayer(command.Options(weights=world).make_env, tmp_path, seed=0)
    player._reset()
    player._save()
    player.inner.restore_state = forget_the_cache(player.inner, player.inner.restore_state)  # type: ignore[method-assign]
    with pytest.raises(Diverged, match="does not go on as it did"):
        player._restore()


def test_a_first_block_that_depends_on_more_than_its_seed_ends_the_run(
    world: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = RandomPlayer(command.Options(weights=world).make_env, tmp_path, seed=0)
    numbers = iter(range(1000))
    reset = player.env.reset
    monkeypatch.setattr(player.env, "reset", lambda seed, options: reset(seed=seed + next(numbers), options=options))
    with pytest.raises(Diverged, match="is not what it was before"):
        for _ in range(40):
            player._reset()
