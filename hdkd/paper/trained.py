"""Quantities that runs give: accuracies, gains and orderings.

The paper's accuracies belong to the best epoch on the test set (that is how its released code
reports), so an accuracy is compared at the best epoch. They are of one run, so the interval beside
an accuracy is that of one more. The last epoch, which is not chosen on the test set, stands beside
it.

Gains and orderings are judged at the last epoch, seed by seed and test image by test image, and
corrected for the other comparisons of their table (Holm).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hdkd.evaluation.statistics import Estimate, mcnemar
from hdkd.paper import verdicts
from hdkd.paper.measurements import (
    Contrast,
    Measurements,
    Summary,
    accuracy_over_seeds,
    best_epochs,
)
from hdkd.paper.published import Value
from hdkd.paper.row import NO_MEAN, Evidence, Mean, Row
from hdkd.runs.evidence import key_of


def accuracy_row(value: Value, evidence: Evidence) -> Row:
    """The row of a test accuracy in percent."""

    def one_more_run(found: Estimate, measurements: Measurements) -> Mean:
        """The mean, and the interval of one more run, which is in [0, 100]."""
        same_images = measurements.has_published_split(value.dataset)
        low, high = np.clip(verdicts.one_more_run(found, same_images), 0, 100)
        return Mean(found.mean, float(low), float(high), found.seeds)

    def small_scale(measurements: Measurements) -> Mean:
        found = last_epoch(measurements.runs(value))
        return one_more_run(found, measurements) if found else NO_MEAN

    row = _smaller_profiles(value, evidence, small_scale)
    paper = evidence.paper
    runs = paper.runs(value)
    last = last_epoch(runs)
    if last is None:
        return row
    shares = best_epochs(runs)
    found = accuracy_over_seeds(shares, runs[0]["test_images"]) if shares else last
    same_images = paper.has_published_split(value.dataset)
    verdict = verdicts.of_accuracy(found, value.number, value.half_digit, same_images)
    epochs = " or ".join(map(str, sorted({run["epochs"] for run in runs})))
    leaks = [run.get("without_leaks") for run in runs]
    new = float(np.mean([each["accuracy"] for each in leaks if each])) if all(leaks) else math.nan
    return replace(
        row,
        measured=one_more_run(found, paper),
        verdict=verdict,
        notes=(value.note, verdict.need),
        protocol=f"best of {epochs} epochs" if shares else "the epoch that is kept",
        last_epoch=last.mean,
        without_leaks=Mean(100 * new),
        **_origin(value, paper, runs),
    )


def last_epoch(runs: Sequence[Summary]) -> Estimate | None:
    """Accuracy in percent at the last (or kept) epoch; ``None`` without runs."""
    shares = [run["final"]["accuracy"] for run in runs]
    return accuracy_over_seeds(shares, runs[0]["test_images"]) if runs else None


def effect(value: Value, measurements: Measurements) -> Estimate | None:
    """A gain or ordering in points at the last (or kept) epoch; ``None`` without shared seeds."""
    contrast = measurements.contrast(value)
    return contrast.accuracy() if contrast else None


def effect_row(value: Value, evidence: Evidence) -> Row:
    """The row of a gain or an ordering, which claims that a difference in points is positive."""
    row = _smaller_profiles(value, evidence, lambda each: Mean.of(effect(value, each)))
    contrast = evidence.paper.contrast(value)
    if contrast is None:
        return row
    found = contrast.accuracy()
    p_value, step = evidence.corrected.get(value.comparison, (math.nan, 1))
    claimed_size = value.number if value.quantity == "gain" else None
    verdict = verdicts.of_effect(found, p_value, claimed_size, value.half_digit, step)
    note = verdict.need
    if (single := _mcnemar(contrast)) is not None:
        p_value = single
        note += "; p is McNemar's, of these two trainings alone"
    return replace(
        row,
        measured=Mean.of(found),
        verdict=verdict,
        notes=(value.note, note),
        protocol="last epoch",
        best_epoch=contrast.best_epoch(),
        balanced=Mean.of(contrast.balanced()),
        without_leaks=Mean.of(contrast.without_leaks()),
        p_value=p_value,
        smallest=found.smallest,
        **_origin(value, evidence.paper, [run for cell in contrast.cells for run in cell]),
    )


def _mcnemar(contrast: Contrast) -> float | None:
    """The p value of two single runs; ``None`` where there are more, or no predictions."""
    if contrast.scores is None or contrast.scores.shape[0] > 1 or len(contrast.cells) > 2:
        return None
    return mcnemar(contrast.scores[0], np.zeros_like(contrast.scores[0]))


def _smaller_profiles(
    value: Value, evidence: Evidence, small_scale: Callable[[Measurements], Mean]
) -> Row:
    """The row without a run of the paper's profile; ``small_scale`` gives a smaller profile's."""
    found = [(each, mean) for each in evidence.smaller if (mean := small_scale(each)).seeds]
    return Row(
        value,
        notes=(value.note,),
        smaller={each.profile: mean for each, mean in found},
        data=next((each.data(value.dataset) for each, _ in found), ""),
    )


def _origin(value: Value, paper: Measurements, runs: Sequence[Summary]) -> dict[str, Any]:
    """Which data runs were made with, on which devices, and their folders."""
    return {
        "data": paper.data(value.dataset),
        "devices": tuple(sorted({run["provenance"]["device"] for run in runs})),
        "runs": tuple(key_of(run).folder.as_posix() for run in runs),
    }
