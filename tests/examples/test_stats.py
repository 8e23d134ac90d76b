"""Statistics shared by the examples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from examples.stats import (
    NORMAL_95,
    STUDENT_T_95,
    PairedDifference,
    SeedStatistics,
    format_number,
    median,
    wilson,
)


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


@pytest.mark.parametrize(("freedom", "quantile"), list(enumerate(STUDENT_T_95, start=1)))
def test_95_percent_of_students_t_lie_within_its_quantile(freedom: int, quantile: float) -> None:
    x = np.linspace(-quantile, quantile, 100_001)
    scale = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    density = scale * (1 + x * x / freedom) ** (-(freedom + 1) / 2)
    share = ((density[1:] + density[:-1]) / 2 * np.diff(x)).sum()
    assert share == pytest.approx(0.95, abs=5e-4)


@pytest.mark.parametrize(("pairs", "quantile"), [(2, 12.71), (3, 4.30), (10, 2.26), (11, NORMAL_95), (30, NORMAL_95)])
def test_the_interval_of_a_difference_is_as_wide_as_its_number_of_pairs_says(pairs: int, quantile: float) -> None:
    values = [float(number % 2) for number in range(pairs)]
    found = PairedDifference.of([0.0] * pairs, values)
    error = float(np.std(values, ddof=1)) / math.sqrt(pairs)
    assert found.high - found.mean == pytest.approx(quantile * error) == pytest.approx(found.mean - found.low)


def test_a_difference_that_is_certainly_negative_has_sign_minus_1() -> None:
    assert PairedDifference.of([0.5, 1.6, 2.4], [1.0, 2.0, 3.0]).sign == -1


def test_wilsons_interval_stays_between_0_and_1_and_narrows_with_the_count() -> None:
    assert wilson(10, 10) == (pytest.approx(0.7225, abs=1e-4), 1.0)
    assert wilson(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-4))
    assert wilson(50, 100) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))


def test_a_single_pair_decides_nothing() -> None:
    found = PairedDifference.of([2.0], [1.0])
    assert found.sign == 0 and not found.within(100) and found.interval == "unknown to unknown"


def test_numbers_are_short_and_large_ones_have_no_decimals() -> None:
    assert [format_number(x) for x in (0.0, 0.12345, -7.0234, 99.96, 312.4)] == ["0", "0.123", "-7.02", "100", "312"]
    assert median([3.0, 1.0, 2.0]) == 2.0
