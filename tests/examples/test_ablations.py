"""The laboratory: its measures notice planted faults, its cells are made once, its tables and maps say what is so."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from examples.ablations import command as ablations
from examples.ablations import plan as plan_module
from examples.ablations import store as store_module
from examples.ablations.attention_jobs import frame_map
from examples.ablations.attention_weights import RecordingRollout, RecordingWindow, ShiftedRollout, attention_weights
from examples.ablations.comparison import AGREES, CONTRADICTS, NO_DIFFERENCE, UNDECIDED, claimed_better, default_is_best
from examples.ablations.cut_jobs import Cuts, Shot, Way
from examples.ablations.experiment_config import QUICK, Plan
from examples.ablations.features import Eyes
from examples.ablations.harness import Rig, relative_change
from examples.ablations.job import Outcome
from examples.ablations.long_rollout import held_state, least_likeness, turns
from examples.ablations.metrics import Judge, Record, block_at, fails_from, quality
from examples.ablations.statistics import Difference, Spread
from examples.ablations.store import Store
from examples.ablations.switch_jobs import Arm, Change, Switches, following
from examples.ablations.table import Table
from examples.ablations.training import learnt
from examples.ablations.variant import Setting, even_steps, resized
from examples.pocket_world.evaluate.labelled_samples import frozen_block, reversed_walk
from examples.pocket_world.evaluate.trials import EVALUATION_SEED_OFFSET
from examples.pocket_world.world.scenes import TILE
from examples.pocket_world.world.state import BLOCK_FRAMES, WorldState, advance, render_block
from infrope_env.config import Sampler, Window
from infrope_env.dynamics.rollout import Rollout
from infrope_env.env import InfinityRopeEnv
from tests.dynamics.small_engine import CONTINUE, CUT, START, SWITCH, play, prompt, small_model
from tests.tiny_world import tiny_world

WALK = WorldState("fox", "meadow", "walk_right", 48, 1)


@pytest.fixture(scope="module")
def eyes() -> Eyes:
    return Eyes()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Random weights at the pocket world's frame size."""
    return str(tiny_world(tmp_path_factory.mktemp("worlds") / "large", latent_size=(12, 20)))


# what a block shows


def glance(eyes: Eyes, frames: np.ndarray) -> Record:
    return Judge(eyes, render_block(WALK)[0]).glance(frames, WALK, 1)


def test_the_rendered_block_is_flawless(eyes: Eyes) -> None:
    seen = glance(eyes, render_block(WALK))
    assert [seen[f"{part} right"] for part in ("subject", "scene", "motion")] == [1, 1, 1]
    assert seen["moves"] == 1 and seen["sharpness"] == 1
    assert seen["likeness"] == pytest.approx(1)
    assert seen["scroll"] == pytest.approx(1, abs=0.03)
    assert min(seen["subject to first"], seen["scene to first"], seen["subject to last"], seen["scene to last"]) > 0.5


def test_a_wrong_subject_is_noticed_by_name_and_by_features(eyes: Eyes) -> None:
    right, wrong = glance(eyes, render_block(WALK)), glance(eyes, render_block(replace(WALK, subject="robot")))
    assert wrong["subject right"] == 0 and wrong["scene right"] == 1
    assert wrong["subject to first"] < right["subject to first"] - 0.4
    assert wrong["scene to first"] > right["scene to first"] - 0.2


def test_another_scene_is_noticed_by_name_and_by_features(eyes: Eyes) -> None:
    right, wrong = glance(eyes, render_block(WALK)), glance(eyes, render_block(replace(WALK, scene="cave")))
    assert wrong["scene right"] == 0 and wrong["subject right"] == 1
    assert wrong["scene to first"] < right["scene to first"] - 0.4


def test_a_frozen_video_is_not_dynamic_however_consistent(eyes: Eyes) -> None:
    seen = glance(eyes, frozen_block(WALK, 3).frames)
    assert seen["moves"] == 0 and seen["motion right"] == 0
    assert seen["subject to last"] == pytest.approx(1)
    assert quality([seen], 1)["dynamic degree"] == 0


