"""Estimates over seeds and images, against tables, other implementations and simulated studies."""

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, ttest_ind, ttest_rel

from hdkd.evaluation.statistics import Estimate, estimate, holm, holm_steps, mcnemar


def t_interval(values) -> tuple[float, float]:
    return Estimate(tuple(values), 0.0, 0.0).interval


def test_over_seeds_alone_it_is_the_table_of_students_t():
    # Mean 2, sample deviation 1, three values: 4.303 · 1 / √3 either way.
    low, high = t_interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx(
        (2 - 4.303 / math.sqrt(3), 2 + 4.303 / math.sqrt(3)), abs=1e-3
    )


def test_over_seeds_alone_it_is_the_paired_t_test():
    student, hdkd = [75.3, 77.0, 78.0, 77.0], [87.7, 89.0, 88.8, 87.2]
    expected = ttest_rel(hdkd, student)
    found = Estimate(tuple(b - a for a, b in zip(student, hdkd, strict=True)), 0.0, 0.0)
    interval = expected.confidence_interval(0.95)
    assert found.interval == pytest.approx((interval.low, interval.high))
    assert found.p_value == pytest.approx(expected.pvalue)


def test_one_seed_has_no_interval():
    found = Estimate((1.0,), 0.1, 0.1)
    assert all(map(math.isnan, (*found.interval, found.p_value, found.smallest)))


@pytest.mark.parametrize("balanced", [False, True], ids=["accuracy", "balanced accuracy"])
def test_the_error_from_images_is_that_of_a_bootstrap_over_images(balanced):
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [150, 30, 20])
    scores = (generator.random((3, 200)) < 0.6 + 0.1 * labels).astype(float)
    means = []
    for _ in range(4000):
        if balanced:  # within classes, which all weigh the same
            draws = [
                generator.choice(np.flatnonzero(labels == k), (labels == k).sum()) for k in range(3)
            ]
            means.append(np.mean([scores[:, draw].mean() for draw in draws]))
        else:
            means.append(scores[:, generator.integers(0, 200, 200)].mean())
    found = estimate(scores, labels if balanced else None)
    assert found.mean == pytest.approx(np.mean(means), abs=0.003)
    assert found.image_error == pytest.approx(np.std(means), rel=0.05)


def test_the_error_of_two_classes_is_that_of_welchs_test():
    generator = np.random.default_rng(0)
    first, second = generator.normal(0, 1, 40), generator.normal(0, 3, 5)
    # The mean of both classes is half the difference of the first and the negated second.
    expected = ttest_ind(first, -second, equal_var=False)
    found = estimate(np.concatenate([first, second])[None], np.repeat([0, 1], [40, 5]))
    assert found.mean / found.image_error == pytest.approx(expected.statistic)
    assert found.image_freedom == pytest.approx(expected.df)


def test_few_images_of_a_class_that_decides_widen_the_interval():
    values = (2.0, 2.1, 1.9)
    many, few = (Estimate(values, 1.0, 0.0, freedom).interval for freedom in (math.inf, 3.0))
    assert few[0] < many[0]
    assert few[1] > many[1]


def test_no_interval_is_narrower_than_that_over_seeds_alone():
    gains = (5.95, 1.15)
    both, seeds = Estimate(gains, 1.2, 0.0).interval, t_interval(gains)
    assert both[0] <= seeds[0]
    assert both[1] >= seeds[1]


def test_two_seeds_say_nothing():
    # 3.55 ± 3.40: from -27 to +34.
    low, high = t_interval([3.55 - 3.40 / math.sqrt(2), 3.55 + 3.40 / math.sqrt(2)])
    assert (round(low), round(high)) == (-27, 34)


def test_hundreds_of_seeds_are_as_good_as_any():
    many = Estimate((1.0, -1.0) * 500, 0.0, 0.0)
    # 1.960 + 0.842 standard errors.
    assert many.smallest == pytest.approx(2.80 / math.sqrt(1000), rel=0.01)


def test_seeds_that_agree_differ_by_the_rounding_to_whole_images():
    # 1307 of 1311 three times: 4.303 · (1/√12 of an image) / √3 either way, 0.72 of an image.
    right = np.tile(np.arange(1311) < 1307, (3, 1))
    found = estimate(right, unit=100.0)
    assert found.seed_error == pytest.approx(100 / 1311 / math.sqrt(12) / math.sqrt(3))
    low, high = Estimate(found.values, 0.0, 100 / 1311).interval
    assert (high - low) / 2 == pytest.approx(0.717 * 100 / 1311, rel=1e-3)


def test_seeds_of_which_one_differs_by_an_image_have_their_own_deviation():
    differs = np.tile(np.arange(10) < 5, (3, 1))
    differs[0, 0] = False
    found = estimate(differs)
    assert found.seed_error == pytest.approx(np.std([0.4, 0.5, 0.5], ddof=1) / math.sqrt(3))


def test_in_balanced_accuracy_the_counts_of_all_classes_are_rounded():
    # One image is 1/2 of the first class and 1/8 of the second, and each class half of the metric.
    labels = np.array([0] * 2 + [1] * 8)
    found = estimate(np.ones((3, 10)), labels)
    assert found.resolution == pytest.approx(math.hypot(1 / 2, 1 / 8) / 2)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("of_seeds", [0.02, 0.1, 0.3, 1.0])
