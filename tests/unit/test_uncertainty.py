"""Metrics of redrawn images are those of :mod:`hdkd.evaluation.metrics`; intervals cover."""

import numpy as np
import pytest

from hdkd.evaluation import uncertainty
from hdkd.evaluation.metrics import evaluate, one_vs_rest_auroc

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


@pytest.mark.parametrize("name", ["macro_f1", "calibration_error"])
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


@pytest.mark.parametrize("classes", [[0, 1, 2], [0, 2]], ids=["all classes", "one without images"])
def test_the_error_of_the_area_is_that_of_a_bootstrap_over_images(labels, classes):
    labels = labels[np.isin(labels, classes)]
    generator = np.random.default_rng(1)
    trained = np.stack([predicted(labels, generator) for _ in range(2)])
    weights = uncertainty.drawn(labels.tobytes(), str(labels.dtype))
    means = []
    for draw in weights.T[:400].astype(int):
        images = np.repeat(np.arange(len(labels)), draw)
        areas = [one_vs_rest_auroc(each[images], labels[images]) for each in trained]
        means.append(np.mean(areas))
    # Deviations of 400 draws are known to 4 %.
    assert uncertainty.auroc_error(trained, labels) == pytest.approx(np.std(means), rel=0.1)


def test_a_class_without_test_images_has_no_recall():
    labels = np.repeat([0, 2], [30, 20])
    probabilities = predicted(labels, np.random.default_rng(1))
    assert set(uncertainty.recalls(probabilities[None], labels)) == {0, 2}


def estimates(labels: np.ndarray, generator: np.random.Generator) -> dict:
    """Of three runs that differ by noise and agree in which images are hard."""
    common = generator.normal(size=(len(labels), 3))
    own = generator.normal(size=(3, len(labels), 3))
    values = np.exp(common + own + 1.5 * np.eye(3)[labels])
    probabilities = (values / values.sum(axis=2, keepdims=True)).astype(np.float32)
    finals = [evaluate(each, labels, CLASSES) for each in probabilities]
    values = {name: [final[name] for final in finals] for name in METRICS}
    return uncertainty.metrics(values, probabilities, labels)


def test_values_are_those_given_and_draws_are_the_same_each_time(labels):
    first = estimates(labels, np.random.default_rng(2))
    uncertainty.drawn.cache_clear()  # as in another process
    again = estimates(labels, np.random.default_rng(2))
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


def test_a_tie_counts_half():
    found = uncertainty.share_below(np.array([1, 2, 2, 3]), np.array([0, 2, 9]))
    assert found.tolist() == [0, 0.5, 1]
