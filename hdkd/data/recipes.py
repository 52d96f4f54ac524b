"""Synthetic images from SMOTE's recipes (see :mod:`hdkd.data.smote`)."""

import numpy as np


def blend(base: np.ndarray, neighbour: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Synthetic images ``base + gap × (neighbour − base)``, rounded to unsigned bytes.

    ``base`` and ``neighbour`` are ``(n, …)`` bytes, ``gap`` ``(n,)`` in [0, 1].
    """
    gap = np.asarray(gap, dtype=np.float32).reshape(-1, *[1] * (base.ndim - 1))
    mixed = base + gap * (neighbour.astype(np.float32) - base)
    return np.rint(mixed).astype(np.uint8)
