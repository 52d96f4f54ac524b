"""Quantities that trainings give: accuracies, gains and orderings.

The paper's accuracies belong to the best epoch on the test set (that is how its released code
reports), so an accuracy is compared at the best epoch. They are of one training, so the interval
beside an accuracy is that of one more. The last epoch, which is not chosen on the test set, stands
beside it.

Gains and orderings are judged at the last epoch, seed by seed and test image by test image, and
corrected for the other comparisons of their table (Holm).
"""

from abc import abstractmethod
from dataclasses import astuple
from typing import Any

import numpy as np

from hdkd.evaluation.statistics import Estimate, mcnemar
from hdkd.paper import verdicts
from hdkd.paper.measurements import Contrast, Measurements, Summary, best_epoch, over_seeds
from hdkd.paper.quantities import NONE, Comparison, Evidence, Mean, Quantity, Row
from hdkd.paper.verdicts import Verdict
from hdkd.runs import evidence as summaries_of
from hdkd.study.names import network_name


class Trained(Quantity):
    """A number that trainings give."""

    @abstractmethod
    def small_scale(self, made: Measurements) -> Mean | None:
        """What a smaller profile has of it, at the last epoch; ``None`` without trainings."""

    @abstractmethod
    def found(self, evidence: Evidence) -> dict[str, Any] | None:
        """The fields of its row that the paper's profile gives; ``None`` without trainings."""

    def row(self, evidence: Evidence) -> Row:
        fields: dict[str, Any] = {"data": "", "notes": ()}
        smaller = {}
        for made in reversed(evidence.smaller):
            if small := self.small_scale(made):
                smaller[made.profile] = small
                fields["data"] = made.data(self.value.dataset)
        if found := self.found(evidence):
            fields |= found | {"data": evidence.paper.data(self.value.dataset)}
        notes = (self.value.note, *fields.pop("notes"))
        return Row(self.value, self.what, notes=notes, smaller=smaller, **fields)


class Accuracy(Trained):
    """A test accuracy in percent."""

    def measure(self, made: Measurements) -> Estimate | None:
        """At the best epoch; ``None`` unless there are trainings and every epoch was tested."""
        runs = self._runs(made)
        shares = [best_epoch(run) for run in runs]
        return None if not runs or None in shares else over_seeds(shares, runs[0]["test_images"])

    def last_epoch(self, made: Measurements) -> Estimate | None:
        """At the last (or kept) epoch; ``None`` without trainings."""
        runs = self._runs(made)
        shares = [run["final"]["accuracy"] for run in runs]
        return over_seeds(shares, runs[0]["test_images"]) if runs else None

    def verdict(self, found: Estimate, made: Measurements) -> Verdict:
        same_images = made.has_published_split(self.value.dataset)
        return verdicts.of_accuracy(found, self.value.number, self.value.half_digit, same_images)

    def small_scale(self, made: Measurements) -> Mean | None:
        found = self.last_epoch(made)
        return found and self._one_more(found, made)

    def found(self, evidence: Evidence) -> dict[str, Any] | None:
        paper = evidence.paper
        last = self.last_epoch(paper)
        if last is None:
            return None
        runs = self._runs(paper)
        best = self.measure(paper)
        verdict = self.verdict(best or last, paper)
        epochs = " or ".join(map(str, sorted({run["epochs"] for run in runs})))
        leaks = [run.get("without_leaks") for run in runs]
        new = float(np.mean([each["accuracy"] for each in leaks])) if all(leaks) else NONE
        return {
            "measured": self._one_more(best or last, paper),
            "verdict": verdict,
            "notes": (verdict.need,),
            "protocol": f"best of {epochs} epochs" if best else "the epoch that is kept",
            "last_epoch": last.mean,
            "without_leaks": Mean(100 * new),
            **_origin(runs),
        }

    def _runs(self, made: Measurements) -> list[Summary]:
        return [*made.cell(self.value.network, self.value).values()]

    def _one_more(self, found: Estimate, made: Measurements) -> Mean:
        """The mean, and the interval of one more training, which is in [0, 100]."""
        same_images = made.has_published_split(self.value.dataset)
        low, high = np.clip(verdicts.one_more(found, same_images), 0, 100)
        return Mean(found.mean, float(low), float(high), found.seeds)


class Effect(Trained):
    """A difference between trainings in points, which the paper claims to be positive."""

    @property
    @abstractmethod
    def claimed_size(self) -> float | None:
        """The size in points that the paper claims, ``None`` where it claims none."""

    @property
    def comparison(self) -> Comparison:
        """What is compared, wherever it is printed."""
        value = self.value
        return value.network, value.over, value.dataset, value.subset, value.beside

    @property
    def over(self) -> str:
        """The name of the network that it is compared with, for people."""
        return network_name(*astuple(self.value.over))

    def measure(self, made: Measurements) -> Estimate | None:
        """At the last (or kept) epoch; ``None`` without seeds that both networks have."""
        contrast = made.contrast(self.value)
        return contrast and contrast.accuracy()

    def verdict(self, found: Estimate, p_value: float, step: int) -> Verdict:
        """With the ``p_value`` corrected for its table, where it has counted ``step`` times."""
        return verdicts.of_effect(found, p_value, self.claimed_size, self.value.half_digit, step)

    def small_scale(self, made: Measurements) -> Mean | None:
        return Mean.of(self.measure(made))

    def found(self, evidence: Evidence) -> dict[str, Any] | None:
        contrast = evidence.paper.contrast(self.value)
        if contrast is None:
            return None
        found = contrast.accuracy()
        p_value, step = evidence.corrected.get(self.comparison, (NONE, 1))
        verdict = self.verdict(found, p_value, step)
        note = verdict.need
        if (alone := self._mcnemar(contrast)) is not None:
            p_value = alone
            note += "; p is McNemar's, of these two trainings alone"
        return {
            "measured": Mean.of(found),
            "verdict": verdict,
            "notes": (note,),
            "protocol": "last epoch",
            "best_epoch": contrast.best_epochs(),
            "balanced": Mean.of(contrast.balanced()),
            "without_leaks": Mean.of(contrast.without_leaks()),
            "p_value": p_value,
            "smallest": found.smallest,
            **_origin(contrast.summaries),
        }

    def _mcnemar(self, contrast: Contrast) -> float | None:
        """The p value of two single trainings; ``None`` where there are more, or no predictions."""
        if len(contrast.cells) > 2 or len(contrast.cells[0]) > 1:
            return None
        scores = contrast.scores()
        return None if scores is None else mcnemar(scores[0], np.zeros_like(scores[0]))


class Gain(Effect):
    """How much better one network is than another."""

    @property
    def what(self) -> str:
        return f"gain of {self.network} over {self.over}, {self.value.subset} images"

    @property
    def claimed_size(self) -> float:
        return self.value.number


class Ordering(Effect):
    """That one network is better than another, or one gain larger: a claim without a size."""

    claimed_size = None

    @property
    def what(self) -> str:
        value = self.value
        if value.beside:
            return (
                f"gain of {self.network} over {self.over}: larger on {value.subset} images "
                f"than on {value.beside}"
            )
        return f"{self.network} above {self.over}, {value.subset} images"


def _origin(runs: list[Summary]) -> dict[str, tuple[str, ...]]:
    """Where runs were made, and their folders."""
    return {
        "devices": tuple(sorted({run["provenance"]["device"] for run in runs})),
        "runs": tuple(summaries_of.key_of(run).folder.as_posix() for run in runs),
    }
