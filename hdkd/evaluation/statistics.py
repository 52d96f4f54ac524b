"""What a handful of seeds and a finite test set say about other seeds and other images.

Two models that are tested on the same images are compared image by image and seed by seed. The
error of a mean over seeds has two parts: seeds differ (sample deviation over seeds), and other test
images would have given another mean (sample deviation over images, class by class in balanced
accuracy, of the mean over seeds). Both are added, which counts the noise within a cell twice and so
errs on the safe side; degrees of freedom are Satterthwaite's, as for readers and cases in studies
of diagnostic imaging (Hillis 2007, *Statistics in Medicine* 26:596), so that a class of few test
images widens an interval that it decides. No interval is narrower than Student's t over the seeds
alone. Test images count as independent of each other, which slices of one head are not.

Seeds that agree on a count of images may still differ by less than an image. Their deviation is at
least that of rounding to whole images, 1/√12 of an image (Sheppard's correction). In accuracy it is
smaller than the deviation of any few seeds of which two differ, so it only matters where all agree.
In balanced accuracy it is that of all classes together, of which one with few test images may make
it larger than what the seeds differ by: then the interval is wider than theirs.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

LEVEL = 0.95
POWER = 0.8
ROUNDING = 1 / math.sqrt(12)  # the deviation of a uniform error of up to a half either way
MANY = 1000  # seeds or multiples of the test set: beyond, a study is not worth planning


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its errors, all in the unit of the values; intervals are of 95 %.

    ``image_error`` is the standard error from test images, known with ``image_freedom`` degrees of
    freedom. ``resolution`` is how much one test image changes a value: seeds that agree are known
    no better.
    """

    values: tuple[float, ...]
    image_error: float
    resolution: float
    image_freedom: float = math.inf

    @property
    def seeds(self) -> int:
        """How many: one value each."""
        return len(self.values)

    @property
    def mean(self) -> float:
        """Over seeds."""
        return float(np.mean(self.values))

    @property
    def seed_error(self) -> float:
        """The standard error from seeds; NaN for a single one."""
        if self.seeds < 2:
            return math.nan
        deviation = max(float(np.std(self.values, ddof=1)), self.resolution * ROUNDING)
        return deviation / math.sqrt(self.seeds)

    @property
    def error(self) -> float:
        """The standard error of the mean; NaN for a single seed."""
        return math.hypot(self.seed_error, self.image_error)

    @property
    def interval(self) -> tuple[float, float]:
        """Low and high end; NaN for a single seed, of which no other seed can be told."""
        from scipy.stats import t  # slow to import

        tests = self._tests(self.seed_error, self.image_error, self.seeds)
        reach = max(error * float(t.ppf((1 + LEVEL) / 2, freedom)) for error, freedom in tests)
        return self.mean - reach, self.mean + reach

    @property
    def p_value(self) -> float:
        """Two-sided, of a true mean of zero; NaN for a single seed."""
        from scipy.stats import t

        tests = self._tests(self.seed_error, self.image_error, self.seeds)
        return max(2 * float(t.sf(abs(self.mean) / error, freedom)) for error, freedom in tests)

    @property
    def smallest(self) -> float:
        """The smallest true mean that such a study alone would tell from zero in 80 % of cases."""
        planned = self._tests(self._planned(self.seeds), self.image_error, self.seeds)
        return smallest_effect(planned)

    def _planned(self, seeds: int) -> float:
        """The standard error to expect from so many seeds; few values spread too little, by c₄."""
        if self.seeds < 2:
            return math.nan
        freedom = self.seeds - 1
        ratio = math.exp(math.lgamma(self.seeds / 2) - math.lgamma(freedom / 2))
        c4 = math.sqrt(2 / freedom) * ratio
        return self.seed_error * math.sqrt(self.seeds / seeds) / c4

    def _tests(
        self, seed_error: float, image_error: float, seeds: int
    ) -> list[tuple[float, float]]:
        """Standard errors with their degrees of freedom; the wider counts.

        First that of seeds and images together, then that of seeds alone.
        """
        error = math.hypot(seed_error, image_error)
        if seeds < 2:
            return [(error, math.inf)]
        parts = seed_error**4 / (seeds - 1) + image_error**4 / self.image_freedom
        return [(error, error**4 / parts), (seed_error, seeds - 1)]

    def needed(self, size: float, level: float = 1 - LEVEL) -> str:
        """How many seeds, else how many test images, show a true mean of ``size`` in 80 % of cases.

        More seeds than there are, because these have not shown it. The p value has to be below
        ``level``.
        """
        if self.seeds < 2:
            return "at least 3 seeds"

        def shown(seeds: int, times: int = 1) -> bool:
            images = replace(self, image_freedom=self.image_freedom * times)
            error = self.image_error / math.sqrt(times)
            tests = images._tests(self._planned(seeds), error, seeds)
            return smallest_effect(tests, level) <= size

        tried = range(self.seeds + 1, MANY)
        if (k := bisect_left(tried, True, key=shown)) < len(tried):
            return f"about {tried[k]} seeds"
        tried = range(2, MANY)
        if (k := bisect_left(tried, True, key=lambda times: shown(MANY, times))) < len(tried):
            return f"about {tried[k]} times as many test images"
        return "more seeds and images than are worth planning"


