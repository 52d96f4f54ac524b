"""What every network gives for images."""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Output(NamedTuple):
    """What one pass over ``(batch, channels, size, size)`` gives.

    ``logits`` are ``(batch, classes)``. ``distillation_logits``, of the same shape, are those of a
    second head; most networks have none. ``features`` are the maps of the three convolutional
    stages, first stage first. ``layers`` are the patch tokens ``(batch, patches, dim)`` after each
    layer of a transformer, and ``patches`` those after its last normalisation. A baseline gives
    logits only.
    """

    logits: Tensor
    distillation_logits: Tensor | None = None
    features: tuple[Tensor, ...] = ()
    layers: tuple[Tensor, ...] = ()
    patches: Tensor | None = None

    def float(self) -> "Output":
        """The same in float32, where losses are computed."""
        second, patches = self.distillation_logits, self.patches
        return Output(
            self.logits.float(),
            None if second is None else second.float(),
            tuple(each.float() for each in self.features),
            tuple(each.float() for each in self.layers),
            None if patches is None else patches.float(),
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
    """A network whose ``forward`` maps images to an :class:`Output`.

    ``predicting`` names the logits that predict: of the head ``class`` or ``distillation``, the
    mean of ``both``, or of those and of the mean over patches (``both_and_patches``).
    """

    predicting = "class"

    def predict(self, images: Tensor) -> Tensor:
        """The logits that predict, ``(batch, classes)``."""
        return self.combine(self(images))

    def combine(self, output: Output) -> Tensor:
        """The logits that predict, from what ``forward`` returns."""
        second, patches = output.distillation_logits, output.patches
        if self.predicting == "class" or second is None:
            return output.logits
        if self.predicting == "distillation":
            return second
        if self.predicting == "both" or patches is None:
            return (output.logits + second) / 2
        return (output.logits + second + self.classify(patches).mean(dim=1)) / 3

    def classify(self, vectors: Tensor) -> Tensor:
        """What the head that teaches, or is taught, makes of vectors ``(…, dim)``: logits."""
        raise NotImplementedError
