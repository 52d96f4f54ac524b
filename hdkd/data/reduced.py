"""Pictures reduced to what copies of them have in common: small grey pixels, a hash, low waves."""

from collections.abc import Iterator

import numpy as np
import scipy.fft

SIDE = 32  # pixels to which every image is reduced first, so that its own size hardly matters
WAVES = 8  # lowest frequencies of the cosine transform in each direction
ORIENTATIONS = 8
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's conversion to grey


def reduced(images: np.ndarray) -> np.ndarray:
    """Grey images ``(n, SIDE, SIDE)`` of bytes ``(n, 1 or 3, size, size)``, of all in memory.

    Each pixel is the mean of the area that it covers. The weights are symmetric: a filter that is
    not gives mirrored copies another picture.
    """
    edges = np.arange(SIDE + 1) * images.shape[-1] / SIDE
    columns = np.arange(images.shape[-1])
    covered = np.minimum(edges[1:, None], columns + 1) - np.maximum(edges[:-1, None], columns)
    weights = np.clip(covered, 0, None) / (edges[1] - edges[0])
    luma = LUMA if images.shape[1] == 3 else (1.0,)
    grey = sum(weight * images[:, channel] for channel, weight in enumerate(luma))
    return weights @ grey @ weights.T


def orientations(small: np.ndarray) -> Iterator[np.ndarray]:
    """The eight ways in which square pictures ``(n, side, side)`` can be mirrored and turned."""
    for mirrored in (small, small[:, :, ::-1]):
        for quarters in range(4):
            yield np.ascontiguousarray(np.rot90(mirrored, quarters, axes=(1, 2)))


def unit(small: np.ndarray) -> np.ndarray:
    """Pixels ``(n, SIDE²)`` of mean 0 and length 1 (0 where all are equal), to be correlated."""
    pixels = small.reshape(len(small), SIDE * SIDE)
    pixels = pixels - pixels.mean(axis=1, keepdims=True)
    length = np.linalg.norm(pixels, axis=1, keepdims=True)
    return np.where(length > 1e-6, pixels / np.maximum(length, 1e-6), 0).astype(np.float32)


def hashes(small: np.ndarray) -> np.ndarray:
    """The 64 bits ``(n, 64)`` of the perceptual hash of grey images ``(n, SIDE, SIDE)``.

    A bit tells whether one of the 8 × 8 lowest coefficients of the discrete cosine transform is
    above their median (N. Krawetz, *Looks Like It*, 2011; ``phash`` of the package ImageHash).
    """
    lowest = scipy.fft.dctn(small, axes=(1, 2))[:, :WAVES, :WAVES].reshape(len(small), WAVES**2)
    return lowest > np.median(lowest, axis=1, keepdims=True)


def waves(units: np.ndarray) -> np.ndarray:
    """The lowest coefficients ``(n, WAVES, WAVES)`` of :func:`unit`'s pixels.

    The transform is orthonormal: two pictures are at least as far from each other as their waves.
    """
    pictures = units.reshape(-1, SIDE, SIDE)
    return scipy.fft.dctn(pictures, axes=(1, 2), norm="ortho")[:, :WAVES, :WAVES]


def turned_waves(lowest: np.ndarray, turn: int) -> np.ndarray:
    """The waves ``(n, WAVES, WAVES)`` of a picture's orientation, by its place among them.

    Mirroring changes the sign of odd waves across; a turn by a quarter is a transposition, then a
    mirroring up and down.
    """
    sign = (-1.0) ** np.arange(WAVES, dtype=lowest.dtype)
    turned = lowest * sign if turn >= 4 else lowest
    for _ in range(turn % 4):
        turned = turned.transpose(0, 2, 1) * sign[:, None]
    return turned
