"""Temperature scaling: the temperature that fits, and what it changes."""

import math

import numpy as np
import pytest
from sklearn import metrics

from hdkd.evaluation.calibration import calibration_errors, fit_temperature
from hdkd.evaluation.metrics import evaluate


def two_classes(margin: float, right: int, wrong: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of class 0 and 1 whose logit of class 0 is ``margin`` above that of class 1."""
    logits = np.tile([margin, 0.0], (right + wrong, 1)).astype(np.float32)
    return logits, np.array([0] * right + [1] * wrong)


@pytest.mark.parametrize(("margin", "right", "wrong"), [(5.0, 3, 1), (0.2, 3, 1), (8.0, 99, 1)])
def test_with_two_classes_it_makes_the_probability_the_share_that_is_right(margin, right, wrong):
    temperature = fit_temperature(*two_classes(margin, right, wrong))
    assert temperature == pytest.approx(margin / math.log(right / wrong), rel=1e-4)


def test_it_finds_the_temperature_of_which_labels_were_drawn():
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 2, (40_000, 5))
    noise = generator.gumbel(size=logits.shape)
    labels = (logits / 1.7 + noise).argmax(axis=1)  # drawn from the softmax of logits / 1.7
    assert fit_temperature(logits, labels) == pytest.approx(1.7, rel=0.02)


@pytest.mark.parametrize(
    ("right", "wrong"), [(0, 0), (4, 0), (1, 3)], ids=["no images", "all right", "below chance"]
)
def test_there_is_none_where_no_temperature_is_the_best(right, wrong):
    assert fit_temperature(*two_classes(5.0, right, wrong)) is None


def test_errors_are_those_of_scikit_learn_and_of_the_other_metrics():
    generator = np.random.default_rng(1)
    logits, labels = generator.normal(0, 3, (200, 4)), generator.integers(0, 4, 200)
    powers = np.exp(logits / 2.5)
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    errors = calibration_errors(logits, labels, 2.5)
    assert errors["loss"] == pytest.approx(metrics.log_loss(labels, probabilities))
    squares = [
        metrics.brier_score_loss(labels == k, probabilities[:, k], pos_label=True) for k in range(4)
    ]
    assert errors["brier"] == pytest.approx(sum(squares))
    final = evaluate(probabilities, labels, list("abcd"))
    assert errors["calibration_error"] == pytest.approx(final["calibration_error"])


def test_errors_of_logits_that_no_probability_can_hold_are_finite():
    logits, labels = two_classes(400.0, 1, 1)
    errors = calibration_errors(logits, labels)
    assert errors["loss"] == pytest.approx(200.0)
    assert errors["brier"] == pytest.approx(1.0)


def test_the_fitted_temperature_has_the_least_cross_entropy_of_its_neighbours():
    generator = np.random.default_rng(2)
    logits, labels = generator.normal(0, 3, (300, 3)), generator.integers(0, 3, 300)
    labels[:200] = logits[:200].argmax(axis=1)
    best = fit_temperature(logits, labels)
    losses = [calibration_errors(logits, labels, best * by)["loss"] for by in (0.98, 1, 1.02)]
    assert losses[1] == min(losses)
