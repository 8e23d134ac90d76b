"""The evaluation on worlds of known quality: the rendered one meets every bar, faulty ones and random weights fail."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.pocket_world.evaluate import evaluation as evaluate
from examples.pocket_world.evaluate import sheets
from examples.pocket_world.evaluate.detectors import Detectors
from examples.pocket_world.evaluate.evaluation import Amounts, run_trials
from examples.pocket_world.evaluate.measures import Measure
from examples.pocket_world.evaluate.trials import Stage
from examples.pocket_world.world.state import BLOCK_FRAMES, FIRST_PHASE, WorldState, advance, render_block, spawn
from infrope_env.control.actions import Steering, Transition
from infrope_env.env import InfinityRopeEnv
from infrope_env.env_state import Clip, EnvState
from tests.tiny_world import tiny_world

FEW = Amounts(short=10, long=2, longest=2, together=1, prompted=0, random=0, bases=2, clips=0)


class RenderedEnv(InfinityRopeEnv):
    """A world whose generator is the renderer itself."""

    truth: WorldState

    def _make_block(self, steering: Steering, transition: Transition) -> Clip:
        super()._make_block(steering, transition)
        if transition is Transition.START:
            self.truth = spawn(steering.subject, steering.scene, steering.motion)
            return render_block(self.truth, range(FIRST_PHASE, BLOCK_FRAMES))
        scene = steering.scene if transition is Transition.CUT else None
        self.truth = advance(self.truth, steering.motion, scene)
        return render_block(self.truth)

    def save_state(self) -> EnvState:
        self.saved_truth = self.truth
        return super().save_state()

    def restore_state(self, state: EnvState) -> tuple[Clip, dict]:
        self.truth = self.saved_truth
        return super().restore_state(state)


class FrozenEnv(RenderedEnv):
    """The same, but every block stands still in its third frame."""

    def _make_block(self, steering: Steering, transition: Transition) -> Clip:
        frames = super()._make_block(steering, transition)
        return frames[2:3].repeat(len(frames), axis=0)


class FadingEnv(RenderedEnv):
    """The same, but a cut fades in over its block."""

    def _make_block(self, steering: Steering, transition: Transition) -> Clip:
        before = self.newest[0][-1] if self.newest else 0
        frames = super()._make_block(steering, transition)
        if transition is not Transition.CUT:
            return frames
        shares = np.linspace(0, 1, len(frames))[:, None, None, None]
        return (before * (1 - shares) + frames * shares).astype(np.uint8)


@pytest.fixture(scope="module")
def wordless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights at the pocket world's frame size."""
    return tiny_world(tmp_path_factory.mktemp("worlds") / "large", latent_size=(12, 20))


def measured(kind: type[InfinityRopeEnv], weights: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Measure]:
    monkeypatch.setattr(evaluate, "BLOCKS_AT_60_S", 12)
    monkeypatch.setattr(evaluate, "BLOCKS_AT_240_S", 14)
    measures = run_trials(Stage(kind(weights=str(weights), device="cpu"), Detectors.load()), FEW)
    return {measure.name: measure for measure in measures}


def named(measures: dict[str, Measure], words: str) -> Measure:
    return next(measure for name, measure in measures.items() if words in name)


def test_the_rendered_world_meets_every_bar(wordless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measures = measured(RenderedEnv, wordless, monkeypatch)
    assert [name for name, measure in measures.items() if measure.met is False] == []
    assert named(measures, "new motion in the first block").count == 10
    assert named(measures, "scroll speed of a walk").value == pytest.approx(2, abs=0.02)
    assert named(measures, "scroll speed in place").value == pytest.approx(0, abs=0.02)
    assert named(measures, "beyond the rendered one").value == 0
    assert named(measures, "sharpness").value == 1
    assert named(measures, "steps a second").value == 1
    assert named(measures, "height of a jump").value == pytest.approx(1, abs=1e-3)  # clouds drift behind it
    assert named(measures, "subject right at 5 s, never seen together").count == 6


def test_a_frozen_world_fails_by_motion_alone(wordless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measures = measured(FrozenEnv, wordless, monkeypatch)
    assert named(measures, "motion right at 5 s").value <= 0.5
    assert named(measures, "new motion in the first block").met is False
    assert named(measures, "scroll speed of a walk").met is False
    assert named(measures, "subject right at 5 s").met and named(measures, "first pixel frame").met


def test_a_cross_fade_fails_as_a_cut(wordless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measures = measured(FadingEnv, wordless, monkeypatch)
    assert named(measures, "first pixel frame").value == 0
    assert named(measures, "new motion in the first block").met


def test_random_weights_show_nothing_and_the_report_says_so(
    wordless: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        evaluate, "QUICK", Amounts(short=3, long=2, longest=0, together=0, prompted=0, random=1, bases=1, clips=0)
    )
    monkeypatch.setattr(evaluate, "BLOCKS_AT_60_S", 8)
    evaluate.main(evaluate.Options(str(wordless), quick=True, out=tmp_path / "results"))
    report = json.loads((tmp_path / "results" / "evaluation.json").read_text())
    rows = {row["name"]: row for row in report["measures"]}
    assert rows["motion right at 5 s"]["count"] == 5
    assert rows["motion right at 5 s"]["met"] is False
    assert rows["after a cut: new scene at the first pixel frame"]["count"] == 5
    assert rows["motion right in blocks of random play, rollouts of 60 s"]["count"] == 8
    assert "generator.safetensors" in report["weights"] and report["commit"]
    table = (tmp_path / "results" / "evaluation.md").read_text()
    assert "| motion right at 5 s |" in table
    assert "inf " not in table and "nan" not in table


def test_the_readme_picture_is_1200_pixels_wide(wordless: Path, tmp_path: Path) -> None:
    sheets.main(sheets.Options(str(wordless), readme=tmp_path / "play.png"))
    assert Image.open(tmp_path / "play.png").width == 1200
