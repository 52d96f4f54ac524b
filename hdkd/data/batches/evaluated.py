"""The batches of images that are evaluated only."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hdkd.data.batches.imageset import Chosen

IMAGES_ON_GPU = 256
# Of an image's height times width times images. A CPU is slower with larger batches: their maps
# are returned to the system after each layer, and it clears every page before the next
# (`reports/benchmarks.md`, "One epoch, and the test set").
PIXELS_ON_CPU = 2**17


def evaluation_batches(
    images: Tensor | Chosen | np.ndarray, device: torch.device
) -> Iterator[Tensor]:
    """Bytes ``(n, channels, h, w)``, in order, as batches on ``device``, ``channels_last``."""
    height, width = images[:1].shape[2:]
    on_cpu = max(1, PIXELS_ON_CPU // (height * width))
    size = on_cpu if device.type == "cpu" else IMAGES_ON_GPU
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        if not isinstance(batch, Tensor):
            batch = torch.from_numpy(np.array(batch))
        yield batch.to(device).contiguous(memory_format=torch.channels_last)
