"""Metrics of one set of predictions."""

from typing import Any

import numpy as np

CALIBRATION_BINS = 15


def evaluate(probabilities: np.ndarray, labels: np.ndarray, classes: list[str]) -> dict[str, Any]:
    """Metrics in [0, 1] from ``probabilities`` ``(n, classes)`` and ``labels`` ``(n,)``.

    ``auroc`` is the mean over classes of one against the rest; classes without a positive or a
    negative example are left out of it (``None`` if no class remains).
    """
    # Slow to import, and only needed at the end of a run.
    from sklearn import metrics

    predicted = probabilities.argmax(axis=1)
    every = list(range(len(classes)))
    recalls = metrics.recall_score(labels, predicted, labels=every, average=None, zero_division=0)
    return {
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": balanced_accuracy(predicted, labels),
        "macro_f1": float(
            metrics.f1_score(labels, predicted, labels=every, average="macro", zero_division=0)
        ),
        "auroc": one_vs_rest_auroc(probabilities, labels),
        "calibration_error": expected_calibration_error(probabilities, labels),
        "recall": dict(zip(classes, map(float, recalls), strict=True)),
        "confusion_matrix": metrics.confusion_matrix(labels, predicted, labels=every).tolist(),
    }


def balanced_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean recall of the classes that ``labels`` ``(n,)`` have, in [0, 1]."""
    hits = predicted == labels
    return float(np.mean([hits[labels == label].mean() for label in np.unique(labels)]))


def without_leaks(
    probabilities: np.ndarray, labels: np.ndarray, leaked: np.ndarray
) -> dict[str, Any] | None:
    """Accuracies on the images that are not ``leaked`` ``(n,)``; ``None`` where all are."""
    new = ~leaked.astype(bool)
    if not new.any():
        return None
    predicted = probabilities.argmax(axis=1)[new]
    return {
        "images": int(new.sum()),
        "accuracy": float((predicted == labels[new]).mean()),
        "balanced_accuracy": balanced_accuracy(predicted, labels[new]),
    }


def interval(correct: int, images: int) -> tuple[float, float]:
    """The exact 95 % interval (Clopper and Pearson) of an accuracy: ``correct`` of ``images``."""
    from scipy.stats import binomtest  # slow to import, and not needed to read a ledger

    found = binomtest(correct, images).proportion_ci(0.95, "exact")
    return found.low, found.high


def one_vs_rest_auroc(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """Mean area under the ROC curve of each class against all others, as in :func:`evaluate`."""
    from sklearn.metrics import roc_auc_score

    areas = [
        roc_auc_score(labels == k, probabilities[:, k])
        for k in range(probabilities.shape[1])
        if 0 < (labels == k).sum() < len(labels)
    ]
    return float(np.mean(areas)) if areas else None


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean gap between confidence and accuracy over 15 equal bins of confidence, weighted by size.

    Guo et al., "On Calibration of Modern Neural Networks" (2017), equation 5.
    """
    confidence = probabilities.max(axis=1)
    hits = probabilities.argmax(axis=1) == labels
    bins = confidence_bins(confidence)
    error = 0.0
    for k in range(CALIBRATION_BINS):
        inside = bins == k
        if inside.any():
            error += inside.mean() * abs(hits[inside].mean() - confidence[inside].mean())
    return float(error)


def confidence_bins(confidence: np.ndarray) -> np.ndarray:
    """The bin of each confidence in [0, 1], from 0; bins are open below and closed above."""
    return np.clip(np.ceil(confidence * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)


def correct(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """1 where the most probable of ``(…, images, classes)`` is the label, or else 0."""
    return (probabilities.argmax(axis=-1) == labels).astype(float)
