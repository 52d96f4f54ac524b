"""Prepared images, and what one run draws from them."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hdkd.errors import DataError
from hdkd.files import CHECKSUMS, read_checksums, sha256

PREPARED_FILES = ("images.npy", "index.csv", "facts.json", "split.csv", "split.json")


@dataclass(frozen=True)
class ImageSet:
    """A prepared dataset: bytes ``(n, channels, size, size)`` and one row each in ``table``."""

    images: np.ndarray
    table: pd.DataFrame
    facts: dict[str, Any]

    @classmethod
    def load(cls, folder: Path) -> "ImageSet":
        """Open the folder that ``hdkd prepare`` and ``hdkd split`` have written.

        Raises ``DataError`` where there is none, and where a file of it has changed since.
        """
        if not (folder / CHECKSUMS).exists():
            raise DataError(
                f"{folder} has no images: run `hdkd acquire`, `hdkd prepare` and `hdkd split` first"
            )
        sums = read_checksums(folder)
        for name in PREPARED_FILES:
            if sums.get(name) != sha256(folder / name):
                raise DataError(
                    f"{folder / name} is damaged (its checksum is not the one in {CHECKSUMS}): "
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
        """Names, in the order of the labels."""
        return self.facts["classes"]

    @property
    def labels(self) -> np.ndarray:
        """``(n,)`` positions in ``classes``."""
        return self.table["label"].to_numpy()

    def chosen(self, positions: np.ndarray) -> "Chosen":
        """The images at ``positions``, not yet read."""
        return Chosen(self.images, positions)

    def part(self, name: str) -> np.ndarray:
        """Positions of the ``train``, ``validation`` or ``test`` images."""
        return np.flatnonzero(self.table["part"] == name)


@dataclass(frozen=True)
class Chosen:
    """The images at ``positions`` ``(n,)`` of ``source``, read when a slice is asked for.

    So a mapped file may be larger than the memory.
    """

    source: np.ndarray
    positions: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, rows: slice) -> np.ndarray:
        return self.source[self.positions[rows]]


@dataclass(frozen=True)
class TrainingSet:
    """What one run draws from: real images at ``positions``, then the synthetic ``recipes``.

    ``arithmetic`` is how recipes are blended (see :func:`blend`).
    """

    source: ImageSet
    positions: np.ndarray
    recipes: pd.DataFrame | None = None
    arithmetic: str = "exact"

    def __len__(self) -> int:
        return len(self.positions) + (0 if self.recipes is None else len(self.recipes))

    @property
    def labels(self) -> np.ndarray:
        """``(len(self),)``, the synthetic images' last."""
        real = self.source.labels[self.positions]
        if self.recipes is None:
            return real
        return np.concatenate([real, self.recipes["label"].to_numpy(dtype=real.dtype)])

    def images(self, members: np.ndarray) -> np.ndarray:
        """Bytes ``(n, channels, size, size)`` of ``n`` members 0 … len - 1; recipes are blended."""
        real = members < len(self.positions)
        batch = np.empty((len(members), *self.source.images.shape[1:]), dtype=np.uint8)
        batch[real] = self.source.images[self.positions[members[real]]]
        if self.recipes is not None and not real.all():
            chosen = self.recipes.iloc[members[~real] - len(self.positions)]
            batch[~real] = blend(
                self.source.images[chosen["base"].to_numpy()],
                self.source.images[chosen["neighbour"].to_numpy()],
                chosen["gap"].to_numpy(),
                self.arithmetic,
            )
        return batch

    def digest(self) -> str:
        """SHA-256 over pixels' digests, labels and recipes: what this run can see."""
        hasher = hashlib.sha256()
        rows = self.source.table.iloc[self.positions]
        for digest, label in zip(rows["digest"], rows["label"], strict=True):
            hasher.update(f"{digest} {label}\n".encode())
        if self.recipes is not None:
            hasher.update(self.recipes.to_csv(index=False).encode())
        return hasher.hexdigest()


def blend(
    base: np.ndarray, neighbour: np.ndarray, gap: np.ndarray, arithmetic: str = "exact"
) -> np.ndarray:
    """SMOTE's images (:mod:`hdkd.data.smote`), ``base + gap × (neighbour − base)`` in bytes.

    ``base`` and ``neighbour`` are ``(n, …)`` bytes, ``gap`` ``(n,)`` in [0, 1]. ``exact``
    arithmetic rounds; ``wrapped`` is what imbalanced-learn does when it is given bytes, as the
    released implementation gives them: difference and sum wrap modulo 256, and fractions are cut
    off.
    """
    gap = np.asarray(gap).reshape(-1, *[1] * (base.ndim - 1))
    if arithmetic == "wrapped":
        mixed = base + gap * (neighbour - base)  # differences of bytes are bytes
        return mixed.astype(np.int64).astype(np.uint8)
    mixed = base + gap.astype(np.float32) * (neighbour.astype(np.float32) - base)
    return np.rint(mixed).astype(np.uint8)
