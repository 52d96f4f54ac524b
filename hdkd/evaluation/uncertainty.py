"""What other seeds and other test images would give in each metric of a cell of the study.

The error from seeds is that of Student's t; the error from images is in closed form where a metric
is a mean over images or over pairs of them, and else the deviation of the mean over seeds in a
bootstrap over images. Both are added as :class:`~hdkd.evaluation.statistics.Estimate` does: the
percentiles of a bootstrap over seeds as well would be far too narrow with a handful of them. Images
are redrawn within their classes, but for accuracy.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from hdkd.evaluation.metrics import confidence_bins, correct
from hdkd.evaluation.statistics import Estimate, estimate

DRAWS = 1000
SEED = 0
AT_ONCE = 32  # runs whose draws are computed together: one large product is faster than many


def metrics(
    values: Mapping[str, Sequence[float]], probabilities: np.ndarray, labels: np.ndarray
) -> dict[str, Estimate]:
    """Estimates in [0, 1] of the metrics in ``values``, each with a value per seed.

    ``probabilities`` are ``(seeds, images, classes)``, ``labels`` ``(images,)``.
    """
    hits = correct(probabilities, labels)
    means = {"accuracy": estimate(hits), "balanced_accuracy": estimate(hits, labels)}
    weights = drawn(labels.tobytes(), str(labels.dtype))
    found = {}
    for name, own in values.items():
        if name in means:
            found[name] = means[name]
            continue
        if name == "auroc":
            error = auroc_error(probabilities, labels)
        else:
            parts = range(0, len(probabilities), AT_ONCE)
            runs = (probabilities[first : first + AT_ONCE] for first in parts)
            draws = [WEIGHTED[name](each, labels, weights) for each in runs]
            error = float(np.mean(np.concatenate(draws), axis=0).std())
        of = "accuracy" if name == "calibration_error" else "balanced_accuracy"
        alike = means[of]
        found[name] = Estimate(tuple(map(float, own)), error, alike.resolution, alike.image_freedom)
    return found


def recalls(probabilities: np.ndarray, labels: np.ndarray) -> dict[int, Estimate]:
    """Estimates of the recall of each class that has test images, by its position."""
    hits = correct(probabilities, labels)
    return {int(k): estimate(hits[:, labels == k]) for k in np.unique(labels)}


@lru_cache(maxsize=8)
def drawn(labels: bytes, dtype: str) -> np.ndarray:
    """How often each image is drawn, within its class, ``(images, DRAWS)``; always the same."""
    own = np.frombuffer(labels, dtype)
    generator = np.random.default_rng(SEED)
    weights = np.empty((len(own), DRAWS), np.float32)
    for k in np.unique(own):
        images = np.flatnonzero(own == k)
        shares = np.full(len(images), 1 / len(images))
        weights[images] = generator.multinomial(len(images), shares, DRAWS).T
    return weights


def macro_f1(probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of each draw of images, ``(…, draws)``, from probabilities ``(…, images, classes)``.

    ``weights`` are as :func:`drawn` returns them.
    """
    every = np.arange(probabilities.shape[-1])
    predicted = probabilities.argmax(axis=-1)[..., None] == every
    true = labels[:, None] == every
    hits = _summed((predicted & true).astype(np.float32), weights)
    both = _summed(predicted.astype(np.float32) + true, weights)
    return np.divide(2 * hits, both, out=np.zeros_like(hits), where=both > 0).mean(axis=-2)


def _summed(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums over images of ``(…, images, columns)`` in each draw, ``(…, columns, draws)``."""
    rows = np.swapaxes(values, -1, -2)
    sums = rows.reshape(-1, len(weights)) @ weights
    return sums.reshape(*rows.shape[:-1], -1)


def auroc_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The error from images of the area under the ROC curve, mean over classes and seeds.

    ``probabilities`` are ``(seeds, images, classes)``. The area is a mean over pairs of images;
    what each image adds is its structural component (DeLong, DeLong and Clarke-Pearson 1988,
    *Biometrics* 44:837).
    """
    classes = np.unique(labels)
    added = np.zeros(len(labels))
    for k in classes:
        own = labels == k
        if own.all():
            continue
        for scores in probabilities[:, :, k]:
            above = share_below(np.sort(scores[~own]), scores[own])
            below = 1 - share_below(np.sort(scores[own]), scores[~own])
            added[own] += above / own.sum()
            added[~own] += below / (~own).sum()
    added /= len(classes) * len(probabilities)
    groups = [added[labels == k] for k in classes if (labels == k).sum() > 1]
    return math.sqrt(sum(len(group) * group.var(ddof=1) for group in groups))


def share_below(ordered: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """How many of ``ordered`` are below each of ``scores``, ties half, as a share."""
    ends = [ordered.searchsorted(scores, side) for side in ("left", "right")]
    return (ends[0] + ends[1]) / 2 / len(ordered)


def calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Of each draw, as :func:`macro_f1`, over the same bins as that of one set of predictions."""
    confidence = probabilities.max(axis=-1)
    gap = (correct(probabilities, labels) - confidence)[..., None]
    bins = confidence_bins(confidence)
    inside = bins[..., None] == np.unique(bins)
    return abs(_summed(inside * gap, weights)).sum(axis=-2) / len(labels)


WEIGHTED: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "macro_f1": macro_f1,
    "calibration_error": calibration_error,
}
