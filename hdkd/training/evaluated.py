"""The batches of images that are evaluated only."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hdkd.data.batches.imageset import Chosen

# Images at a time. More take more memory of a CPU, and no less time (`reports/benchmarks.md`, "One
# epoch, and the test set").
BATCH = {"cpu": 16, "cuda": 256}


def evaluation_batches(
    images: Tensor | Chosen | np.ndarray, device: torch.device
) -> Iterator[Tensor]:
    """Bytes ``(n, channels, h, w)``, in order, as batches on ``device``, ``channels_last``."""
    size = BATCH[device.type]
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        if not isinstance(batch, Tensor):
            batch = torch.from_numpy(np.array(batch))
        yield batch.to(device).contiguous(memory_format=torch.channels_last)
