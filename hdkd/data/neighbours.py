"""Nearest neighbours among images: exact of a few thousand, approximate of more.

The distances of all pairs grow with the square of the number of images. Beyond ``EXACT_UP_TO`` of
them, a graph of the package faiss (HNSW; Malkov and Yashunin, 2018) finds candidates among random
projections, of which the nearest are chosen by their exact distances. Projections are whole numbers
so small that floats hold their distances exactly, so every processor finds the same neighbours.
"""

from typing import Any

import numpy as np

from hdkd.errors import DataError

EXACT_UP_TO = 10_000  # images whose n² distances are kept: 3 GB
PIXELS_AT_A_TIME = 4096
DIRECTIONS = 256  # onto which images are projected
LARGEST = 63  # of a projection: DIRECTIONS × (2 × 63 + 1)² is below 2²⁴
LINKS = 32  # of each image in the graph, and how many are kept in view while it is built and asked
IN_VIEW = 128
CANDIDATES = 32  # of each image, or twice as many as are asked for
ROWS = 512  # images at a time: bounds the memory


def squared_distances(pixels: np.ndarray) -> np.ndarray:
    """Exact squared Euclidean distances between rows: ``(n, d)`` bytes to ``(n, n)`` floats.

    The product of whole numbers below 2⁵³ is exact in double precision; going through the columns
    piece by piece keeps memory at n² instead of n × d doubles.
    """
    gram = np.zeros((len(pixels), len(pixels)))
    for start in range(0, pixels.shape[1], PIXELS_AT_A_TIME):
        piece = pixels[:, start : start + PIXELS_AT_A_TIME].astype(np.float64)
        gram += piece @ piece.T
    norms = np.diag(gram)
    return np.maximum(norms[:, None] + norms[None, :] - 2 * gram, 0)


def approximate(pixels: np.ndarray, rows: np.ndarray, count: int, seed: int) -> np.ndarray:
    """For each of ``rows`` ``(n,)`` of ``pixels`` ``(m, d)`` bytes its ``count`` nearest others.

    They are places in ``rows``, ``(n, count)``, nearest first; some are not among the exact ones
    (see :func:`recall`). Time grows about as n × d, memory as n: some 6 kB for each image. Raises
    ``DataError`` where faiss is missing.
    """
    faiss = _faiss(len(rows))
    points = _projected(pixels, rows, np.random.default_rng(seed))
    graph = faiss.IndexHNSWFlat(DIRECTIONS, LINKS)
    candidates = max(CANDIDATES, 2 * count)
    graph.hnsw.efConstruction = graph.hnsw.efSearch = max(IN_VIEW, 2 * candidates)
    faiss.omp_set_num_threads(1)  # the order in which images join the graph is part of the result
    graph.add(points)
    found = np.empty((len(rows), candidates), dtype=np.int64)
    for start in range(0, len(rows), ROWS):
        _, near = graph.search(points[start : start + ROWS], candidates + 1)
        itself = near == np.arange(start, start + len(near))[:, None]
        others = np.argsort(itself, axis=1, kind="stable")[:, :candidates]
        found[start : start + ROWS] = np.take_along_axis(near, others, axis=1)
    return _nearest(pixels, rows, found, count)


def _faiss(count: int) -> Any:
    try:
        import faiss
    except ImportError:
        raise DataError(
            f"the nearest neighbours of {count} images need the package faiss: pip install "
            "'hdkd[many]', or switch smote.enabled off"
        ) from None
    return faiss


def recall(pixels: np.ndarray, rows: np.ndarray, count: int, asked: int, seed: int = 0) -> float:
    """The share of the exact ``count`` nearest that :func:`approximate` finds, of some rows.

    ``asked`` of them are drawn. Of others that are equally far away, any will do.
    """
    found = approximate(pixels, rows, count, seed)
    drawn = np.random.default_rng(seed).choice(len(rows), min(asked, len(rows)), replace=False)
    products, norms = np.zeros((len(drawn), len(rows))), np.zeros(len(rows))
    for start in range(0, pixels.shape[1], PIXELS_AT_A_TIME):
        piece = pixels[rows, start : start + PIXELS_AT_A_TIME].astype(np.float64)
        products += piece[drawn] @ piece.T
        norms += (piece**2).sum(axis=1)
    distances = norms[drawn, None] + norms - 2 * products
    distances[np.arange(len(drawn)), drawn] = np.inf
    farthest = np.partition(distances, count - 1, axis=1)[:, count - 1, None]
    return float((np.take_along_axis(distances, found[drawn], axis=1) <= farthest).mean())


def _projected(pixels: np.ndarray, rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Sums and differences of pixels at random: ``(n, DIRECTIONS)`` whole numbers to ``LARGEST``.

    Distances between them are near to those between the images, up to a factor (Achlioptas 2003).
    """
    sums = np.zeros((len(rows), DIRECTIONS))
    for start in range(0, pixels.shape[1], PIXELS_AT_A_TIME):
        columns = slice(start, min(start + PIXELS_AT_A_TIME, pixels.shape[1]))
        signs = generator.integers(0, 2, (columns.stop - start, DIRECTIONS)) * 2.0 - 1
        for first in range(0, len(rows), ROWS):
            part = slice(first, first + ROWS)
            sums[part] += pixels[rows[part], columns].astype(np.float64) @ signs
    sums -= np.floor(sums.sum(axis=0) / len(sums))
    return np.rint(sums * (LARGEST / max(1.0, np.abs(sums).max()))).astype(np.float32)


def _nearest(pixels: np.ndarray, rows: np.ndarray, found: np.ndarray, count: int) -> np.ndarray:
    """The ``count`` of each list that are nearest by all pixels, nearest first."""
    nearest = np.empty((len(rows), count), dtype=np.int64)
    step = 2**15  # of whose squares of bytes 32 bits hold the sum
    for place, candidates in enumerate(found):
        others = candidates[candidates >= 0]  # which marks that there was none
        near, own = pixels[rows[others]], pixels[rows[place]]
        distances = np.zeros(len(others), dtype=np.int64)
        for start in range(0, pixels.shape[1], step):
            piece = near[:, start : start + step].astype(np.int32) - own[start : start + step]
            distances += np.einsum("kd,kd->k", piece, piece)
        nearest[place] = others[np.argsort(distances, kind="stable")[:count]]
    return nearest
