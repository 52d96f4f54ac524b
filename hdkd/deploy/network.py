"""A trained network as it is used, and as it is exported: from bytes to probabilities."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hdkd.data.batches.augment import normalise
from hdkd.data.batches.imageset import Chosen
from hdkd.models import ImageModel
from hdkd.training.evaluated import evaluation_batches


class Inference(NamedTuple):
    """One pass over ``n`` images: logits and probabilities ``(n, classes)``, both in float32.

    ``stage`` ``(n, channels, side, side)`` is what the last convolutional stage gives, ``None`` for
    a network that shows no stages.
    """

    logits: Tensor
    probabilities: Tensor
    stage: Tensor | None


class Answers(NamedTuple):
    """Of ``n`` images: logits and probabilities ``(n, classes)``, both in float32.

    ``vectors`` ``(n, channels)`` are the last stage, mean over positions, ``None`` for a network
    that shows no stages.
    """

    logits: np.ndarray
    probabilities: np.ndarray
    vectors: np.ndarray | None


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
    def answers(self, images: Chosen | np.ndarray) -> Answers:
        """Of any number of prepared images, 1 or more, a batch at a time."""
        logits, probabilities, vectors = [], [], []
        for batch in evaluation_batches(images, torch.device("cpu")):
            found = self.infer(batch)
            logits.append(found.logits)
            probabilities.append(found.probabilities)
            if found.stage is not None:
                vectors.append(found.stage.mean(dim=(2, 3)))
        return Answers(
            torch.cat(logits).numpy(),
            torch.cat(probabilities).numpy(),
            torch.cat(vectors).numpy() if vectors else None,
        )
