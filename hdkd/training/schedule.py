"""Optimisers and the learning-rate schedule (paper, section 4.2).

The schedule is a function of the epoch; timm's, which gives the same rates (tested), is an object
with a state that a checkpoint would have to keep.
"""

import math

import torch
from torch import nn

from hdkd.config import Training


def learning_rate(epoch: int, settings: Training) -> float:
    """Learning rate of ``epoch`` (from 0): linear warm-up from ``warmup_lr``, then half a cosine.

    The cosine starts counting at epoch 0, so it does not restart where the warm-up ends; this is
    timm's schedule. The released implementation uses it one epoch late, because it steps after each
    epoch with that epoch's number: ``settings.offset`` 1.
    """
    epoch = max(epoch - settings.offset, 0)
    if epoch < settings.warmup_epochs:
        step = (settings.lr - settings.warmup_lr) / settings.warmup_epochs
        return settings.warmup_lr + epoch * step
    cosine = (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
    return settings.min_lr + (settings.lr - settings.min_lr) * cosine


def build_optimizer(
    model: nn.Module, settings: Training, method: nn.Module | None = None
) -> torch.optim.Optimizer:
    """Adam or AdamW of a network, and of what a method learns itself.

    Biases and normalisations are not decayed, as in the released code.
    """
    parameters = [*model.parameters(), *(method.parameters() if method else ())]
    decayed = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    device = decayed[0].device
    if device.type != "cuda":
        return kind(groups, lr=settings.lr, fused=True)
    # A CUDA graph reads the rate where it lies, so it must lie on the GPU.
    return kind(groups, lr=torch.tensor(settings.lr, device=device), fused=True, capturable=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Take ``rate`` from the next step on."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
