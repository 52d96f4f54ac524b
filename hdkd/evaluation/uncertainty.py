"""What other seeds and other test images would give in each metric of a cell of the study.

The error from seeds is that of Student's t; the error from images is in closed form where a metric is a mean over
images, and else the deviation of the mean over seeds in a bootstrap over images. Both are added as
:class:`~hdkd.evaluation.statistics.Estimate` does: the percentiles of a bootstrap over seeds, too, would be
far too narrow with a handful of them. Images are redrawn within their classes, but for accuracy.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from hdkd.evaluation.metrics import confidence_bins
from hdkd.evaluation.predictions import right
from hdkd.evaluation.statistics import Estimate, estimate

DRAWS = 1000
SEED = 0


def metrics(
    values: Mapping[str, Sequence[float]], probabilities: np.ndarray, labels: np.ndarray
) -> dict[str, Estimate]:
    """Estimates in [0, 1] of the metrics in ``values``, each with a value per seed.

    ``probabilities`` are ``(seeds, images, classes)``, ``labels`` ``(images,)``.
    """
    answers = right(probabilities, labels)
    means = {"accuracy": estimate(answers), "balanced_accuracy": estimate(answers, labels)}
    weights = drawn(labels.tobytes(), str(labels.dtype))
    found = {}
    for name, own in values.items():
        if name in means:
            found[name] = means[name]
            continue
        draws = [WEIGHTED[name](each, labels, weights) for each in probabilities]
        error = float(np.mean(draws, axis=0).std())
        of = "accuracy" if name == "calibration_error" else "balanced_accuracy"
        found[name] = Estimate(tuple(map(float, own)), error, means[of].resolution)
    return found


def recalls(probabilities: np.ndarray, labels: np.ndarray) -> dict[int, Estimate]:
    """Estimates of the recall of each class that has test images, by its position."""
    answers = right(probabilities, labels)
    return {int(k): estimate(answers[:, labels == k]) for k in np.unique(labels)}


@lru_cache(maxsize=8)
def drawn(labels: bytes, dtype: str) -> np.ndarray:
    """How often each image is drawn, within its class, ``(images, DRAWS)``; the same in every call."""
    own = np.frombuffer(labels, dtype)
    generator = np.random.default_rng(SEED)
    weights = np.empty((len(own), DRAWS), np.float32)
    for k in np.unique(own):
        images = np.flatnonzero(own == k)
        shares = np.full(len(images), 1 / len(images))
        weights[images] = generator.multinomial(len(images), shares, DRAWS).T
    return weights


def macro_f1(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of each draw of images, ``(draws,)``, as :func:`hdkd.evaluation.metrics.evaluate` has it of one."""
    every = np.arange(probabilities.shape[1])
    predicted = probabilities.argmax(axis=1)[:, None] == every
    true = labels[:, None] == every
    hits = (predicted & true).T.astype(np.float32) @ weights
    both = (predicted.astype(np.float32) + true).T @ weights
    return np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0).mean(axis=0)


def auroc(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of each draw, ``(draws,)``: the share of pairs that are in order, ties half, mean over classes."""
    areas = []
    for k in np.unique(labels):
        order = probabilities[:, k].argsort(kind="stable")
        scores, own, drawn = probabilities[order, k], labels[order] == k, weights[order]
        if own.all():
            continue
        below = np.zeros((len(own) + 1, weights.shape[1]), weights.dtype)
        np.cumsum(drawn * ~own[:, None], axis=0, out=below[1:])
        first, last = (scores.searchsorted(scores[own], side) for side in ("left", "right"))
        pairs = (drawn[own] * (below[first] + below[last]) / 2).sum(axis=0, dtype=float)
        areas.append(pairs / (drawn[own].sum(axis=0, dtype=float) * below[-1]))
    return np.mean(areas, axis=0)


def calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Of each draw, ``(draws,)``, over the same bins as that of one set of predictions."""
    confidence = probabilities.max(axis=1)
    gap = (right(probabilities, labels) - confidence)[:, None]
    bins = confidence_bins(confidence)
    inside = bins[:, None] == np.unique(bins)
    return abs((inside * gap).T @ weights).sum(axis=0) / len(labels)


WEIGHTED: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "macro_f1": macro_f1,
    "auroc": auroc,
    "calibration_error": calibration_error,
}
