"""A trained network as it is used, and as it is exported: from bytes to probabilities."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hdkd.data.batches.augment import normalise
from hdkd.data.batches.evaluated import evaluation_batches
from hdkd.data.batches.imageset import Chosen
from hdkd.models import ImageModel


class Inference(NamedTuple):
    """One pass over ``n`` images: logits and probabilities ``(n, classes)``, both in float32.

    ``stage`` ``(n, channels, side, side)`` is what the last convolutional stage gives, ``None`` for
    a network that shows no stages.
    """

    logits: Tensor
    probabilities: Tensor
    stage: Tensor | None


class Network(nn.Module):
    """A trained network with what comes before and after it.

    Maps prepared images, bytes ``(n, channels, size, size)``, to logits ``(n, classes)`` and to
    probabilities: the softmax of the logits over the ``temperature``.
    """

    def __init__(self, model: ImageModel, temperature: float = 1.0) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.temperature = temperature

    def infer(self, pixels: Tensor) -> Inference:
        """Logits, probabilities and the last stage, in one pass."""
        output = self.model(normalise(pixels))
        logits = self.model.combine(output)
        stage = output.features[-1] if output.features else None
        return Inference(logits, (logits / self.temperature).softmax(dim=1), stage)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities, both in float32."""
        logits, probabilities, _ = self.infer(pixels)
        return logits, probabilities

    @torch.inference_mode()
    def answers(self, images: Chosen | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits and probabilities of any number of prepared images, a batch at a time."""
        batches = [self(piece) for piece in evaluation_batches(images, torch.device("cpu"))]
        logits, probabilities = (torch.cat(parts) for parts in zip(*batches, strict=True))
        return logits.numpy(), probabilities.numpy()

    @torch.inference_mode()
    def vectors(self, images: Chosen | np.ndarray) -> np.ndarray | None:
        """``(n, channels)``: the last stage for ``n`` images, 1 or more, mean over positions.

        ``None`` for a network that shows no stages.
        """
        means = []
        for piece in evaluation_batches(images, torch.device("cpu")):
            stage = self.infer(piece).stage
            if stage is None:
                return None
            means.append(stage.mean(dim=(2, 3)))
        return torch.cat(means).numpy()
