"""Ablations: comparisons, tables, the store and the command."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from examples.ablations import command, experiment_config
from examples.ablations import store as store_module
from examples.ablations.comparison import (
    BETTER,
    DEFAULT_IS_BEST,
    HIGHER,
    LOWER,
    NO_DIFFERENCE,
    UNDECIDED,
    WORSE,
    compare,
    compare_with_default,
)
from examples.ablations.experiment_config import QUICK, ExperimentConfig
from examples.ablations.features import FeatureExtractor
from examples.ablations.job import Job, Outcome
from examples.ablations.store import Store
from examples.ablations.table import Table
from examples.ablations.training import trained_iterations
from examples.ablations.variant import Variant
from examples.stats import SeedStatistics
from infrope_env.config import Window
from tests.tiny_world import tiny_world

HIGH, LOW, WILD = [0.9, 0.91, 0.92], [0.5, 0.52, 0.51], [0.1, 0.9, 0.5]

# comparisons


def test_the_outcome_follows_from_the_interval_of_the_difference() -> None:
    def outcome(first: list[float], second: list[float], better: str | None = "higher") -> str:
        return compare("it helps", "metric", ("with", first), ("without", second), better).outcome  # type: ignore[arg-type]

    assert outcome(HIGH, LOW) == BETTER and outcome(LOW, HIGH) == WORSE
    assert outcome(LOW, HIGH, "lower") == BETTER and outcome(HIGH, LOW, "lower") == WORSE
    assert outcome(HIGH, LOW, None) == HIGHER and outcome(LOW, HIGH, None) == LOWER
    assert outcome(WILD, LOW) == UNDECIDED
    assert outcome(HIGH, HIGH) == NO_DIFFERENCE


def test_a_certain_difference_below_the_negligible_one_is_no_difference() -> None:
    slightly = [value + 0.004 for value in HIGH]
    assert compare("it helps", "metric", ("with", slightly), ("without", HIGH)).outcome == NO_DIFFERENCE
    found = compare_with_default("size", "metric", "6", {"6": LOW, "9": [value + 0.001 for value in LOW]})
    assert found.outcome == NO_DIFFERENCE and found.entries()[4:6] == ["+0.001", "0.001 to 0.001"]


def test_only_a_certainly_better_row_argues_against_a_default() -> None:
    assert compare_with_default("size", "overall", "6", {"6": HIGH, "9": LOW}).outcome == DEFAULT_IS_BEST
    assert compare_with_default("size", "overall", "6", {"9": HIGH, "6": HIGH}).outcome == DEFAULT_IS_BEST
    found = compare_with_default("size", "overall", "6", {"6": LOW, "9": HIGH})
    assert found.outcome == BETTER and (found.first[0], found.second and found.second[0]) == ("9", "6 (default)")
    assert compare_with_default("size", "delay", "6", {"6": LOW, "9": WILD}, "lower").outcome == UNDECIDED
    by_chance = [0.55, 0.47, 0.513]  # 0.001 more on average
    assert compare_with_default("size", "overall", "6", {"6": LOW, "9": by_chance}).outcome == UNDECIDED


def test_a_comparison_has_a_column_for_each_number() -> None:
    found = compare("it helps", "overall", ("with", HIGH), ("without", LOW))
    assert found.entries() == [
        "it helps",
        "overall",
        "with: 0.91 ± 0.01",
        "without: 0.51 ± 0.01",
        "+0.4",
        "0.375 to 0.425",
        "better",
    ]
    data = json.loads(json.dumps(found.data()))
    assert data["first"] == {"row": "with", "value": {"mean": 0.91, "std": pytest.approx(0.01), "count": 3}}
    assert data["difference"] == pytest.approx({"mean": 0.4, "low": 0.375, "high": 0.425}, abs=1e-3)
    alone = compare_with_default("size", "overall", "6", {"6": HIGH, "9": LOW})
    assert alone.entries()[3:] == ["", "", "", "default is best"] and alone.data()["difference"] is None


def test_a_table_prints_and_keeps_means_and_deviations() -> None:
    table = Table("what", ("row", "a", "b"), [["one", SeedStatistics.of([1.0, 3.0]), None], ["two", 0.12345, "none"]])
    assert table.markdown()[-2:] == ["| one | 2 ± 1.4 |  |", "| two | 0.123 | none |"]
    rows = json.loads(json.dumps(table.data()))["rows"]
    assert rows[0][1] == {"mean": 2.0, "std": pytest.approx(math.sqrt(2)), "count": 2}
    with pytest.raises(ValueError, match="expected rows of 2 entries"):
        Table("what", ("row", "a"), [["one"]])
    same = Table.of_values("what", ("row",), {("one",): {"a": [1.0, 3.0]}})
    assert same.columns == ("row", "a") and same.rows == [["one", SeedStatistics.of([1.0, 3.0])]]


def test_two_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="expected at least 3 seeds"):
        ExperimentConfig(QUICK, seeds=2)


# the store


@dataclass(frozen=True)
class CountingJob(Job):
    """Records that its seed ran; seed 13 fails."""

    def run(self, extractor: FeatureExtractor) -> Outcome:
        RUNS.append(self.seed)
        if self.seed == 13:
            raise RuntimeError("stopped")
        return Outcome([{"number": float(self.seed)}], {"picture": np.full((2, 2), self.seed)})


def counting_job(seed: int, weights: str, timed: bool = False) -> CountingJob:
    return CountingJob(Variant(weights, Window()), seed, timed=timed)


RUNS: list[int] = []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    RUNS.clear()
    yield Store(tmp_path / "outcomes")


def test_a_finished_job_does_not_run_again(store: Store, weights: str) -> None:
    with pytest.raises(RuntimeError, match="stopped"):
        store.run_missing([counting_job(number, weights) for number in (1, 1, 13, 2)])
    assert RUNS == [1, 13]
    store.run_missing([counting_job(1, weights), counting_job(2, weights)])
    assert RUNS == [1, 13, 2]
    kept = store.load(counting_job(2, weights))
    assert kept.records == [{"number": 2.0}] and (kept.arrays["picture"] == 2).all()
    with pytest.raises(KeyError, match="has no outcome"):
        store.load(counting_job(13, weights))
    assert sorted(path.suffix for path in store.folder.iterdir()) == [".json", ".json", ".npz", ".npz"]


def test_other_weights_have_other_outcomes(store: Store, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store.run_missing([counting_job(1, weights)])
    monkeypatch.setattr(store_module, "fingerprint", lambda _: "retrained")
    assert not store.has(counting_job(1, weights))


def test_another_processor_invalidates_times_only(store: Store, weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store.run_missing([counting_job(1, weights), counting_job(2, weights, timed=True)])
    monkeypatch.setattr(store_module, "processor", lambda: "another")
    assert store.has(counting_job(1, weights)) and not store.has(counting_job(2, weights, timed=True))


def test_other_steps_have_other_outcomes(store: Store, tmp_path: Path) -> None:
    world = tiny_world(tmp_path / "world")
    store.run_missing([counting_job(1, str(world))])
    card = json.loads((world / "card.json").read_text())
    card["sampler"]["steps"] = [1000, 500]
    (world / "card.json").write_text(json.dumps(card))
    store_module.fingerprint.cache_clear()
    assert not store.has(counting_job(1, str(world)))


# the command

TINY = replace(
    QUICK,
    horizons_s=(2,),
    window_horizons_s=(2,),
    steps_horizons_s=(2,),
    window_sizes=(6, 9),
    starts=1,
    motions=1,
    blocks_after=2,
    cut_coordinates=(6, 45),
    sink_shifts=(12, 60),
    step_counts=(1, 4),
    timed_blocks=2,
    memory_horizons_s=(2,),
)


@pytest.mark.slow
def test_one_command_writes_every_section_and_leaves_no_job_undone(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "QUICK", TINY)
    monkeypatch.setattr(experiment_config, "MIN_SEEDS", 1)
    options = command.Options(weights, quick=True, seeds=1, cells=tmp_path / "outcomes", out=tmp_path / "results")
    options = replace(options, teacher=weights, control=weights)
    command.main(options)
    page, data = ((options.out / f"ablations.{kind}").read_text() for kind in ("md", "json"))
    sections = json.loads(data)["sections"]
    assert list(sections) == list(command.EXPERIMENTS)
    assert all(section["tables"] and section["comparisons"] for section in sections.values())
    for name in sections.keys() - {"walks"}:  # walks have two more seeds
        assert {each["outcome"] for each in sections[name]["comparisons"]} <= {UNDECIDED, DEFAULT_IS_BEST}, name
    pictures = {path for section in sections.values() for path in section["pictures"].values()}
    named = {f"ablations_{name}.png" for name in ("attention", "cut", "cut_frames", "heads", "rope", "rope_distance")}
    named |= {f"ablations_{name}.png" for name in ("memory", "rope_time", "steps", "walks", "walks_time")}
    assert named <= pictures <= named | {"ablations_rope_failures.png"}  # drawn only where a rollout fails
    assert all((options.out / name).stat().st_size for name in pictures)
    assert "nan" not in page and "This is a quick run" in page
    assert "as shipped: unknown; teacher: unknown; control: unknown" in page  # the tiny world records no training
    assert "| rendered | " in page and "## Comparisons" in page

    capsys.readouterr()
    config = ExperimentConfig(TINY, weights, teacher=weights, control=weights, seeds=1)
    every = [job for each in command.EXPERIMENTS.values() for job in command.all_jobs(each, config)]
    Store(options.cells).run_missing(every)
    assert ", 0 of them to run" in capsys.readouterr().out


def test_the_card_of_the_pocket_model_records_its_training_iterations() -> None:
    assert trained_iterations("pocket") == "narrow 1988, teacher 1000, student 600, decoder 2600"


def test_a_report_without_outcomes_names_each_missing_section(weights: str, tmp_path: Path) -> None:
    options = command.Options(weights, quick=True, report=True, cells=tmp_path / "none", out=tmp_path / "results")
    command.main(options)
    page = (options.out / "ablations.md").read_text()
    for name in command.EXPERIMENTS.keys() - {"training"}:  # has no jobs without a control
        assert f"The {name} section is left out" in page
    assert "No teacher was given (--teacher)" in page and "No control was given (--control)" in page
    assert "The training section" not in page and "**Long rollouts" not in page
