"""The learning-rate schedule of section 4.2, by hand."""

import dataclasses
import math

import pytest
import torch
from timm.scheduler import CosineLRScheduler
from torch import nn

from hdkd.config import Training
from hdkd.training.schedule import build_optimizer, learning_rate

PAPER = Training(
    optimizer="adamw",
    lr=5e-5,
    min_lr=2e-5,
    warmup_lr=2e-5,
    warmup_epochs=5,
    weight_decay=0.05,
    epochs=200,
    batch_size=16,
    evaluate_every=1,
)


def test_warm_up_is_linear_over_five_epochs():
    rates = [learning_rate(epoch, PAPER) for epoch in range(5)]
    assert rates == pytest.approx([2e-5, 2.6e-5, 3.2e-5, 3.8e-5, 4.4e-5])


def test_cosine_falls_from_the_initial_to_the_minimum_rate():
    assert learning_rate(100, PAPER) == pytest.approx(3.5e-5)
    assert learning_rate(5, PAPER) == pytest.approx(2e-5 + 1.5e-5 * (1 + math.cos(math.pi / 40)))
    assert learning_rate(199, PAPER) == pytest.approx(2e-5, rel=1e-3)


def test_rates_are_those_of_timm():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=PAPER.lr)
    scheduler = CosineLRScheduler(
        optimizer, PAPER.epochs, PAPER.min_lr, warmup_t=5, warmup_lr_init=PAPER.warmup_lr
    )
    for epoch in range(PAPER.epochs):
        scheduler.step(epoch)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(learning_rate(epoch, PAPER))


def test_an_offset_of_one_epoch_is_the_released_schedule():
    released = dataclasses.replace(PAPER, offset=1)
    rates = [learning_rate(epoch, released) for epoch in range(4)]
    assert rates == pytest.approx([2e-5, 2e-5, 2.6e-5, 3.2e-5])


def test_the_teachers_rate_is_fixed():
    fixed = Training("adam", 1e-3, 1e-3, 1e-3, 0, 0.0, 200, 16, 1)
    assert {learning_rate(epoch, fixed) for epoch in range(200)} == {1e-3}


def test_biases_and_normalisations_are_not_decayed():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    decayed, others = build_optimizer(model, PAPER).param_groups
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 3)]
    assert decayed["weight_decay"] == 0.05
    assert others["weight_decay"] == 0.0
    assert len(others["params"]) == 3


@pytest.mark.parametrize(
    ("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_optimisers_by_name(name, kind):
    settings = Training(name, 1e-3, 1e-3, 1e-3, 0, 0.0, 1, 2, 1)
    assert type(build_optimizer(nn.Linear(1, 1), settings)) is kind
