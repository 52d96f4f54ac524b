"""The batches of images that are evaluated only."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hdkd.data.batches.imageset import Chosen

# Images at a time. On a CPU more take more memory and hardly less time, and much more time where a
# process gives freed memory back (hdkd/training/numerics.py), as `hdkd predict` does.
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
