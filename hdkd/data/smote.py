"""SMOTE balancing of the teacher's training images, as recipes (paper, section 4.2).

imbalanced-learn decides which images to interpolate and how far; what is stored is that decision,
``base + gap × (neighbour − base)``, and the pixels are blended where they are trained on. So the
array of all synthetic images never exists, and whether bytes may overflow is decided there.
"""

import sys
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE
from sklearn.base import BaseEstimator
from sklearn.neighbors import NearestNeighbors
from sklearn.neighbors._base import KNeighborsMixin

from hdkd.config import Smote
from hdkd.data import neighbours
from hdkd.errors import DataError


class _PixelNeighbours(KNeighborsMixin, BaseEstimator):
    """Nearest neighbours among images that are given by their position in ``images``.

    Approximate ones where there are more than ``EXACT_UP_TO``.
    """

    def __init__(self, images: np.ndarray, n_neighbors: int, seed: int) -> None:
        self.images = images
        self.n_neighbors = n_neighbors
        self.seed = seed

    def __sklearn_clone__(self) -> "_PixelNeighbours":
        return _PixelNeighbours(self.images, self.n_neighbors, self.seed)

    def fit(self, positions: np.ndarray, y: None = None) -> Self:
        """``positions`` are ``(n, 1)``; the neighbours of all their images are kept."""
        chosen = positions[:, 0].astype(np.intp)
        if len(chosen) > neighbours.EXACT_UP_TO:
            others = neighbours.approximate(self.images, chosen, self.n_neighbors - 1, self.seed)
            self.found_ = np.column_stack([np.arange(len(chosen)), others])
        else:
            distances = np.sqrt(neighbours.squared_distances(self.images[chosen]))
            fitted = NearestNeighbors(n_neighbors=self.n_neighbors, metric="precomputed")
            self.found_ = fitted.fit(distances).kneighbors(distances, return_distance=False)
        self.n_samples_fit_ = len(chosen)
        return self

    def kneighbors(self, positions: np.ndarray, return_distance: bool = False) -> np.ndarray:
        """Of the fitted images, which imbalanced-learn asks for alone: themselves included."""
        return self.found_


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
    many = [str(class_counts[k]) for k in strategy if class_counts[k] > neighbours.EXACT_UP_TO]
    if many:
        print(
            f"note: dataset {name}: SMOTE's nearest neighbours are approximate in classes of more "
            f"than {neighbours.EXACT_UP_TO} training images ({', '.join(many)})",
            file=sys.stderr,
        )
    sampler = _RecipeSMOTE(
        sampling_strategy=strategy,
        random_state=smote.seed,
        k_neighbors=_PixelNeighbours(
            images.reshape(len(images), -1), smote.neighbours + 1, smote.seed
        ),
    )
    sampler.recipes = []
    sampler.fit_resample(np.asarray(positions, dtype=np.float64)[:, None], labels)
    table = pd.concat(sampler.recipes, ignore_index=True)
    label_of = np.empty(len(images), dtype=np.int64)
    label_of[positions] = labels
    table["label"] = label_of[table["base"]]
    return table


def balance(name: str, smote: Smote, prepared: Path, output: Path) -> None:
    """Write the recipes for the training part of a prepared dataset (see :func:`recipes`)."""
    split = pd.read_csv(prepared / "split.csv", usecols=["label", "part"])
    train = np.flatnonzero(split["part"] == "train")
    images = np.load(prepared / "images.npy", mmap_mode="r")
    labels = split["label"].to_numpy()[train]
    table = recipes(images, train, labels, smote, name)
    table.to_csv(output, index=False, float_format="%.17g")
