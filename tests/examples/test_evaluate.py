"""The evaluation of generators of known quality: the renderer meets every bar, faulty ones and random weights fail."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.pocket_world.evaluate import evaluation, sheets
from examples.pocket_world.evaluate.detectors import Detectors
from examples.pocket_world.evaluate.evaluation import SampleCounts, run_trials
from examples.pocket_world.evaluate.report import Measure
from examples.pocket_world.evaluate.trials import EVALUATION_SEED_OFFSET, SEED_OF_SEEDS, ScoredEnv
from examples.pocket_world.world.actions import action_set
from examples.pocket_world.world.arrangement import Arrangement
from examples.pocket_world.world.captions import ARRANGEMENT_WORDS
from examples.pocket_world.world.play import HELD_OUT_COMBINATIONS
from examples.pocket_world.world.state import (
    BLOCK_FRAMES,
    FIRST_PHASE,
    MOTIONS,
    SCENES,
    WorldState,
    advance,
    render_block,
    spawn,
)
from infrope_env.config import Sampler
from infrope_env.control.actions import ActionSet, Steering, Transition
from infrope_env.control.frames import Frames
from infrope_env.dynamics.rollout import Rollout
from infrope_env.env import InfinityRopeEnv
from infrope_env.env_state import EnvState
from tests.tiny_world import tiny_world

UNIFORM = Arrangement("red", autumn=True)
FEW = SampleCounts(
    short=10, long=2, longest=2, held_out=1, prompted=0, random=0, bases=2, truths=2, starts=2, seeds=8, clips=0
)


class RenderedEnv(InfinityRopeEnv):
    """An environment whose generator is the renderer; the model's own blocks take one step and are not decoded."""

    truth: WorldState

    def make_rollout(self) -> Rollout:
        return Rollout(self.model.transformer, self.window, Sampler((1000,)))

    def _make_block(self, steering: Steering, transition: Transition) -> Frames:
        super()._make_block(steering, transition)
        if transition is Transition.START:
            names = steering.subject, steering.scene, steering.motion
            self.truth = spawn(*names, arrangement=self.arrangement_of(steering))
            return render_block(self.truth, range(FIRST_PHASE, BLOCK_FRAMES))
        scene = steering.scene if transition is Transition.CUT else None
        self.truth = advance(self.truth, steering.motion, scene)
        return render_block(self.truth)

    def arrangement_of(self, steering: Steering) -> Arrangement:
        return Arrangement.named(steering.variation)

    def save_state(self) -> EnvState:
        self.saved_truth = self.truth
        return super().save_state()

    def restore_state(self, state: EnvState) -> tuple[Frames, dict]:
        self.truth = self.saved_truth
        return super().restore_state(state)


class FrozenEnv(RenderedEnv):
    """A rendered environment whose blocks repeat their third frame."""

    def _make_block(self, steering: Steering, transition: Transition) -> Frames:
        frames = super()._make_block(steering, transition)
        return frames[2:3].repeat(len(frames), axis=0)


class FadingEnv(RenderedEnv):
    """A rendered environment whose cuts fade in over a block."""

    def _make_block(self, steering: Steering, transition: Transition) -> Frames:
        before = self.newest[0][-1] if self.newest else 0
        frames = super()._make_block(steering, transition)
        if transition is not Transition.CUT:
            return frames
        shares = np.linspace(0, 1, len(frames))[:, None, None, None]
        return (before * (1 - shares) + frames * shares).astype(np.uint8)


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a world folder with random weights at the pocket world's frame size."""
    return tiny_world(tmp_path_factory.mktemp("worlds") / "large", latent_size=(12, 20), words=ARRANGEMENT_WORDS)


class UniformEnv(RenderedEnv):
    """A rendered environment that shows every rollout in one arrangement."""

    def arrangement_of(self, steering: Steering) -> Arrangement:
        return UNIFORM


def measured(
    kind: type[InfinityRopeEnv], weights: Path, monkeypatch: pytest.MonkeyPatch, arrangements: bool = False
) -> dict[str, Measure]:
    monkeypatch.setattr(evaluation, "BLOCKS_AT_60_S", 12)
    monkeypatch.setattr(evaluation, "BLOCKS_AT_240_S", 14)
    env = kind(weights=str(weights), actions=action_set(arrangements), device="cpu", decode=False)
    counts = replace(FEW, short=2, long=0, longest=0, held_out=0, bases=1) if arrangements else FEW
    return {measure.name: measure for measure in run_trials(ScoredEnv(env, Detectors.load()), counts)}


def named(measures: dict[str, Measure], words: str) -> Measure:
    return next(measure for name, measure in measures.items() if words in name)