def test_an_interval_holds_the_mean_however_little_seeds_differ(seeds, of_seeds):
    """Of counts, whose true mean is anywhere between two whole images."""
    generator = np.random.default_rng(0)
    held = []
    for latent in generator.random(60):
        every = np.round(latent + generator.normal(0, of_seeds, 5000))
        for _ in range(40):
            low, high = Estimate(tuple(generator.choice(every, seeds)), 0.0, 1.0).interval
            held.append(low <= every.mean() <= high)
    assert np.mean(held) > 0.94


def test_mcnemar_counts_only_images_on_which_the_two_differ():
    better = np.array([1] * 9 + [0] * 1 + [1] * 50)
    base = np.array([0] * 9 + [1] * 1 + [1] * 50)
    assert mcnemar(better, base) == pytest.approx(binomtest(9, 10).pvalue)
    assert mcnemar(base, base) == 1.0


def test_holm_is_that_of_the_textbook():
    # Times 4, 3, 2, 1 in ascending order, never below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_what_is_needed_shows_the_effect_when_it_is_there():
    few = Estimate((1.0, 4.0, 7.0), 0.5, 0.0)
    assert few.smallest > 4
    seeds = int(few.needed(4.0).split()[1])
    # As many values with the deviation that three such values stand for, in pairs around the mean.
    reach = 3.0 / 0.8862 * math.sqrt((seeds - 1) / (2 * (seeds // 2)))
    planned = (4 - reach, 4 + reach) * (seeds // 2) + (4.0,) * (seeds % 2)
    assert Estimate(planned, 0.5, 0.0).smallest == pytest.approx(4, abs=0.4)
    assert Estimate((1.0, 1.1, 0.9), 5.0, 0.0).needed(2.0).endswith("times as many test images")


def test_a_study_that_has_not_shown_it_needs_more_seeds_than_it_has():
    few = Estimate((3.0, 4.0, 5.5), 0.1, 0.1)
    assert few.smallest < 20
    assert few.needed(20.0) == "about 4 seeds"


def test_a_lower_level_needs_more_seeds():
    few = Estimate((1.0, 4.0, 7.0), 0.5, 0.1)
    alone, of_ten = (int(few.needed(4.0, level).split()[1]) for level in (0.05, 0.005))
    assert of_ten > alone + 2


def test_holm_tells_how_many_times_each_counts():
    assert holm_steps([0.01, 0.04, 0.03, 0.005]) == [3, 1, 2, 4]


def simulated(
    generator, seeds: int, true: float, of_seeds: float, count: int = 828, suiting: float = 0.5
) -> np.ndarray:
    """Differences of two networks' right answers ``(seeds, count)``.

    Images differ in difficulty and in which network they suit; each run of a network is a little
    better or worse.
    """
    images, suits = generator.normal(1.2, 1.0, count), generator.normal(0, suiting, count)
    runs = generator.normal(0, of_seeds, (2, seeds, 1))
    noise = generator.normal(0, 0.5, (2, seeds, count))
    sides = np.array([0.5, -0.5])[:, None, None]
    right = images + sides * (suits + true) + runs + noise > 0
    return right[0].astype(int) - right[1]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("of_seeds", [0.0, 0.05, 0.2])
def test_thousand_studies_find_effects_where_there_are_some_and_hardly_elsewhere(seeds, of_seeds):
    generator = np.random.default_rng([seeds, int(100 * of_seeds)])
    studies = 1000

    def found(true: float) -> list[Estimate]:
        made = (simulated(generator, seeds, true, of_seeds) for _ in range(studies))
        return [estimate(differences, unit=100.0) for differences in made]

    none = found(0.0)
    false = sum(study.p_value < 0.05 for study in none)
    smallest = float(np.mean([study.smallest for study in none]))
    low, high = 0.0, 8.0  # the shift of the latent score whose gain is that many points
    for _ in range(12):
        middle = (low + high) / 2
        gains = [100 * simulated(generator, seeds, middle, of_seeds).mean() for _ in range(150)]
        low, high = (middle, high) if np.mean(gains) < smallest else (low, middle)
    right = sum(study.p_value < 0.05 for study in found(middle))
    print(f"{seeds} seeds, {of_seeds}: {false} false, smallest {smallest:.2f}, {right} found")
    assert false <= binom.ppf(0.99, studies, 0.05)
    assert right >= binom.ppf(0.01, studies, 0.75)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_a_class_of_two_images_finds_no_effects_where_there_are_none(seeds):
    # As many as Brain Tumor MRI has test images without leaks.
    labels = np.repeat(range(4), [214, 17, 2, 80])
    generator = np.random.default_rng(seeds)
    made = (simulated(generator, seeds, 0.0, 0.05, len(labels), 1.5) for _ in range(1000))
    false = sum(estimate(differences, labels).p_value < 0.05 for differences in made)
    assert false <= binom.ppf(0.99, 1000, 0.05)


def test_what_was_not_tested_does_not_count_in_the_correction():
    assert holm([math.nan, 0.01, 0.04])[1:] == pytest.approx([0.02, 0.04])
    assert math.isnan(holm([math.nan, 0.01])[0])
