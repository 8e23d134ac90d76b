"""Measurements agree with the ground truth of rendered frames; intervals agree with published values."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from examples.pocket_world.evaluate.measures import mean_colour, psnr, rise, scroll_speed, sharpness, step_rate
from examples.pocket_world.evaluate.report import Measure
from examples.pocket_world.evaluate.train_detectors import blur_frames
from examples.pocket_world.evaluate.trials import after_blocks, starting_states
from examples.pocket_world.world.state import MOTIONS, SCENES, SUBJECTS, World, WorldState, render_block, spawn
from examples.stats import mean_interval, median_range, wilson


@pytest.mark.parametrize("scene", SCENES)
def test_the_measured_scroll_speed_is_the_rendered_one(scene: str) -> None:
    for (motion, speed), scroll in itertools.product(
        (("walk_right", 2), ("walk_left", -2), ("stand", 0), ("jump", 0)), (0, 150)
    ):
        block = render_block(WorldState("fox", scene, motion, scroll, 1))
        assert scroll_speed(block) == pytest.approx(speed, abs=0.05)
        assert scroll_speed(blur_frames(block, 2.0)) == pytest.approx(speed, abs=0.1)


def test_a_walk_at_half_speed_and_a_reversed_one_are_measured_as_such() -> None:
    frames = np.concatenate([render_block(WorldState("fox", "city", "walk_right", 24 * n, 1)) for n in range(2)])
    assert scroll_speed(frames.repeat(2, axis=0)[:24]) == pytest.approx(1, abs=0.1)
    assert scroll_speed(frames[::-1]) == pytest.approx(-2, abs=0.05)


def test_wilsons_interval_has_the_published_values() -> None:
    assert wilson(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998
    assert wilson(0, 5)[0] == 0


def test_the_interval_of_a_mean_is_its_standard_error_times_1_96() -> None:
    assert mean_interval([1.0, 2.0, 3.0]) == pytest.approx((2, 2 - 1.96 / 3**0.5, 2 + 1.96 / 3**0.5))


def test_a_median_comes_with_its_5th_and_95th_percentile() -> None:
    assert median_range([float(value) for value in range(101)]) == (50, 5, 95)
    row = Measure.median("time", [1.0, 2.0, 9.0], at_most=3)
    assert (row.value, row.count, row.met) == (2, 3, True)


def test_a_measure_meets_its_bar_if_the_value_is_within() -> None:
    assert Measure.share("walks", [True] * 19 + [False], at_least=0.95).met
    assert Measure.share("walks", [True] * 18 + [False] * 2, at_least=0.95).met is False
    assert Measure.share("walks", [True]).met is None
    assert Measure.mean("speed", [1.9, 2.1], (1.7, 2.3)).met
    assert not Measure.mean("drift", [4.0, 5.0], (None, 2)).met


def test_blur_lowers_sharpness_and_psnr() -> None:
    block = render_block(WorldState("frog", "city", "stand", 0, 0))
    assert sharpness(block) > 1.3 * sharpness(blur_frames(block, 1.0))
    assert psnr(block, block) > 100
    assert 20 < psnr(blur_frames(block, 1.0), block) < 35


def test_one_grey_level_of_error_is_48_db() -> None:
    grey = np.full((2, 4, 4, 3), 100, np.uint8)
    assert psnr(grey, grey + 1) == pytest.approx(48.13, abs=0.01)
    assert (mean_colour(grey + 1) - mean_colour(grey) == 1).all()


def test_a_sustained_motion_reaches_the_state_that_the_world_reaches() -> None:
    first = next(state for state in starting_states(6, seed=0) if state.motion == "walk_right")
    world = World()
    world.reset(first.subject, first.scene, first.motion)
    for _ in range(5):
        frames = world.step()
    np.testing.assert_array_equal(render_block(after_blocks(first, 5)), frames)


def test_180_starting_states_are_all_combinations_and_the_first_30_pair_every_subject_with_every_motion() -> None:
    states = list(starting_states(180, seed=3))
    assert len({(s.subject, s.scene, s.motion) for s in states}) == len(SUBJECTS) * len(SCENES) * len(MOTIONS)
    assert len({(s.subject, s.motion) for s in states[:30]}) == 30


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_walk_has_two_steps_per_block_and_twice_as_many_at_double_speed(subject: str) -> None:
    world = World()
    world.reset(subject, "city", "walk_right")
    walk = np.concatenate([world.step() for _ in range(10)])
    assert step_rate(walk[:60]) == pytest.approx(2 / 0.75, rel=0.03)
    assert step_rate(walk[::2]) == pytest.approx(4 / 0.75, rel=0.03)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_jump_rises_fifteen_pixels_from_phase_1_to_phase_5(subject: str) -> None:
    state = spawn(subject, "beach", "jump")
    assert rise(render_block(state)) == pytest.approx(15, abs=0.5)
    assert rise(render_block(state, [1] * 12)) == pytest.approx(0, abs=0.5)