def estimate(scores: np.ndarray, labels: np.ndarray | None = None, unit: float = 1.0) -> Estimate:
    """The mean of ``scores`` ``(seeds, images)`` over both, times ``unit`` (100 for percent).

    Scores are 0 or 1 where a model is wrong or right, or sums and differences of such. With the
    images' ``labels`` ``(images,)`` every class weighs the same (balanced accuracy) and images are
    redrawn within classes.
    """
    groups = [np.arange(scores.shape[1])]
    if labels is not None:
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    means = scores.mean(axis=0)
    values = np.mean([scores[:, group].mean(axis=1) for group in groups], axis=0)
    # Of the mean of each class, in that of all; a class of one image says nothing of others.
    several = [group for group in groups if len(group) > 1]
    parts = [means[g].var(ddof=1) / len(g) / len(groups) ** 2 for g in several]
    squares = sum(part**2 / (len(g) - 1) for part, g in zip(parts, several, strict=True))
    # The counts of all classes are rounded, each by itself.
    resolution = math.hypot(*(1 / len(group) for group in groups)) / len(groups)
    return Estimate(
        tuple(float(unit * value) for value in values),
        unit * math.sqrt(sum(parts)),
        unit * resolution,
        sum(parts) ** 2 / squares if squares else math.inf,
    )


def smallest_effect(tests: Sequence[tuple[float, float]], level: float = 1 - LEVEL) -> float:
    """The true mean that all of several two-sided tests at ``level`` find in 80 % of cases.

    ``tests`` are standard errors with their degrees of freedom. NaN where an error is.
    """
    return max(error * _shift(freedom, level) for error, freedom in tests)


def _shift(freedom: float, level: float) -> float:
    """That of one test with so many degrees of ``freedom``, in standard errors."""
    from scipy.optimize import brentq
    from scipy.stats import nct, norm, t

    if freedom > 1000:  # where the non-central t is the normal distribution, and hard to compute
        return float(norm.isf(level / 2) + norm.ppf(POWER))
    bar = t.isf(level / 2, freedom)
    return float(brentq(lambda shift: nct.sf(bar, freedom, shift) - POWER, 0, 5 * bar))


def mcnemar(better: np.ndarray, base: np.ndarray) -> float:
    """Exact two-sided p of McNemar's test of two trained models.

    ``better`` and ``base`` ``(images,)`` are 1 where the model is correct. The test is about these
    two runs: it does not know what another seed would give.
    """
    from scipy.stats import binomtest

    won, lost = int((better > base).sum()), int((better < base).sum())
    return binomtest(won, won + lost).pvalue if won + lost else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that among all of them one false finding is rarer than its level (Holm 1979).

    NaN, of what was not tested, stays so and does not count.
    """
    adjusted, largest = [math.nan] * len(p_values), 0.0
    steps = holm_steps(p_values)
    for k in sorted((k for k, step in enumerate(steps) if step), key=lambda k: -steps[k]):
        largest = max(largest, min(1.0, steps[k] * p_values[k]))
        adjusted[k] = largest
    return adjusted


def holm_steps(p_values: Sequence[float]) -> list[int]:
    """By what :func:`holm` multiplies each: the smallest by their number, the largest by 1.

    0 for NaN.
    """
    tested = [k for k, p_value in enumerate(p_values) if not math.isnan(p_value)]
    order = sorted(tested, key=lambda k: p_values[k])
    return [len(order) - order.index(k) if k in order else 0 for k in range(len(p_values))]