def test_the_renderer_meets_every_bar(random_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measures = measured(RenderedEnv, random_weights, monkeypatch)
    assert [name for name, measure in measures.items() if measure.met is False] == []
    assert named(measures, "new motion in the first block").count == FEW.bases * (len(MOTIONS) - 1)
    assert named(measures, "scroll speed of a walk").value == pytest.approx(2, abs=0.02)
    assert named(measures, "absolute scroll speed of other motions").value == pytest.approx(0, abs=0.02)
    assert named(measures, "generated - rendered").value == 0
    assert named(measures, "sharpness").value == 1
    assert named(measures, "steps per second").value == 1
    assert named(measures, "height of a jump").value == pytest.approx(1, abs=1e-3)  # clouds drift behind it
    assert named(measures, "subject right at 5 s, combinations held out").count == len(HELD_OUT_COMBINATIONS)


def test_the_renderer_shows_the_arrangements_of_its_seeds(
    random_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measures = measured(RenderedEnv, random_weights, monkeypatch, arrangements=True)
    actions = ActionSet.from_dict(action_set(arrangements=True))
    first = EVALUATION_SEED_OFFSET + SEED_OF_SEEDS
    drawn = [actions.draw_variation(seed) for seed in range(first, first + len(SCENES) * FEW.seeds)]
    different = [len({*drawn[start : start + FEW.seeds]}) for start in range(0, len(drawn), FEW.seeds)]
    assert min(different) < FEW.seeds  # a seed draws what another one did
    assert named(measures, "arrangement of the seed").value == 1
    assert named(measures, "different arrangements").value == pytest.approx(np.mean(different))
    assert named(measures, "whole frame").value > 100
    uniform = measured(UniformEnv, random_weights, monkeypatch, arrangements=True)
    share = np.mean([words == UNIFORM.words for words in drawn])
    assert 0 < share < 0.3 and named(uniform, "arrangement of the seed").value == pytest.approx(share)
    assert named(uniform, "whole frame").met is False


def test_frozen_blocks_fail_in_motion_alone(random_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measures = measured(FrozenEnv, random_weights, monkeypatch)
    assert named(measures, "motion right at 5 s").value <= 0.5
    assert named(measures, "new motion in the first block").met is False
    assert named(measures, "scroll speed of a walk").met is False
    assert named(measures, "subject right at 5 s").met and named(measures, "first pixel frame").met


def test_a_cross_fade_fails_as_a_cut(random_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measures = measured(FadingEnv, random_weights, monkeypatch)
    assert named(measures, "first pixel frame").value == 0
    assert named(measures, "new motion in the first block").met


def test_the_report_of_random_weights_shows_failed_bars(
    random_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = SampleCounts(
        short=3, long=2, longest=0, held_out=0, prompted=0, random=1, bases=1, truths=0, starts=1, seeds=0, clips=0
    )
    monkeypatch.setattr(evaluation, "QUICK", counts)
    monkeypatch.setattr(evaluation, "BLOCKS_AT_60_S", 8)
    evaluation.main(evaluation.Options(str(random_weights), quick=True, out=tmp_path / "results"))
    report = json.loads((tmp_path / "results" / "evaluation.json").read_text())
    rows = {row["name"]: row for row in report["measures"]}
    assert rows["motion right at 5 s"]["count"] == counts.short + counts.long
    assert rows["motion right at 5 s"]["met"] is False
    assert rows["after a cut: new scene at the first pixel frame"]["count"] == counts.bases * (len(SCENES) - 1)
    assert (
        rows["motion right in blocks of random play, rollouts of 60 s"]["count"]
        == counts.random * evaluation.BLOCKS_AT_60_S
    )
    assert "generator.safetensors" in report["weights"] and report["commit"]
    table = (tmp_path / "results" / "evaluation.md").read_text()
    assert "| motion right at 5 s |" in table
    assert "inf " not in table and "nan" not in table


def test_the_picture_of_the_readme_is_1200_pixels_wide(random_weights: Path, tmp_path: Path) -> None:
    sheets.main(sheets.Options(str(random_weights), readme=tmp_path / "play.png"))
    assert Image.open(tmp_path / "play.png").width == 1200


def test_a_sheet_of_seeds_names_the_arrangement_of_each(random_weights: Path) -> None:
    rows = sheets.seed_rows(sheets.FrameSource(str(random_weights), arrangements=True), 3, "meadow")
    labels = [label for row in rows for label in row.labels]
    actions = ActionSet.from_dict(action_set(arrangements=True))
    assert labels == [f"{seed}: {actions.draw_variation(seed)}" for seed in range(3, 27)]
    assert all(len(row.frames) == sheets.SEEDS_PER_ROW for row in rows)
