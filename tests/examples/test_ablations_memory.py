"""The experiment on memory: its rows, its steered rollouts, and its verdicts."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from examples.ablations import memory
from examples.ablations.experiment_config import FULL, QUICK, ExperimentConfig
from examples.ablations.features import feature_extractor
from examples.ablations.job import Outcome
from examples.ablations.long_rollout import start_state
from examples.ablations.memory_jobs import SteeredRolloutJob, after, late_values, next_action
from examples.ablations.variant import Variant
from examples.pocket_world.world.state import advance
from infrope_env.config import Window


def test_every_policy_has_a_row_at_every_window_of_that_size() -> None:
    rows = memory.variants(ExperimentConfig(FULL), memory.FORGET_RULES)
    assert len(rows) == 2 * 5 + 3 * 2
    for name, variant in rows.items():
        assert f"window {variant.window.size}" in name and name.startswith(variant.window.memory)
    assert rows["sink, window 6"] == ExperimentConfig(FULL).default
    assert rows["ema, window 6, forgets at cuts"].window == Window.from_size(6, memory="ema", forget="cut")


def test_steering_changes_the_motion_every_four_blocks_and_the_scene_every_twenty() -> None:
    truth, chance, story = start_state(0), np.random.default_rng(0), []
    for block in range(1, 81):
        action = next_action(truth, block, chance)
        before, truth = truth, after(truth, action)
        story.append((block, before, truth, action))
    assert [block for block, before, now, _ in story if now.motion != before.motion] == [
        block for block in range(4, 81, 4) if block % 20
    ]
    assert [block for block, *_, action in story if action.startswith("cut_")] == [20, 40, 60, 80]
    assert all(now.scroll == 0 for block, _, now, _ in story if block % 20 == 0)
    assert after(truth, truth.motion) == advance(truth)


def test_a_steered_rollout_is_measured_against_the_world_it_was_steered_to(weights: str) -> None:
    job = SteeredRolloutJob(Variant(weights, Window.from_size(9, memory="ema", forget="cut")), 1, (10, 22))
    outcome = job.run(feature_extractor())
    assert [record["block"] for record in outcome.records] == [10, 21, 22]
    assert outcome.arrays.keys() == {"0", "10", "22"}
    values = late_values(outcome.records, 22, seed=1)
    assert values.keys() == {"likeness", "subject right", "scene right", "place right", "motion right"}
    assert all(0 <= value <= 1 for value in values.values())


def outcomes(likeness: Sequence[float]) -> list[Outcome]:
    """Return one outcome per seed, with records of that likeness in blocks 5 and 6."""
    names = ("subject right", "scene right", "place right", "motion right")
    return [
        Outcome([{"block": float(block), "likeness": value, **dict.fromkeys(names, 1.0)} for block in (5, 6)])
        for value in likeness
    ]


def test_verdicts_are_those_of_the_interval_against_the_sink_of_the_same_window() -> None:
    config = ExperimentConfig(replace(QUICK, memory_windows=(6,)))
    rows = {name: outcomes([0.8, 0.81, 0.82]) for name in memory.variants(config, memory.FORGET_RULES)}
    rows["ema, window 6"] = outcomes([0.9, 0.91, 0.92])
    rows["ema, window 6, forgets at cuts"] = outcomes([0.85, 0.86, 0.87])
    found = memory.compare_policies(memory.STEERED, 6, rows, config, 5) + memory.compare_forgetting(rows, config, 5)
    verdicts = {(each.first[0], each.second[0]): each.outcome for each in found if "likeness" in each.metric}
    assert verdicts["ema, window 6", "sink, window 6"] == "better"
    assert verdicts["jitter, window 6", "sink, window 6"] == "no difference"
    assert verdicts["ema, window 6, forgets at cuts", "ema, window 6"] == "worse"
    assert len(found) == 2 * (4 + 6)


def test_shorter_forms_leave_out_long_horizons() -> None:
    assert FULL.until(240).memory_horizons_s == (60, 240) and FULL.until(240).horizons_s == (5, 60, 120, 240)
    with pytest.raises(ValueError, match="expected the longest horizon to be at least 60 s"):
        FULL.until(30)
    config = ExperimentConfig(replace(FULL.until(60), memory_windows=(6,)))
    jobs = {job for rows in memory.jobs(config).values() for row in rows.values() for job in row}
    steady, steered, costs = 4 * (81 + 5) + (81 + 2 * 5), 11 * 81, 5 * 15
    assert sum(map(memory.blocks_of, jobs)) == 3 * (steady + steered + costs)


def test_steered_rollouts_end_at_a_nearer_horizon() -> None:
    kinds = memory.jobs(ExperimentConfig(FULL))
    longest = {
        kind: {job.ends for row in kinds[kind].values() for job in row} for kind in (memory.STEADY, memory.STEERED)
    }  # type: ignore[attr-defined]
    assert {max(ends) for ends in longest[memory.STEADY]} == {1600} and longest[memory.STEERED] == {(80, 320)}
