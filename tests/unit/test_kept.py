"""Which epoch's weights a run leaves."""

import pytest
import torch
from torch import nn

from hdkd.training.kept import KeptWeights

# Balanced accuracy and loss after five epochs; the third is the best, the fourth only in accuracy.
ROWS = [(0.5, 0.9), (0.7, 0.8), (0.7, 0.6), (0.7, 0.7), (0.6, 0.5)]
ACCURACIES = [0.5, 0.6, 0.8, 0.9, 0.9]


def left_by(rule: str) -> tuple[int, float]:
    """The epoch kept, and the weight then put back into a model whose weight is its epoch."""
    model, kept = nn.Linear(1, 1), KeptWeights(rule)
    for epoch, ((balanced, loss), accuracy) in enumerate(zip(ROWS, ACCURACIES, strict=True), 1):
        nn.init.constant_(model.weight, epoch)
        row = {"epoch": epoch, "validation_balanced_accuracy": balanced, "validation_loss": loss}
        kept.offer(row | {"validation_accuracy": accuracy, "test_accuracy": accuracy}, model)
    kept.put_back(model)
    return kept.epoch, model.weight.item()


@pytest.mark.parametrize(
    ("rule", "epoch"), [("last", 5), ("best_on_validation", 3), ("best_on_test", 4)]
)
def test_the_epoch_that_the_rule_names_is_left(rule, epoch):
    assert left_by(rule) == (epoch, epoch)


def test_what_is_kept_does_not_change_with_the_model():
    model, kept = nn.Linear(1, 1), KeptWeights("best_on_test")
    kept.offer({"epoch": 1, "test_accuracy": 1.0}, model)
    before = kept.state["weight"].clone()
    nn.init.constant_(model.weight, 9)
    assert torch.equal(kept.state["weight"], before)
