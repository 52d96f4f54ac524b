"""Copies and near-copies among prepared images, which may be brightened, mirrored or turned.

The hash is the usual one of a cosine transform; the package imagehash has it for one file at a
time, this for all turns of ten thousand arrays at once.
"""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
import scipy.fft
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# Both must hold. docs/leaks.md shows what lies on either side of them.
MAX_HASH_DISTANCE = 10  # bits of 64 in which the hashes may differ
MIN_CORRELATION = 0.985

SIDE = 32  # pixels to which every image is reduced first, so that its own size hardly matters
BLOCK = 512  # images compared with all others at a time: bounds the memory
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's conversion to grey


def pairs(images: np.ndarray) -> pd.DataFrame:
    """The pairs of copies and near-copies among bytes ``(n, 1 or 3, size, size)``.

    One row per pair, sorted: positions ``first`` < ``second``, ``distance`` of their perceptual
    hashes (0 to ``MAX_HASH_DISTANCE`` bits), Pearson ``correlation`` of their grey pixels
    (``MIN_CORRELATION`` to 1). Both are those of the mirroring or turn by quarters of the second
    image that correlates best, since training mirrors and turns images, too. Images of one single
    grey are copies only when their pixels are equal. A picture that occurs m times gives
    m (m - 1) / 2 rows.
    """
    small = _reduced(images)
    signs, unit = _signs(small), _unit(small)
    found = [_flat_pairs(images, np.flatnonzero(~unit.any(axis=1)))]
    for turned in _orientations(small):
        turned_signs, turned_unit = _signs(turned), _unit(turned)
        for start in range(0, len(small), BLOCK):
            rows = slice(start, start + BLOCK)
            distance = (64 - signs[rows] @ turned_signs[start:].T) / 2
            correlation = unit[rows] @ turned_unit[start:].T
            # triu: an image is no copy of itself, and each pair is met once.
            alike = np.triu((distance <= MAX_HASH_DISTANCE) & (correlation >= MIN_CORRELATION), k=1)
            first, second = np.nonzero(alike)
            found.append(
                pd.DataFrame(
                    {
                        "first": first + start,
                        "second": second + start,
                        "distance": distance[alike].astype(int),
                        "correlation": np.minimum(correlation[alike], 1.0).astype(float),
                    }
                )
            )
    best = pd.concat(found).sort_values("correlation", ascending=False, kind="stable")
    best = best.drop_duplicates(["first", "second"])
    return best.sort_values(["first", "second"], ignore_index=True)


def clusters(count: int, pairs: pd.DataFrame) -> np.ndarray:
    """Cluster number ``(count,)`` of each image, which images linked by a chain of ``pairs`` share.

    Numbers are 0, 1, … in the order of the clusters' first images.
    """
    ends = (pairs["first"].to_numpy(), pairs["second"].to_numpy())
    graph = coo_array((np.ones(len(pairs), dtype=bool), ends), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    return pd.factorize(labels)[0]


def hashes(small: np.ndarray) -> np.ndarray:
    """The 64 bits ``(n, 64)`` of the perceptual hash of grey images ``(n, SIDE, SIDE)``.

    A bit tells whether one of the 8 × 8 lowest coefficients of the discrete cosine transform is
    above their median (N. Krawetz, *Looks Like It*, 2011; ``phash`` of the package ImageHash).
    """
    lowest = scipy.fft.dctn(small, axes=(1, 2))[:, :8, :8].reshape(len(small), 64)
    return lowest > np.median(lowest, axis=1, keepdims=True)


def _signs(small: np.ndarray) -> np.ndarray:
    """Hashes as ±1, whose products count the bits that agree less those that differ."""
    return np.where(hashes(small), np.float32(1), np.float32(-1))


def _unit(small: np.ndarray) -> np.ndarray:
    """Pixels ``(n, SIDE²)`` of mean 0 and length 1 (0 where all are equal), to be correlated."""
    pixels = small.reshape(len(small), SIDE * SIDE)
    pixels = pixels - pixels.mean(axis=1, keepdims=True)
    length = np.linalg.norm(pixels, axis=1, keepdims=True)
    return np.where(length > 1e-6, pixels / np.maximum(length, 1e-6), 0).astype(np.float32)


def _reduced(images: np.ndarray) -> np.ndarray:
    """Grey images ``(n, SIDE, SIDE)``, each pixel the mean of the area that it covers.

    The weights are symmetric: a filter that is not gives mirrored copies another picture.
    """
    edges = np.arange(SIDE + 1) * images.shape[-1] / SIDE
    columns = np.arange(images.shape[-1])
    covered = np.minimum(edges[1:, None], columns + 1) - np.maximum(edges[:-1, None], columns)
    weights = np.clip(covered, 0, None) / (edges[1] - edges[0])
    luma = LUMA if images.shape[1] == 3 else (1.0,)
    small = np.empty((len(images), SIDE, SIDE))
    for start in range(0, len(images), BLOCK):
        rows = slice(start, start + BLOCK)
        grey = sum(weight * images[rows, channel] for channel, weight in enumerate(luma))
        small[rows] = weights @ grey @ weights.T
    return small


def _orientations(small: np.ndarray) -> Iterator[np.ndarray]:
    """The eight ways in which square pictures can be mirrored and turned."""
    for mirrored in (small, small[:, :, ::-1]):
        for quarters in range(4):
            yield np.ascontiguousarray(np.rot90(mirrored, quarters, axes=(1, 2)))


def _flat_pairs(images: np.ndarray, flat: np.ndarray) -> pd.DataFrame:
    """Equal images among those at ``flat``, which have no correlation."""
    content = pd.Series([images[position].tobytes() for position in flat], index=flat, dtype=object)
    equal = [pair for same in content.groupby(content) for pair in combinations(same[1].index, 2)]
    table = pd.DataFrame(equal, columns=["first", "second"], dtype=int)
    return table.assign(distance=0, correlation=1.0)
