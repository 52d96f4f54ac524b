"""The paper's networks with ordinary-looking statistics, the same for whoever asks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hdkd.config import Augmentation, Distillation, Engine, Training
from hdkd.data.batches.loader import Batch, as_it_is
from hdkd.distillation.hdkd import HDKD
from hdkd.distillation.method import Teaching
from hdkd.models import ImageModel, build
from hdkd.training.engine import Step
from hdkd.training.schedule import build_optimizer

CLASSES = 7
# Published values: the paper's section 4.2, and the released code's augmentation.
DISTILLATION = Distillation(0.5, 1.0, "soft", "batch_and_classes", 10.0, 1.0, (1, 1, 1))
AUGMENTATION = Augmentation(180.0, True, True, 0.3, 0.3, 2.0, (0.1, 2.0))
ENGINE = Engine("float32", False, "channels_last", cuda_graph=False, compile=False)
RATES = {"teacher": ("adam", 1e-3, 0.0), "hdkd": ("adamw", 5e-5, 0.05)}


def network(role: str, size: int, channels: int = 3, **sizes: Any) -> ImageModel:
    """A network of the paper's or other ``sizes``; its normalisations have seen something."""
    torch.manual_seed(0)
    model = build(role, num_classes=CLASSES, image_size=size, in_channels=channels, **sizes)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


def teaching(role: str, size: int) -> Teaching | None:
    """What HDKD learns from; nothing for another ``role``."""
    return Teaching(network("teacher", size), HDKD(DISTILLATION)) if role == "hdkd" else None


def training(role: str, batch: int) -> Training:
    """The paper's optimiser for ``role``."""
    optimizer, rate, decay = RATES[role]
    return Training(optimizer, rate, rate, rate, 0, decay, 1, batch, 1)


def batch(count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised noise ``(count, 3, size, size)`` and labels."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(count, 3, size, size, generator=generator)
    return images, torch.randint(0, CLASSES, (count,), generator=generator)


def step(
    role: str,
    size: int,
    count: int,
    device: str = "cpu",
    engine: Engine = ENGINE,
    gather: Callable[..., Batch] = as_it_is,
) -> Step:
    """A step of ``role`` on ``count`` images; HDKD's has a teacher."""
    model = network(role, size).to(device).train()
    optimizer = build_optimizer(model, training(role, count))
    return Step(model, optimizer, AUGMENTATION, engine, device, teaching(role, size), gather)
