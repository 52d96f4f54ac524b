"""Baselines from timm, fitted to the image size where they take images of one size only."""

from typing import Any

import timm
from torch import nn
from torchvision.transforms import Resize


def build_from_timm(network: str, num_classes: int, image_size: int) -> nn.Module:
    """Timm's ``network`` with random weights, for images of ``image_size`` pixels per side."""
    options: dict[str, Any] = {}
    side = image_size
    if network.startswith("crossvit"):
        options = crossvit_sizes(image_size)
    elif network.startswith("coatnet"):
        # Its attention learns one bias per relative position and wants whole maps.
        side = -(-image_size // 32) * 32
        options = {"img_size": side}
    built = timm.create_model(network, pretrained=False, num_classes=num_classes, **options)
    return built if side == image_size else nn.Sequential(Resize(side), built)


def crossvit_sizes(image_size: int) -> dict[str, Any]:
    """The sizes at which CrossViT's two branches see the image, to which it resizes by itself.

    They cut patches of 12 and of 16 pixels: from 240 and 224 pixels for the paper's 224, and from
    the nearest whole numbers of patches otherwise.
    """
    fine = 12 * max(1, round(image_size * 240 / 224 / 12))
    coarse = 16 * max(1, round(image_size / 16))
    return {"img_size": fine, "img_scale": (1.0, (coarse + 0.5) / fine)}