def test_a_reversed_walk_scrolls_the_wrong_way(eyes: Eyes) -> None:
    seen = glance(eyes, reversed_walk(WALK).frames)
    assert seen["scroll"] == pytest.approx(-1, abs=0.05)
    assert seen["motion right"] == 0 and seen["moves"] == 1


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_another_place_of_the_way_is_noticed_by_likeness_alone(eyes: Eyes, seed: int) -> None:
    truth = advance(held_state(seed))
    least = least_likeness(seed)
    assert glance_at(eyes, truth, truth)["likeness"] > 0.999 > least
    elsewhere = [glance_at(eyes, truth, replace(truth, scroll=truth.scroll + TILE * n)) for n in range(2, 14)]
    assert np.mean([seen["likeness"] for seen in elsewhere]) < least - 0.02
    assert np.mean([seen["likeness"] < least for seen in elsewhere]) > 0.8
    assert all(seen["scene right"] and seen["subject right"] for seen in elsewhere)


def glance_at(eyes: Eyes, truth: WorldState, shown: WorldState) -> Record:
    return Judge(eyes, render_block(truth)[0]).glance(render_block(shown), truth, 1)


def test_qualities_average_what_was_seen_up_to_the_horizon() -> None:
    records = [
        {"block": n, "subject to first": a, "subject to last": 1.0, "scene to first": 0.5, "scene to last": 0.5}
        | {
            "moves": float(n > 1),
            "sharpness": 2.0,
            "subject right": 1.0,
            "scene right": 1.0,
            "motion right": b,
            "likeness": b,
        }
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


def test_a_judged_block_stands_for_all_since_the_one_before() -> None:
    names = ("subject to first", "subject to last", "scene to first", "scene to last", "sharpness", "likeness")
    right = dict.fromkeys((*names, "subject right", "scene right", "motion right"), 1.0)
    records = [right | {"block": block, "moves": moves} for block, moves in ((1, 1.0), (2, 1.0), (10, 0.0))]
    assert quality(records, 10)["dynamic degree"] == pytest.approx(0.2)


def test_a_rollout_fails_where_wrong_blocks_begin_to_outweigh() -> None:
    def rollout(rights: str) -> list[Record]:
        shown = {"1": (1.0, 0.99), "0": (0.0, 0.99), "e": (1.0, 0.85)}
        return [
            {"block": n, "subject right": shown[r][0], "scene right": 1.0, "likeness": shown[r][1]}
            for n, r in enumerate(rights, 1)
        ]

    assert fails_from(rollout("11111"), 0.9) is None
    assert fails_from(rollout("11e1e"), 0.9) == 3
    assert fails_from(rollout("11e1e"), 0.8) is None
    assert fails_from(rollout("10111"), 0.9) is None
    assert fails_from(rollout("10100"), 0.9) == 2
    assert fails_from(rollout("11000"), 0.9) == 3
    assert fails_from(rollout("11100"), 0.9) is None


def test_a_picture_is_kept_where_names_or_places_turn_wrong() -> None:
    shown = ((1.0, 0.99), (0.0, 0.99), (0.0, 0.5), (1.0, 0.99), (1.0, 0.5))
    records = [{"subject right": right, "scene right": 1.0, "likeness": likeness} for right, likeness in shown]
    assert [turns(records[: n + 1], 0.9) for n in range(5)] == [False, True, False, True, True]


def test_seconds_are_blocks() -> None:
    assert [block_at(seconds) for seconds in (5, 60, 1200)] == [6, 80, 1600]


# changes of prompt


def changed(eyes: Eyes, blocks: list[np.ndarray], motion: str = "crouch") -> Record:
    before = WorldState("wizard", "snow", "wave", 0, 2)
    return Change(before, motion, render_block(before)[-1]).judge(blocks, eyes)


def test_a_rendered_change_comes_at_once_and_without_a_jolt(eyes: Eyes) -> None:
    before = WorldState("wizard", "snow", "wave", 0, 2)
    seen = changed(eyes, list(following(before, "crouch", 3)))
    assert seen["frames until shown"] == 0 and seen["blocks until named"] == 1
    assert seen["seam"] == 0 and seen["motion right"] == seen["subject kept"] == seen["scene kept"] == 1


def test_a_change_that_comes_a_block_late_is_as_late_as_that(eyes: Eyes) -> None:
    before = WorldState("wizard", "snow", "wave", 0, 2)
    waving = next(following(before, "wave", 1))
    seen = changed(eyes, [waving, *following(advance(before, "wave"), "crouch", 2)])
    assert seen["motion right"] == 0 and seen["blocks until named"] == 2
    assert BLOCK_FRAMES - 3 <= seen["frames until shown"] <= BLOCK_FRAMES + 3


def test_a_change_that_never_comes_is_counted_as_all_that_was_watched(eyes: Eyes) -> None:
    before = WorldState("wizard", "snow", "wave", 0, 2)
    seen = changed(eyes, list(following(before, "wave", 3)))
    assert seen["frames until shown"] == 3 * BLOCK_FRAMES and seen["blocks until named"] == 4


def test_a_world_that_begins_anew_at_a_change_jolts(eyes: Eyes) -> None:
    elsewhere = WorldState("wizard", "beach", "crouch", 90, 0)
    seen = changed(eyes, [render_block(elsewhere)] * 3)
    assert seen["seam"] > 10 and seen["scene kept"] == 0


def test_every_way_of_changing_starts_from_one_past_and_costs_what_it_costs(weights: str, eyes: Eyes) -> None:
    arms = (Arm("flush", 6), Arm("re-cache", 6, "recache"), Arm("re-cache, longer", 9, "recache"))
    cell = Switches(Setting(weights, Window()), 0, arms, pasts=1, targets=1, lead=3, blocks=1)
    records = cell.run(eyes).records
    assert [record["arm"] for record in records] == [0, 1, 2]
    assert [record["passes"] for record in records] == [5, 7, 8]  # the sink alone, then its context, block by block


# cuts


def shot(eyes: Eyes, blocks: list[np.ndarray]) -> Record:
    return Shot(WALK, render_block(WALK)[-1]).judge(blocks, "cave", eyes)


def test_a_rendered_cut_is_clean(eyes: Eyes) -> None:
    there = advance(WALK, scene="cave")
    seen = shot(eyes, [render_block(there), render_block(advance(there))])
    assert [seen[f"scene at {n}"] for n in (1, 4, 12)] == [1, 1, 1]
    assert seen["scene later"] == seen["subject kept"] == seen["motion kept"] == 1
    assert seen["old scene"] < 0.05
    assert seen["ghost"] == pytest.approx(0, abs=1e-6)


def test_a_cross_fade_is_no_cut_and_the_old_scene_shines_through(eyes: Eyes) -> None:
    there = advance(WALK, scene="cave")
    shares = np.linspace(0, 1, BLOCK_FRAMES)[:, None, None, None]
    faded = (render_block(WALK)[-1] * (1 - shares) + render_block(there) * shares).astype(np.uint8)
    seen = shot(eyes, [faded, render_block(advance(there))])
    assert seen["scene at 1"] == 0 and seen["scene at 12"] == 1 and seen["scene later"] == 1
    assert seen["old scene"] > 0.2 and seen["ghost"] > 0.1


def test_ways_to_a_scene_differ_in_transition_and_coordinate_only(weights: str, eyes: Eyes) -> None:
    ways = (Way("cut", 45), Way("farther", 200), Way("flush"), Way("alone", on_switch="none"))
    outcome = Cuts(Setting(weights, Window()), 0, ways, pasts=1, targets=1, lead=2, blocks=2).run(eyes)
    assert [record["way"] for record in outcome.records] == [0, 1, 2, 3]
    before, *first = zip(*(outcome.arrays[str(way)] for way in range(4)), strict=True)
    assert all((frame == before[0]).all() for frame in before)
    assert len({frame.tobytes() for frame in first[0]}) == 4


# a rig is the environment


def test_a_rig_makes_the_environments_blocks_and_decodes_only_what_is_looked_at(weights: str) -> None:
    env, rig = InfinityRopeEnv(weights=weights), Rig(Setting(weights, Window()))
    state = WorldState("fox", "snow", "wave", 0, 0)
    env.reset(seed=EVALUATION_SEED_OFFSET + 3, options={"subject": "fox", "scene": "snow", "motion": "wave"})
    rig.start(state, seed=3)
    for number, action in enumerate(["wave"] * 6 + ["jump", "cut_city", "jump", "stand"]):
        observation = env.step(env.action_names.index(action))[0]
        rig.play(action)
        if number in (5, 6, 9):
            assert (rig.look() == observation).all()


def test_a_rig_goes_back_to_a_moment_and_its_film_with_it(weights: str) -> None:
    rig = Rig(Setting(weights, Window()))
    rig.start(WorldState("fox", "snow", "wave", 0, 0), seed=0)
    for _ in range(4):
        rig.play("wave")
    here, clips = rig.save(), []
    for action in ("jump", "stand", "jump"):
        rig.play(action)
        clips.append(rig.look())
        rig.restore(here)
    assert (clips[0] == clips[2]).all() and (clips[0] != clips[1]).any()
    assert rig.steering.motion == "wave"


def test_steps_and_window_are_the_settings(weights: str) -> None:
    assert even_steps(4) == (1000, 750, 500, 250) and even_steps(1) == (1000,)
    setting = Setting(weights, resized(Window(), 9, flush_context=2), even_steps(2))
    rig = Rig(setting)
    rig.start(WorldState("fox", "snow", "wave", 0, 0), seed=0)
    assert rig.passes == 3
    assert rig.rollout.window == Window(context=5, flush_context=2)


# what attention looks at


def test_recorded_weights_are_those_of_the_engines_attention() -> None:
    seen = []

    class Checking(RecordingWindow):
        def attend(self, query, key, value):
            attended = super().attend(query, key, value)
            weights = attention_weights(query, self.inner)
            assert torch.allclose(weights.sum(-1), torch.ones(weights.shape[:-1]), atol=1e-5)
            assert torch.allclose(weights @ self.inner.values.float(), attended.float(), atol=1e-5)
            seen.append(weights.shape)
            return attended

    class CheckingRollout(RecordingRollout):
        def _record(self, layout, windows, past):
            recorded = super()._record(layout, windows, past)
            self._windows = [Checking(each.inner, each.tokens_per_frame) for each in recorded]
            return self._windows

    story = [START, CONTINUE, CONTINUE, SWITCH, CUT, CONTINUE]
    model = small_model()
    with torch.inference_mode():
        recorded = play(CheckingRollout(model), story)
    assert torch.equal(recorded, play(Rollout(model), story))
    assert len(seen) >= len(story) * 4 * len(model.blocks)


def gazes(rollout: RecordingRollout, story: list) -> list:
    found = []
    for index, transition in enumerate(story):
        rollout.advance(prompt(sum(t in (SWITCH, CUT) for t in story[: index + 1])), transition)
        found.append(rollout.gaze())
    return found


def test_a_map_has_a_sink_column_a_band_and_a_cut_history() -> None:
    story = [START, CONTINUE, CONTINUE, SWITCH, CONTINUE]
    found = gazes(RecordingRollout(small_model()), story)
    assert [gaze.frames for gaze in found[2:4]] == [(0, 4, 5, 6, 7, 8), (0, 8, 9, 10, 11)]
    shares = frame_map(found)
    assert shares.shape == (15, 15)
    assert torch.allclose(shares.nan_to_num().sum(1), torch.ones(15), atol=1e-5)
    assert not shares[:, 0].isnan().any()
    assert shares[9:12].isnan().tolist() == [[f not in (0, 8, 9, 10, 11) for f in range(15)]] * 3


def test_only_the_sink_can_notice_absolute_time() -> None:
    model = small_model(torch.float64)
    for window, notices in ((Window(), True), (Window(sink=0, context=3), False)):
        rollout = ShiftedRollout(model, window, Sampler(), farthest=2000)
        for transition in (START, CONTINUE, CONTINUE):
            rollout.advance(prompt(0).double(), transition)
        state, made = rollout.save(), []
        for rollout.shift in (0, 0, 1990):
            rollout.restore(state)
            made.append(rollout.advance(prompt(0).double(), CONTINUE).latents)
        assert relative_change(made[1], made[0]) == 0
        assert (relative_change(made[2], made[0]) > 1e-3) is notices


# numbers


def test_a_mean_and_its_spread() -> None:
    spread = Spread.of([0.5, 0.7, 0.9])
    assert (spread.mean, spread.std) == (pytest.approx(0.7), pytest.approx(0.2))
    assert str(spread) == "0.7 ± 0.2"
    assert str(Spread.of([1 / 3])) == "0.333"
    assert str(Spread.of([312.4, 311.2])) == "312 ± 0.85"


def test_a_difference_is_taken_seed_by_seed() -> None:
    difference = Difference.of([1.0, 2.0, 3.0], [0.5, 1.6, 2.4])
    assert difference.mean == pytest.approx(0.5)
    half = 4.30 * 0.1 / math.sqrt(3)
    assert (difference.low, difference.high) == (pytest.approx(0.5 - half), pytest.approx(0.5 + half))
    assert difference.sign == 1
    assert Difference.of([0.0, 1.0, 5.0], [1.0, 1.0, 1.0]).sign == 0
    assert Difference.of([2.0], [1.0]).sign == 0


def test_verdicts_follow_from_the_numbers() -> None:
    high, low, wild = [0.9, 0.91, 0.92], [0.5, 0.52, 0.51], [0.1, 0.9, 0.5]
    assert claimed_better("it helps", ("with", high), ("without", low)).outcome == AGREES
    assert claimed_better("it helps", ("with", low), ("without", high)).outcome == CONTRADICTS
    assert claimed_better("it helps", ("with", wild), ("without", low)).outcome == UNDECIDED
    assert claimed_better("it is faster", ("with", low), ("without", high), more_is_better=False).outcome == AGREES
    assert claimed_better("it helps", ("with", high), ("without", high)).outcome == NO_DIFFERENCE
    assert claimed_better("it helps", ("with", [0.904, 0.914, 0.924]), ("without", high)).outcome == NO_DIFFERENCE
    assert default_is_best("size", "6", {"6": high, "9": low}, "overall").outcome == AGREES
    assert default_is_best("size", "6", {"9": high, "6": high}, "overall").outcome == AGREES
    found = default_is_best("size", "6", {"6": low, "9": high}, "overall")
    assert found.outcome == CONTRADICTS and "argues for 9 instead of the default, 6" in found.text
    assert default_is_best("size", "6", {"6": low, "9": wild}, "delay", False).outcome == UNDECIDED
    about = [0.55, 0.47, 0.513]  # 0.001 more on average, by chance
    assert default_is_best("size", "6", {"6": low, "9": about}, "overall").outcome == UNDECIDED
    hardly = [value + 0.001 for value in low]
    found = default_is_best("size", "6", {"6": low, "9": hardly}, "overall")
    assert found.outcome == AGREES and "difference +0.001 (0.001 to 0.001)" in found.text


def test_a_table_reads_and_keeps_means_and_spreads() -> None:
    table = Table("what", ("row", "a", "b"), [["one", Spread.of([1.0, 3.0]), None], ["two", 0.12345, "holds"]])
    assert table.markdown()[-2:] == ["| one | 2 ± 1.4 |  |", "| two | 0.123 | holds |"]
    rows = json.loads(json.dumps(table.data()))["rows"]
    assert rows[0][1] == {"mean": 2.0, "std": pytest.approx(math.sqrt(2)), "count": 2}
    with pytest.raises(ValueError, match="expected rows of 2 entries"):
        Table("what", ("row", "a"), [["one"]])


def test_two_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 3 seeds"):
        Plan(QUICK, seeds=2)


# cells


@dataclass(frozen=True)
class Counting:
    """Counts how often it is run."""

    number: int
    weights: str
    timed: bool = False
    name = "counting"

    def run(self, eyes: Eyes) -> Outcome:
        RUNS.append(self.number)
        if self.number == 13:
            raise RuntimeError("stopped")
        return Outcome([{"number": float(self.number)}], {"picture": np.full((2, 2), self.number)})


RUNS: list[int] = []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    RUNS.clear()
    yield Store(tmp_path / "cells")


def test_a_finished_cell_is_not_made_again(store: Store, weights: str) -> None:
    with pytest.raises(RuntimeError, match="stopped"):
        store.make([Counting(1, weights), Counting(1, weights), Counting(13, weights), Counting(2, weights)])
    assert RUNS == [1, 13]
    store.make([Counting(1, weights), Counting(2, weights)])
    assert RUNS == [1, 13, 2]
    kept = store.load(Counting(2, weights))
    assert kept.records == [{"number": 2.0}] and (kept.arrays["picture"] == 2).all()
    with pytest.raises(KeyError, match="has not been made yet"):
        store.load(Counting(13, weights))


def test_other_weights_make_other_cells(store: Store, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store.make([Counting(1, weights)])
    monkeypatch.setattr(store_module, "fingerprint", lambda _: "retrained")
    assert not store.has(Counting(1, weights))


def test_another_processor_makes_only_times_anew(store: Store, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store.make([Counting(1, weights), Counting(2, weights, timed=True)])
    monkeypatch.setattr(store_module, "processor", lambda: "another")
    assert store.has(Counting(1, weights)) and not store.has(Counting(2, weights, timed=True))


def test_other_steps_make_other_cells(store: Store, tmp_path: Path) -> None:
    world = tiny_world(tmp_path / "world")
    store.make([Counting(1, str(world))])
    card = json.loads((world / "card.json").read_text())
    card["sampler"]["steps"] = [1000, 500]
    (world / "card.json").write_text(json.dumps(card))
    store_module.fingerprint.cache_clear()
    assert not store.has(Counting(1, str(world)))


TINY = replace(
    QUICK,
    horizons_s=(2,),
    window_horizons_s=(2,),
    steps_horizons_s=(2,),
    sizes=(6, 9),
    pasts=1,
    motions=1,
    after=2,
    cut_coordinates=(6, 45),
    shifts=(12, 60),
    steps=(1, 4),
    timed=2,
)


def test_one_command_writes_a_report_and_leaves_nothing_to_be_made(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ablations, "QUICK", TINY)
    monkeypatch.setattr(plan_module, "LEAST_SEEDS", 1)
    options = ablations.Options(weights, quick=True, seeds=1, cells=tmp_path / "cells", out=tmp_path / "results")
    options = replace(options, teacher=weights, control=weights)
    ablations.main(options)
    page, data = ((options.out / f"ablations.{kind}").read_text() for kind in ("md", "json"))
    sections = json.loads(data)["sections"]
    assert list(sections) == list(ablations.EXPERIMENTS)
    assert all(section["tables"] and section["verdicts"] for section in sections.values())
    pictures = [name for section in sections.values() for name in section["pictures"].values()]
    assert len(pictures) in (10, 11) and all((options.out / name).stat().st_size for name in pictures)
    assert "nan" not in page and "This is a quick run" in page
    assert "as shipped: unknown; teacher: unknown; control: unknown" in page  # the tiny world has no record
    assert "| rendered | " in page and "## Verdict" in page

    capsys.readouterr()
    plan = Plan(TINY, weights, teacher=weights, control=weights, seeds=1)
    Store(options.cells).make([cell for each in ablations.EXPERIMENTS.values() for cell in each.cells(plan)])
    assert ", 0 of them to be made" in capsys.readouterr().out


def test_a_report_tells_how_long_a_world_has_learnt() -> None:
    assert learnt("pocket") == "narrow 1988, teacher 1000, student 600"


def test_a_report_without_cells_says_what_is_missing(weights: str, tmp_path: Path) -> None:
    options = ablations.Options(weights, quick=True, report=True, cells=tmp_path / "none", out=tmp_path / "results")
    ablations.main(options)
    page = (options.out / "ablations.md").read_text()
    assert page.count("is left out: ") == 7 and page.count(" was given (--") == 2 and "**rank" not in page
