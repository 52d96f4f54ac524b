"""Quantities that runs give: accuracies, gains and orderings.

The paper's accuracies belong to the best epoch on the test set (that is how its released code
reports), so an accuracy is compared at the best epoch. They are of one run, so the interval beside
an accuracy is that of one more. The last epoch, which is not chosen on the test set, stands beside
it.

Gains and orderings are judged at the last epoch, seed by seed and test image by test image, and
corrected for the other comparisons of their table (Holm).
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from typing_extensions import override

from hdkd.evaluation.statistics import Estimate, mcnemar
from hdkd.paper import verdicts
from hdkd.paper.measurements import (
    Contrast,
    Measurements,
    accuracy_over_seeds,
    best_epochs,
)
from hdkd.paper.row import NO_MEAN, Evidence, Mean, Quantity, Row
from hdkd.paper.verdicts import Verdict
from hdkd.runs.records import RunSummary


class Trained(Quantity):
    """A number that runs give."""

    @abstractmethod
    def small_scale(self, profile: Measurements) -> Mean:
        """What a smaller profile has of it, at the last epoch; ``NO_MEAN`` without runs."""

    @abstractmethod
    def judged(self, evidence: Evidence) -> dict[str, Any]:
        """The fields of its row that the paper's profile gives; none without runs."""

    @override
    def row(self, evidence: Evidence) -> Row:
        found = [(each, self.small_scale(each)) for each in evidence.smaller]
        found = [(each, mean) for each, mean in found if mean.seeds]
        row = Row(
            self.value,
            notes=(self.value.note,),
            smaller={each.profile: mean for each, mean in found},
            data=next((each.data(self.value.dataset) for each, _ in found), ""),
        )
        return replace(row, **self.judged(evidence))

    def _judged_from(self, paper: Measurements, runs: Sequence[RunSummary]) -> dict[str, Any]:
        """Which data the runs were made with, on which devices, and their folders."""
        return {
            "data": paper.data(self.value.dataset),
            "devices": tuple(sorted({run.provenance.device for run in runs})),
            "runs": tuple(run.run.folder.as_posix() for run in runs),
        }


class Accuracy(Trained):
    """A test accuracy in percent."""

    def measure(self, profile: Measurements) -> Estimate | None:
        """At the best epoch; ``None`` unless there are runs and every epoch was tested."""
        runs = profile.runs(self.value)
        shares = best_epochs(runs)
        return accuracy_over_seeds(shares, runs[0].test_images) if shares else None

    def last_epoch(self, profile: Measurements) -> Estimate | None:
        """At the last (or kept) epoch; ``None`` without runs."""
        runs = profile.runs(self.value)
        shares = [run.final.accuracy for run in runs]
        return accuracy_over_seeds(shares, runs[0].test_images) if runs else None

    def verdict(self, found: Estimate, profile: Measurements) -> Verdict:
        """Whether one more run would be as the published one."""
        same_images = profile.has_published_split(self.value.dataset)
        return verdicts.of_accuracy(found, self.value.number, self.value.half_digit, same_images)

    @override
    def small_scale(self, profile: Measurements) -> Mean:
        found = self.last_epoch(profile)
        return self._one_more(found, profile) if found else NO_MEAN

    @override
    def judged(self, evidence: Evidence) -> dict[str, Any]:
        paper = evidence.paper
        last = self.last_epoch(paper)
        if last is None:
            return {}
        runs, best = paper.runs(self.value), self.measure(paper)
        verdict = self.verdict(best or last, paper)
        epochs = " or ".join(map(str, sorted({run.epochs for run in runs})))
        leaks = [run.without_leaks for run in runs]
        new = np.mean([each.accuracy for each in leaks if each]) if all(leaks) else math.nan
        return {
            "measured": self._one_more(best or last, paper),
            "verdict": verdict,
            "notes": (self.value.note, verdict.need),
            "protocol": f"best of {epochs} epochs" if best else "the epoch that is kept",
            "last_epoch": last.mean,
            "without_leaks": Mean(100 * float(new)),
            **self._judged_from(paper, runs),
        }

    def _one_more(self, found: Estimate, profile: Measurements) -> Mean:
        """The mean, and the interval of one more run, which is in [0, 100]."""
        same_images = profile.has_published_split(self.value.dataset)
        low, high = np.clip(verdicts.one_more_run(found, same_images), 0, 100)
        return Mean(found.mean, float(low), float(high), found.seeds)


class Effect(Trained):
    """A difference between networks in points, which the paper claims to be positive."""

    def measure(self, profile: Measurements) -> Estimate | None:
        """At the last (or kept) epoch; ``None`` without seeds that both networks have."""
        contrast = profile.contrast(self.value)
        return contrast.accuracy() if contrast else None

    def verdict(self, found: Estimate, p_value: float, step: int) -> Verdict:
        """With the ``p_value`` corrected for its table, where it has counted ``step`` times."""
        return verdicts.of_effect(found, p_value, self.claimed_size, self.value.half_digit, step)

    @property
    @abstractmethod
    def claimed_size(self) -> float | None:
        """The size in points that the paper claims, ``None`` where it claims none."""

    @override
    def small_scale(self, profile: Measurements) -> Mean:
        return Mean.of(self.measure(profile))

    @override
    def judged(self, evidence: Evidence) -> dict[str, Any]:
        contrast = evidence.paper.contrast(self.value)
        if contrast is None:
            return {}
        found = contrast.accuracy()
        p_value, step = evidence.corrected.get(self.value.comparison, (math.nan, 1))
        verdict = self.verdict(found, p_value, step)
        note = verdict.need
        if (single := _mcnemar(contrast)) is not None:
            p_value = single
            note += "; p is McNemar's, of these two runs alone"
        return {
            "measured": Mean.of(found),
            "verdict": verdict,
            "notes": (self.value.note, note),
            "protocol": "last epoch",
            "best_epoch": contrast.best_epoch(),
            "balanced": Mean.of(contrast.balanced()),
            "without_leaks": Mean.of(contrast.without_leaks()),
            "p_value": p_value,
            "smallest": found.smallest,
            **self._judged_from(evidence.paper, [run for cell in contrast.cells for run in cell]),
        }


class Gain(Effect):
    """A gain of a size that the paper prints."""

    @property
    @override
    def claimed_size(self) -> float:
        return self.value.number


class Ordering(Effect):
    """One network above another, or a gain above another, as printed numbers claim."""

    @property
    @override
    def claimed_size(self) -> None:
        return None


def _mcnemar(contrast: Contrast) -> float | None:
    """The p value of two single runs; ``None`` where there are more, or no predictions."""
    if contrast.scores is None or contrast.scores.shape[0] > 1 or len(contrast.cells) > 2:
        return None
    return mcnemar(contrast.scores[0], np.zeros_like(contrast.scores[0]))
