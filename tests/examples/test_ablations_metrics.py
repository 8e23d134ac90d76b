"""Ablations: metrics detect planted faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from examples.ablations.cut_jobs import cut_metrics
from examples.ablations.features import FeatureExtractor
from examples.ablations.long_rollout import correctness_changed, likeness_threshold, start_state
from examples.ablations.metrics import BlockMetrics, Record, block_at, failure_block, quality
from examples.ablations.switch_jobs import rendered_blocks, switch_metrics
from examples.pocket_world.evaluate.labelled_samples import frozen_block, reversed_walk
from examples.pocket_world.world.scenes import TILE
from examples.pocket_world.world.state import BLOCK_FRAMES, WorldState, advance, render_block

WALK = WorldState("fox", "meadow", "walk_right", 48, 1)
WAVE = WorldState("wizard", "snow", "wave", 0, 2)

# a block


def block_metrics(extractor: FeatureExtractor, frames: np.ndarray, truth: WorldState = WALK) -> Record:
    return BlockMetrics(extractor, render_block(truth)[0]).measure(frames, truth, 1)


def test_the_rendered_block_has_perfect_metrics(extractor: FeatureExtractor) -> None:
    seen = block_metrics(extractor, render_block(WALK))
    assert [seen[f"{part} right"] for part in ("subject", "scene", "motion")] == [1, 1, 1]
    assert seen["moves"] == 1 and seen["sharpness"] == 1
    assert seen["likeness"] == pytest.approx(1)
    assert seen["scroll"] == pytest.approx(1, abs=0.03)
    assert min(seen["subject to first"], seen["scene to first"], seen["subject to last"], seen["scene to last"]) > 0.5


def test_a_wrong_subject_lowers_its_name_and_features_only(extractor: FeatureExtractor) -> None:
    right = block_metrics(extractor, render_block(WALK))
    wrong = block_metrics(extractor, render_block(replace(WALK, subject="robot")))
    assert wrong["subject right"] == 0 and wrong["scene right"] == 1
    assert wrong["subject to first"] < right["subject to first"] - 0.4
    assert wrong["scene to first"] > right["scene to first"] - 0.2


def test_a_wrong_scene_lowers_its_name_and_features_only(extractor: FeatureExtractor) -> None:
    right = block_metrics(extractor, render_block(WALK))
    wrong = block_metrics(extractor, render_block(replace(WALK, scene="cave")))
    assert wrong["scene right"] == 0 and wrong["subject right"] == 1
    assert wrong["scene to first"] < right["scene to first"] - 0.4


def test_likeness_compares_the_scene_and_not_the_subject(extractor: FeatureExtractor) -> None:
    assert block_metrics(extractor, render_block(replace(WALK, subject="robot")))["likeness"] > 0.8
    assert block_metrics(extractor, render_block(replace(WALK, scene="cave")))["likeness"] < 0.5


def test_a_frozen_video_has_no_dynamic_degree_at_full_consistency(extractor: FeatureExtractor) -> None:
    seen = block_metrics(extractor, frozen_block(WALK, 3).frames)
    assert seen["moves"] == 0 and seen["motion right"] == 0
    assert seen["subject to last"] == pytest.approx(1)
    assert quality([seen], 1)["dynamic degree"] == 0


def test_a_reversed_walk_scrolls_backwards(extractor: FeatureExtractor) -> None:
    seen = block_metrics(extractor, reversed_walk(WALK).frames)
    assert seen["scroll"] == pytest.approx(-1, abs=0.05)
    assert seen["motion right"] == 0 and seen["moves"] == 1


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_another_place_of_the_same_scene_lowers_likeness_alone(extractor: FeatureExtractor, seed: int) -> None:
    truth, threshold = advance(start_state(seed)), likeness_threshold(seed)
    assert block_metrics(extractor, render_block(truth), truth)["likeness"] > 0.999 > threshold
    places = [replace(truth, scroll=truth.scroll + TILE * n) for n in range(2, 14)]
    elsewhere = [block_metrics(extractor, render_block(place), truth) for place in places]
    assert np.mean([seen["likeness"] for seen in elsewhere]) < threshold - 0.02
    assert np.mean([seen["likeness"] < threshold for seen in elsewhere]) > 0.8
    assert all(seen["scene right"] and seen["subject right"] for seen in elsewhere)


# a long rollout


def test_quality_averages_the_blocks_up_to_the_horizon() -> None:
    same = {"subject to last": 1.0, "scene to first": 0.5, "scene to last": 0.5, "sharpness": 2.0}
    right = {"subject right": 1.0, "scene right": 1.0}
    records = [
        same | right | {"block": n, "subject to first": a, "moves": float(n > 1), "motion right": b, "likeness": b}
        for n, a, b in ((1, 0.8, 0.0), (2, 0.6, 0.0), (3, 0.4, 0.0), (4, 0.2, 1.0), (5, -9.0, 0.0))
    ]
    found = quality(records, 4)
    assert found["subject consistency"] == pytest.approx((0.5 + 1) / 2)
    assert found["background consistency"] == pytest.approx(0.5)
    assert found["dynamic degree"] == pytest.approx(0.75)
    assert found["imaging"] == pytest.approx(0.5)  # twice as sharp is as bad as half
    assert found["overall"] == pytest.approx((0.75 + 0.5 + 0.75 + 0.5) / 4)
    assert found["motion right"] == found["likeness"] == 1  # in the last quarter
    assert "scroll" not in found


def test_a_measured_block_is_weighted_by_the_blocks_since_the_one_before() -> None:
    names = ("subject to first", "subject to last", "scene to first", "scene to last", "sharpness", "likeness")
    right = dict.fromkeys((*names, "subject right", "scene right", "motion right"), 1.0)
    records = [right | {"block": block, "moves": moves} for block, moves in ((1, 1.0), (2, 1.0), (10, 0.0))]
    assert quality(records, 10)["dynamic degree"] == pytest.approx(0.2)


def test_a_rollout_fails_at_the_block_from_which_half_of_the_blocks_are_wrong() -> None:
    def rollout(rights: str) -> list[Record]:
        shown = {"1": (1.0, 0.99), "0": (0.0, 0.99), "e": (1.0, 0.85)}  # right, wrong subject, elsewhere
        return [
            {"block": n, "subject right": shown[r][0], "scene right": 1.0, "likeness": shown[r][1]}
            for n, r in enumerate(rights, 1)
        ]

    assert failure_block(rollout("11111"), 0.9) is None
    assert failure_block(rollout("11e1e"), 0.9) == 3
    assert failure_block(rollout("11e1e"), 0.8) is None
    assert failure_block(rollout("10111"), 0.9) is None
    assert failure_block(rollout("10100"), 0.9) == 2
    assert failure_block(rollout("11000"), 0.9) == 3
    assert failure_block(rollout("11100"), 0.9) is None


def test_a_frame_is_kept_where_a_rollout_turns_wrong_or_right() -> None:
    shown = ((1.0, 0.99), (0.0, 0.99), (0.0, 0.5), (1.0, 0.99), (1.0, 0.5))
    records = [{"subject right": right, "scene right": 1.0, "likeness": likeness} for right, likeness in shown]
    assert [correctness_changed(records[: n + 1], 0.9) for n in range(5)] == [False, True, False, True, True]


def test_seconds_convert_to_blocks() -> None:
    assert [block_at(seconds) for seconds in (5, 60, 1200)] == [6, 80, 1600]


# changes of motion


def switched(extractor: FeatureExtractor, blocks: list[np.ndarray]) -> Record:
    return switch_metrics(WAVE, "crouch", render_block(WAVE)[-1], blocks, extractor)


def test_a_rendered_change_of_motion_shows_at_once_and_without_a_seam(extractor: FeatureExtractor) -> None:
    seen = switched(extractor, list(rendered_blocks(WAVE, "crouch", 3)))
    assert seen["frames until shown"] == 0 and seen["blocks until named"] == 1
    assert seen["seam"] == 0 and seen["motion right"] == seen["subject kept"] == seen["scene kept"] == 1


def test_a_change_that_is_a_block_late_is_measured_as_a_block_late(extractor: FeatureExtractor) -> None:
    waving = next(rendered_blocks(WAVE, "wave", 1))
    seen = switched(extractor, [waving, *rendered_blocks(advance(WAVE, "wave"), "crouch", 2)])
    assert seen["motion right"] == 0 and seen["blocks until named"] == 2
    assert BLOCK_FRAMES - 3 <= seen["frames until shown"] <= BLOCK_FRAMES + 3


def test_a_change_that_never_shows_counts_as_all_measured_frames(extractor: FeatureExtractor) -> None:
    seen = switched(extractor, list(rendered_blocks(WAVE, "wave", 3)))
    assert seen["frames until shown"] == 3 * BLOCK_FRAMES and seen["blocks until named"] == 4


def test_a_world_that_restarts_at_a_change_has_a_seam(extractor: FeatureExtractor) -> None:
    elsewhere = WorldState("wizard", "beach", "crouch", 90, 0)
    seen = switched(extractor, [render_block(elsewhere)] * 3)
    assert seen["seam"] > 10 and seen["scene kept"] == 0


# changes of scene


def moved_to_cave(extractor: FeatureExtractor, blocks: list[np.ndarray]) -> Record:
    return cut_metrics(WALK, render_block(WALK)[-1], blocks, "cave", extractor)


def test_a_rendered_cut_is_clean(extractor: FeatureExtractor) -> None:
    there = advance(WALK, scene="cave")
    seen = moved_to_cave(extractor, [render_block(there), render_block(advance(there))])
    assert [seen[f"scene at {n}"] for n in (1, 4, 12)] == [1, 1, 1]
    assert seen["scene later"] == seen["subject kept"] == seen["motion kept"] == 1
    assert seen["old scene"] < 0.05
    assert seen["ghost"] == pytest.approx(0, abs=1e-6)


def test_a_cross_fade_is_late_and_has_a_ghost(extractor: FeatureExtractor) -> None:
    there = advance(WALK, scene="cave")
    shares = np.linspace(0, 1, BLOCK_FRAMES)[:, None, None, None]
    faded = (render_block(WALK)[-1] * (1 - shares) + render_block(there) * shares).astype(np.uint8)
    seen = moved_to_cave(extractor, [faded, render_block(advance(there))])
    assert seen["scene at 1"] == 0 and seen["scene at 12"] == 1 and seen["scene later"] == 1
    assert seen["old scene"] > 0.2 and seen["ghost"] > 0.1
