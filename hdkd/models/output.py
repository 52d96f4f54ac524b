"""What every network gives for images."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Output(NamedTuple):
    """What one pass over ``(batch, channels, size, size)`` gives.

    ``logits`` are ``(batch, classes)``. ``distillation_logits``, of the same shape, are those of
    HDKD's second head; other networks have none. ``features`` are the maps of the three stages,
    first stage first; a baseline gives none.
    """

    logits: Tensor
    distillation_logits: Tensor | None = None
    features: tuple[Tensor, ...] = ()

    def float(self) -> "Output":
        """The same in float32, where losses are computed."""
        second = self.distillation_logits
        return Output(
            self.logits.float(),
            None if second is None else second.float(),
            tuple(each.float() for each in self.features),
        )


def in_float32(head: nn.Module, features: Tensor) -> Tensor:
    """What a head makes of features ``(batch, dim)``, in float32 under autocast, too.

    Logits decide, and rounding them to bfloat16 would change which class is the largest.
    """
    kind = features.device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):  # nothing computes on "meta"
        return head(features)
    with torch.autocast(kind, enabled=False):
        return head(features.float())


class ImageModel(nn.Module):
    """A network whose ``forward`` maps images to an :class:`Output`."""

    def predict(self, images: Tensor) -> Tensor:
        """The logits that predict, ``(batch, classes)``."""
        return self.combine(self(images))

    def combine(self, output: Output) -> Tensor:
        """The logits that predict, from what ``forward`` returns."""
        return output.logits
