"""Prepared images, and what one training draws from them."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hdkd.data.batches.recipes import blend
from hdkd.errors import DataError
from hdkd.files import SUMS, read_sums, sha256

PREPARED_FILES = ("images.npy", "index.csv", "facts.json", "split.csv", "split.json")


@dataclass(frozen=True)
class ImageSet:
    """A prepared dataset: ``images`` ``(n, channels, size, size)`` bytes and one row each in ``table``."""

    images: np.ndarray
    table: pd.DataFrame
    facts: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> "ImageSet":
        """Open the folder that ``hdkd prepare`` and ``hdkd split`` have written.

        Raises ``DataError`` that names a file of it which has changed since.
        """
        sums = read_sums(folder)
        for name in PREPARED_FILES:
            if sums.get(name) != sha256(folder / name):
                raise DataError(
                    f"{folder / name} is damaged (its checksum is not the one in {SUMS}): "
                    f"remove {folder} and start again"
                )
        table = pd.read_csv(folder / "split.csv", keep_default_na=False, dtype={"class": str})
        if "leaked" not in table:
            raise DataError(f"{folder} was split by an earlier version: run `hdkd split` again")
        return cls(
            images=np.load(folder / "images.npy", mmap_mode="r"),
            table=table,
            facts=json.loads((folder / "facts.json").read_text("utf-8")),
        )

    @property
    def classes(self) -> list[str]:
        return self.facts["classes"]

    @property
    def labels(self) -> np.ndarray:
        return self.table["label"].to_numpy()

    def part(self, name: str) -> np.ndarray:
        """Positions of the ``train``, ``validation`` or ``test`` images."""
        return np.flatnonzero(self.table["part"] == name)


@dataclass(frozen=True)
class TrainingSet:
    """What one training draws from: real images at ``positions``, then the synthetic ``recipes``.

    ``arithmetic`` is how recipes are blended (see :func:`hdkd.data.batches.recipes.blend`).
    """

    source: ImageSet
    positions: np.ndarray
    recipes: pd.DataFrame | None = None
    arithmetic: str = "exact"

    def __len__(self) -> int:
        return len(self.positions) + (0 if self.recipes is None else len(self.recipes))

    @property
    def labels(self) -> np.ndarray:
        real = self.source.labels[self.positions]
        if self.recipes is None:
            return real
        return np.concatenate([real, self.recipes["label"].to_numpy(dtype=real.dtype)])

    def images(self, members: np.ndarray) -> np.ndarray:
        """Bytes ``(len(members), channels, size, size)`` of members 0 … len - 1; recipes are blended."""
        real = members < len(self.positions)
        batch = np.empty((len(members), *self.source.images.shape[1:]), dtype=np.uint8)
        batch[real] = self.source.images[self.positions[members[real]]]
        if not real.all():
            chosen = self.recipes.iloc[members[~real] - len(self.positions)]
            batch[~real] = blend(
                self.source.images[chosen["base"].to_numpy()],
                self.source.images[chosen["neighbour"].to_numpy()],
                chosen["gap"].to_numpy(),
                self.arithmetic,
            )
        return batch

    def digest(self) -> str:
        """SHA-256 over pixels' digests, labels and recipes: what this training can see."""
        hasher = hashlib.sha256()
        rows = self.source.table.iloc[self.positions]
        for digest, label in zip(rows["digest"], rows["label"], strict=True):
            hasher.update(f"{digest} {label}\n".encode())
        if self.recipes is not None:
            hasher.update(self.recipes.to_csv(index=False).encode())
        return hasher.hexdigest()
