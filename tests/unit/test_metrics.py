"""Metrics, by hand."""

import numpy as np
import pytest

from hdkd.evaluation.metrics import evaluate, expected_calibration_error, one_vs_rest_auroc

PROBABILITIES = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3]])
LABELS = np.array([0, 0, 1, 1])


def test_accuracy_recall_and_confusion():
    result = evaluate(PROBABILITIES, LABELS, ["a", "b"])
    assert result["accuracy"] == 0.75
    assert result["balanced_accuracy"] == 0.75
    assert result["recall"] == {"a": 1.0, "b": 0.5}
    assert result["confusion_matrix"] == [[2, 0], [1, 1]]
    assert result["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)


def test_auroc_counts_ordered_pairs():
    # Scores of class b: 0.6 and 0.3 for its own, 0.1 and 0.2 for others: all four pairs in order.
    assert one_vs_rest_auroc(PROBABILITIES, LABELS) == 1.0
    mixed = PROBABILITIES[[0, 2, 1, 3]]
    # Now 0.2 and 0.3 against 0.1 and 0.6: two of four pairs.
    assert one_vs_rest_auroc(mixed, LABELS) == 0.5


def test_auroc_leaves_out_classes_without_examples():
    three = np.column_stack([PROBABILITIES, np.zeros(4)])
    assert one_vs_rest_auroc(three, LABELS) == 1.0
    assert one_vs_rest_auroc(np.ones((2, 1)), np.zeros(2, int)) is None


def test_calibration_error_is_the_gap_of_confidence_and_accuracy():
    # Each confidence has a bin of its own: |1-.9|, |1-.8|, |1-.6|, |0-.7|, a quarter each.
    by_hand = (0.1 + 0.2 + 0.4 + 0.7) / 4
    assert expected_calibration_error(PROBABILITIES, LABELS) == pytest.approx(by_hand)


def test_perfect_confidence_has_no_calibration_error():
    assert expected_calibration_error(np.eye(3), np.arange(3)) == 0


def test_a_class_that_is_never_predicted_has_no_recall_but_counts():
    result = evaluate(np.array([[1.0, 0, 0], [1.0, 0, 0]]), np.array([0, 1]), ["a", "b", "c"])
    assert result["recall"] == {"a": 1.0, "b": 0.0, "c": 0.0}
    assert len(result["confusion_matrix"]) == 3
