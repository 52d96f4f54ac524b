"""What tells one run from another, and its folder."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from hdkd.config import STRENGTH, methods
from hdkd.study.names import NETWORKS

# Of a model's name behind its role: block and stride, method, point.
VARIANT = re.compile(r"(?:-(mbcsa|mbconv)-s([24]))?(?:-([a-z][a-z0-9_]*))?(?:-([a-z][a-z0-9_]*))?")


@dataclass(frozen=True)
class RunKey:
    """What tells one run from another.

    ``role`` is one of ``ROLES`` or, for a baseline, of ``BASELINES``, which have neither ``block``
    nor ``stem_stride``. ``method`` is how a student of the group ``methods`` is taught. ``point``
    names a changed distillation, a control, a trial of the tuning or the strength of a method.
    """

    profile: str
    dataset: str
    group: str
    role: str
    subset: str
    seed: int
    block: str = ""
    stem_stride: int = 0
    point: str = ""
    method: str = ""

    @property
    def variant(self) -> str:
        """``mbcsa-s2``, behind it method and point if there are any; empty for a baseline's run."""
        stride = f"s{self.stem_stride}" if self.stem_stride else ""
        return "-".join(part for part in (self.block, stride, self.method, self.point) if part)

    @property
    def is_taught(self) -> bool:
        """Whether a teacher teaches it."""
        return self.role == "hdkd" or (bool(self.method) and methods()[self.method].taught)

    @property
    def strength(self) -> float:
        """By what its method's published weights are multiplied."""
        found = STRENGTH.fullmatch(self.point) if self.method else None
        return float(".".join(filter(None, found.groups()))) if found else 1.0

    @property
    def model(self) -> str:
        """Role and variant, ``hdkd-mbcsa-s2``."""
        return f"{self.role}-{self.variant}" if self.variant else self.role

    @property
    def name(self) -> str:
        """``brain_tumor hdkd-mbcsa-s2 n=200 seed=0``."""
        return f"{self.dataset} {self.model} n={self.subset} seed={self.seed}"

    @property
    def folder(self) -> Path:
        """The run folder, below the project folder."""
        group = Path("models") / self.profile / self.group / self.dataset
        return group / self.model / f"n{self.subset}" / f"seed{self.seed}"

    @classmethod
    def of_folder(cls, folder: Path) -> Self:
        """The key whose ``folder`` it is. Raises ``ValueError`` where it is none's."""
        _, profile, group, dataset, model, subset, seed = folder.parts
        role, dash, rest = model.partition("-")
        found = VARIANT.fullmatch(dash + rest)
        if not found:
            raise ValueError(f"{folder} is not a run folder")
        block, stride, method, point = found.groups("")
        if method and role not in NETWORKS:  # there the only name behind is a point
            method, point = "", method
        return cls(
            profile=profile,
            dataset=dataset,
            group=group,
            role=role,
            subset=subset.removeprefix("n"),
            seed=int(seed.removeprefix("seed")),
            block=block,
            stem_stride=int(stride or 0),
            point=point,
            method=method,
        )
