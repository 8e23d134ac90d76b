"""Statistics shared by the examples."""

from __future__ import annotations

import math

import pytest

from examples.stats import PairedDifference, SeedStatistics, format_number, median


def test_seed_statistics_have_mean_and_sample_deviation() -> None:
    found = SeedStatistics.of([0.5, 0.7, 0.9])
    assert (found.mean, found.std, found.count) == (pytest.approx(0.7), pytest.approx(0.2), 3)
    assert str(found) == "0.7 ± 0.2"
    assert str(SeedStatistics.of([312.4, 311.2])) == "312 ± 0.85"


def test_a_single_value_has_no_deviation_and_no_value_is_refused() -> None:
    assert math.isnan(SeedStatistics.of([1 / 3]).std) and str(SeedStatistics.of([1 / 3])) == "0.333"
    with pytest.raises(ValueError, match="expected at least one value"):
        SeedStatistics.of([])


def test_a_difference_is_paired_by_seed() -> None:
    found = PairedDifference.of([1.0, 2.0, 3.0], [0.5, 1.6, 2.4])
    half_width = 4.30 * 0.1 / math.sqrt(3)
    assert found.mean == pytest.approx(0.5)
    assert (found.low, found.high) == (pytest.approx(0.5 - half_width), pytest.approx(0.5 + half_width))
    assert found.sign == 1 and not found.within(0.5) and found.within(0.8)
    assert found.interval == "0.252 to 0.748"
    assert PairedDifference.of([0.0, 1.0, 5.0], [1.0, 1.0, 1.0]).sign == 0


def test_a_single_pair_decides_nothing() -> None:
    found = PairedDifference.of([2.0], [1.0])
    assert found.sign == 0 and not found.within(100) and found.interval == "unknown to unknown"


def test_numbers_are_short_and_large_ones_have_no_decimals() -> None:
    assert [format_number(x) for x in (0.0, 0.12345, -7.0234, 99.96, 312.4)] == ["0", "0.123", "-7.02", "100", "312"]
    assert median([3.0, 1.0, 2.0]) == 2.0
