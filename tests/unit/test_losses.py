"""Equations 6 to 8, by hand."""

import dataclasses
import math

import pytest
import torch

from hdkd.config import Distillation
from hdkd.distillation.hdkd import HDKD, feature_loss, hard_label_loss, kl_divergence
from hdkd.models import Output
from small import losses_of

SETTINGS = Distillation(
    alpha=0.25,
    temperature=1.0,
    targets="soft",
    kl_normalisation="batch",
    feature_weight=10.0,
    stage_power=1.0,
    batchnorm_updates=(1, 1, 1),
)


def logits(*probabilities: float) -> torch.Tensor:
    return torch.tensor([probabilities]).log()


def test_kl_is_the_teachers_divergence_from_the_student():
    by_hand = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    kl = kl_divergence(logits(0.5, 0.5), logits(0.75, 0.25), 1.0, "batch")
    assert kl.item() == pytest.approx(by_hand, abs=1e-6)


def test_kl_over_batch_and_classes_is_the_batch_value_divided_by_the_classes():
    student, teacher = torch.randn(5, 4), torch.randn(5, 4)
    batch = kl_divergence(student, teacher, 1.0, "batch")
    both = kl_divergence(student, teacher, 1.0, "batch_and_classes")
    assert both.item() == pytest.approx(batch.item() / 4, rel=1e-6)


def test_temperature_softens_both_and_scales_by_its_square():
    student, teacher = logits(0.5, 0.5), logits(0.9, 0.1)
    softened = torch.softmax(teacher / 2, dim=1)[0]
    by_hand = 4 * sum(p * math.log(p / 0.5) for p in softened.tolist())
    assert kl_divergence(student, teacher, 2.0, "batch").item() == pytest.approx(by_hand, abs=1e-6)


def test_equal_logits_have_no_divergence():
    same = torch.randn(3, 7)
    assert kl_divergence(same, same, 3.0, "batch").item() == pytest.approx(0, abs=1e-6)


def test_unknown_normalisation_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="batch, batch_and_classes"):
        kl_divergence(torch.zeros(1, 2), torch.zeros(1, 2), 1.0, "mean")


def test_feature_term_weights_stage_j_by_j_to_the_power():
    zeros = [torch.zeros(2, 3, 4, 4) for _ in range(3)]
    ones = [torch.ones(2, 3, 4, 4) for _ in range(3)]
    assert feature_loss(ones, zeros, stage_power=1.0).item() == 1 + 2 + 3
    assert feature_loss(ones, zeros, stage_power=2.0).item() == 1 + 4 + 9
    assert feature_loss(ones, zeros, stage_power=0.0).item() == 3


def test_features_of_different_shape_are_refused():
    with pytest.raises(ValueError, match="stage 1"):
        feature_loss([torch.zeros(1, 2, 4, 4)], [torch.zeros(1, 3, 4, 4)], 1.0)


def test_total_is_equation_8():
    hdkd = Output(logits(0.8, 0.2), logits(0.5, 0.5), (torch.full((1, 1, 2, 2), 0.3),))
    teacher = Output(logits(0.75, 0.25), features=(torch.zeros(1, 1, 2, 2),))
    terms = losses_of(HDKD(SETTINGS), hdkd, teacher, [0])
    cross_entropy = -math.log(0.8)
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert terms["cross_entropy"].item() == pytest.approx(cross_entropy, abs=1e-6)
    assert terms["kl"].item() == pytest.approx(kl, abs=1e-6)
    assert terms["features"].item() == pytest.approx(0.09, abs=1e-6)
    expected = 0.75 * cross_entropy + 0.25 * kl + 10 * 0.09
    assert terms["loss"].item() == pytest.approx(expected, abs=1e-6)


def test_hard_labels_are_the_teachers_most_probable_classes():
    loss = hard_label_loss(logits(0.2, 0.8), logits(0.6, 0.4))
    assert loss.item() == pytest.approx(-math.log(0.2), abs=1e-6)


def test_hard_labels_replace_the_kl_term():
    hdkd = Output(logits(0.9, 0.1), logits(0.2, 0.8), (torch.zeros(1),))
    teacher = Output(logits(0.6, 0.4), features=(torch.zeros(1),))
    hard = dataclasses.replace(SETTINGS, targets="hard", temperature=3.0)
    terms = losses_of(HDKD(hard), hdkd, teacher, [0])
    assert "kl" not in terms
    by_hand = -0.75 * math.log(0.9) - 0.25 * math.log(0.2)
    assert terms["loss"].item() == pytest.approx(by_hand, abs=1e-6)
