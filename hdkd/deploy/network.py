"""A trained network as it is used, and as it is exported: from bytes to probabilities."""

import numpy as np
import torch
from torch import Tensor, nn

from hdkd.data.batches.augment import normalise
from hdkd.data.batches.imageset import Chosen
from hdkd.models import ImageModel

BATCH = 256  # images at a time


class Network(nn.Module):
    """A trained network with what comes before and after it.

    Maps prepared images, bytes ``(n, channels, size, size)``, to logits ``(n, classes)`` and to
    probabilities: the softmax of the logits over the ``temperature``.
    """

    def __init__(self, model: ImageModel, temperature: float = 1.0) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.temperature = temperature

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities, both in float32."""
        logits = self.model.predict(normalise(pixels))
        return logits, (logits / self.temperature).softmax(dim=1)

    @torch.inference_mode()
    def answers(self, images: Chosen | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits and probabilities of any number of prepared images, a batch at a time."""
        pieces = (np.array(images[k : k + BATCH]) for k in range(0, len(images), BATCH))
        batches = [
            self(torch.from_numpy(piece).contiguous(memory_format=torch.channels_last))
            for piece in pieces
        ]
        logits, probabilities = (torch.cat(parts) for parts in zip(*batches, strict=True))
        return logits.numpy(), probabilities.numpy()
