"""Temperature scaling: one number by which a trained network becomes as sure as it is right.

Logits are divided by a temperature that is fitted on validation images (Guo et al., "On Calibration
of Modern Neural Networks", 2017, section 4.2). The most probable class stays the same.
"""

import math

import numpy as np

from hdkd.evaluation.metrics import expected_calibration_error

RANGE = (0.05, 20.0)  # of temperatures that are tried
TOLERANCE = 1e-6  # of the logarithm of a temperature


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float | None:
    """The temperature at which ``logits`` ``(n, classes)`` give ``labels`` the least cross-entropy.

    ``None`` where no temperature between 0.05 and 20 is better than those at the ends: without
    images; where all answers are right, because then the colder is the better; where answers are no
    better than chance. The cross-entropy is convex in 1 / temperature, so there is one minimum.
    """
    from scipy.optimize import minimize_scalar  # slow to import

    if not len(labels):
        return None

    def loss(logarithm: float) -> float:
        return cross_entropy(logits, labels, math.exp(logarithm))

    ends = [math.log(end) for end in RANGE]
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": TOLERANCE}).x
    return math.exp(found) if loss(found) < min(map(loss, ends)) else None


def calibration_errors(
    logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0
) -> dict[str, float]:
    """How far ``logits`` ``(n, classes)`` over ``temperature`` are from ``labels`` ``(n,)``.

    ``calibration_error`` is the expected one in [0, 1], ``loss`` the mean cross-entropy, ``brier``
    Brier's score in [0, 2]: the squared error of the probabilities, summed over classes (Brier
    1950).
    """
    probabilities = np.exp(log_probabilities(logits, temperature))
    right = labels[:, None] == np.arange(logits.shape[1])
    return {
        "calibration_error": expected_calibration_error(probabilities, labels),
        "loss": cross_entropy(logits, labels, temperature),
        "brier": float(((probabilities - right) ** 2).sum(axis=1).mean()),
    }


def cross_entropy(logits: np.ndarray, labels: np.ndarray, temperature: float = 1.0) -> float:
    """The mean over images of minus the logarithm of the true class's probability."""
    return -float(log_probabilities(logits, temperature)[np.arange(len(labels)), labels].mean())


def log_probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Logarithms of the probabilities of ``logits`` ``(n, classes)``, in float64."""
    from scipy.special import log_softmax

    return log_softmax(logits.astype(np.float64) / temperature, axis=1)
