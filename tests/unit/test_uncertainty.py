"""Metrics of redrawn images are those of the metrics' own functions; intervals hold what they should."""

import numpy as np
import pytest

from hdkd.evaluation import uncertainty
from hdkd.evaluation.metrics import evaluate

CLASSES = ["a", "b", "c"]
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "calibration_error")


def predicted(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Probabilities ``(images, 3)`` that know something of the labels; some of them are tied."""
    scores = generator.normal(size=(len(labels), 3)) + 1.5 * np.eye(3)[labels]
    values = np.exp(scores)
    return np.round(values / values.sum(axis=1, keepdims=True), 2).astype(np.float32)


@pytest.fixture
def labels() -> np.ndarray:
    return np.repeat([0, 1, 2], [60, 25, 15])


@pytest.mark.parametrize("name", ["macro_f1", "auroc", "calibration_error"])
def test_a_metric_of_drawn_images_is_that_of_these_images(name, labels):
    probabilities = predicted(labels, np.random.default_rng(1))
    weights = uncertainty.drawn(labels.tobytes(), str(labels.dtype))[:, :5]
    found = uncertainty.WEIGHTED[name](probabilities, labels, weights)
    for draw, value in zip(weights.T.astype(int), found, strict=True):
        images = np.repeat(np.arange(len(labels)), draw)
        expected = evaluate(probabilities[images], labels[images], CLASSES)[name]
        assert value == pytest.approx(expected, abs=1e-6)


def test_every_draw_has_as_many_images_of_each_class(labels):
    weights = uncertainty.drawn(labels.tobytes(), str(labels.dtype))
    assert weights.shape == (100, uncertainty.DRAWS)
    for k, count in enumerate((60, 25, 15)):
        assert set(weights[labels == k].sum(axis=0)) == {count}


def test_a_class_without_test_images_is_left_out_of_auroc_and_recalls():
    labels = np.repeat([0, 2], [30, 20])
    probabilities = predicted(labels, np.random.default_rng(1))
    ones = np.ones((50, 1), np.float32)
    expected = evaluate(probabilities, labels, CLASSES)["auroc"]
    assert uncertainty.auroc(probabilities, labels, ones) == pytest.approx(expected)
    assert set(uncertainty.recalls(probabilities[None], labels)) == {0, 2}


def estimates(labels: np.ndarray, generator: np.random.Generator) -> dict:
    """Of three trainings that differ by noise and agree in which images are hard."""
    common = generator.normal(size=(len(labels), 3))
    own = generator.normal(size=(3, len(labels), 3))
    values = np.exp(common + own + 1.5 * np.eye(3)[labels])
    probabilities = (values / values.sum(axis=2, keepdims=True)).astype(np.float32)
    finals = [evaluate(each, labels, CLASSES) for each in probabilities]
    values = {name: [final[name] for final in finals] for name in METRICS}
    return uncertainty.metrics(values, probabilities, labels)


def test_values_are_those_given_and_draws_are_the_same_each_time(labels):
    first, again = (estimates(labels, np.random.default_rng(2)) for _ in range(2))
    assert first == again
    assert list(first) == list(METRICS)


@pytest.fixture(scope="module")
def studies() -> list[dict]:
    """A hundred, each on 300 images of its own."""
    generator = np.random.default_rng(3)
    return [estimates(np.repeat([0, 1, 2], [180, 75, 45]), generator) for _ in range(100)]


@pytest.mark.parametrize("name", METRICS)
def test_intervals_hold_what_most_studies_on_other_images_find(name, studies):
    found = [study[name] for study in studies]
    true = np.mean([each.mean for each in found])
    held = sum(low <= true <= high for low, high in (each.interval for each in found))
    assert held >= 90
    # Not by being wide as a house: three seeds alone would need more.
    assert np.mean([each.image_error for each in found]) < 0.04
