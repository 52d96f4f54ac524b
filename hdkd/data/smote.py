"""SMOTE balancing of the teacher's training images, as recipes (paper, section 4.2).

imbalanced-learn decides which images to interpolate and how far; what is stored is that decision,
``base + gap × (neighbour − base)``, and the pixels are blended where they are trained on. So the
array of all synthetic images never exists, and whether bytes may overflow is decided there.
"""

from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE
from sklearn.base import BaseEstimator
from sklearn.neighbors import NearestNeighbors
from sklearn.neighbors._base import KNeighborsMixin

from hdkd.config import Smote
from hdkd.errors import DataError

PIXELS_AT_A_TIME = 4096


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


class _PixelNeighbours(KNeighborsMixin, BaseEstimator):
    """Nearest neighbours among images that are given by their position in ``images``."""

    def __init__(self, images: np.ndarray, n_neighbors: int) -> None:
        self.images = images
        self.n_neighbors = n_neighbors

    def __sklearn_clone__(self) -> "_PixelNeighbours":
        return _PixelNeighbours(self.images, self.n_neighbors)

    def fit(self, positions: np.ndarray, y: None = None) -> Self:
        """``positions`` are ``(n, 1)``; the distances between all their images are kept."""
        chosen = positions[:, 0].astype(np.intp)
        self.distances_ = np.sqrt(squared_distances(self.images[chosen]))
        self.neighbours_ = NearestNeighbors(n_neighbors=self.n_neighbors, metric="precomputed")
        self.neighbours_.fit(self.distances_)
        self.n_samples_fit_ = len(chosen)
        return self

    def kneighbors(self, positions: np.ndarray, return_distance: bool = True) -> Any:
        """Of the fitted images, which imbalanced-learn asks for alone: themselves included."""
        return self.neighbours_.kneighbors(self.distances_, return_distance=return_distance)


class _RecipeSMOTE(SMOTE):
    """imbalanced-learn's SMOTE over positions of images; it keeps its decisions in ``recipes``."""

    def _generate_samples(
        self,
        positions: np.ndarray,
        candidates: np.ndarray,
        neighbours: np.ndarray,
        rows: np.ndarray,
        columns: np.ndarray,
        gaps: np.ndarray,
        *_: Any,
    ) -> np.ndarray:
        chosen = candidates[neighbours[rows, columns], 0].astype(np.int64)
        base = positions[rows, 0].astype(np.int64)
        self.recipes.append(pd.DataFrame({"base": base, "neighbour": chosen, "gap": gaps[:, 0]}))
        return positions[rows]


def recipes(
    images: np.ndarray, positions: np.ndarray, labels: np.ndarray, smote: Smote, name: str
) -> pd.DataFrame:
    """Recipes of the synthetic images that balance a training set.

    ``images`` is ``(m, …)`` bytes; ``positions`` ``(n,)`` are the training images in it and
    ``labels`` ``(n,)`` theirs. ``smote`` has ``neighbours``, ``target`` (``majority`` or a number
    per class) and ``seed``. The table has ``base`` and ``neighbour`` (positions in ``images``),
    ``gap`` in [0, 1) and ``label``. Raises ``DataError`` when a class to be raised has too few.
    """
    class_counts = np.bincount(labels)
    target = class_counts.max() if smote.target == "majority" else smote.target
    strategy = {k: int(target) for k, count in enumerate(class_counts) if count < target}
    if not strategy:
        return pd.DataFrame({"base": [], "neighbour": [], "gap": [], "label": []}, dtype=np.int64)
    fewest = min(class_counts[k] for k in strategy)
    if fewest <= smote.neighbours:
        raise DataError(
            f"dataset {name}: SMOTE with {smote.neighbours} neighbours needs more training images "
            f"than that in each class, but one has {fewest}: lower "
            f"datasets.{name}.smote.neighbours, or switch smote.enabled off"
        )
    sampler = _RecipeSMOTE(
        sampling_strategy=strategy,
        random_state=smote.seed,
        k_neighbors=_PixelNeighbours(images.reshape(len(images), -1), smote.neighbours + 1),
    )
    sampler.recipes = []
    sampler.fit_resample(np.asarray(positions, dtype=np.float64)[:, None], labels)
    table = pd.concat(sampler.recipes, ignore_index=True)
    label_of = dict(zip(positions, labels, strict=True))
    table["label"] = [label_of[base] for base in table["base"]]
    return table


def balance(name: str, smote: Smote, prepared: Path, output: Path) -> None:
    """Write the recipes for the training part of a prepared dataset (see :func:`recipes`)."""
    split = pd.read_csv(prepared / "split.csv", usecols=["label", "part"])
    train = np.flatnonzero(split["part"] == "train")
    images = np.load(prepared / "images.npy", mmap_mode="r")
    labels = split["label"].to_numpy()[train]
    table = recipes(images, train, labels, smote, name)
    table.to_csv(output, index=False, float_format="%.17g")
