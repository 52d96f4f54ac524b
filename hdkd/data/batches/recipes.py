"""Synthetic images from SMOTE's recipes (see :mod:`hdkd.data.smote`)."""

import numpy as np


def blend(
    base: np.ndarray, neighbour: np.ndarray, gap: np.ndarray, arithmetic: str = "exact"
) -> np.ndarray:
    """Synthetic images ``base + gap × (neighbour − base)`` as unsigned bytes.

    ``base`` and ``neighbour`` are ``(n, …)`` bytes, ``gap`` ``(n,)`` in [0, 1]. ``exact`` arithmetic rounds;
    ``wrapped`` is what imbalanced-learn does when it is given bytes, as the released implementation
    gives them: the difference and the sum wrap modulo 256, and fractions are cut off.
    """
    gap = np.asarray(gap).reshape(-1, *[1] * (base.ndim - 1))
    if arithmetic == "wrapped":
        mixed = base + gap * (neighbour - base)  # differences of bytes are bytes
        return mixed.astype(np.int64).astype(np.uint8)
    mixed = base + gap.astype(np.float32) * (neighbour.astype(np.float32) - base)
    return np.rint(mixed).astype(np.uint8)
