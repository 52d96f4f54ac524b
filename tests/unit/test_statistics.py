"""Intervals over seeds, against tables and another implementation."""

import math

import pytest
from scipy.stats import ttest_rel

from hdkd.evaluation.statistics import t_interval


def test_is_that_of_the_table_of_students_t():
    # Mean 2, sample deviation 1, three values: 4.303 · 1 / √3 either way.
    low, high = t_interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx(
        (2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)), abs=1e-3
    )


def test_is_that_of_the_paired_t_test():
    student, hdkd = [75.3, 77.0, 78.0, 77.0], [87.7, 89.0, 88.8, 87.2]
    expected = ttest_rel(hdkd, student).confidence_interval(0.95)
    assert t_interval([b - a for a, b in zip(student, hdkd, strict=True)]) == pytest.approx(
        (expected.low, expected.high)
    )


def test_one_value_has_none():
    assert all(math.isnan(end) for end in t_interval([1.0]))
