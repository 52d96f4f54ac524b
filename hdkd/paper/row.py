"""Kinds of published values, their rows of the ledger, and the evidence for them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from hdkd.evaluation.statistics import Estimate
from hdkd.paper.measurements import Measurements
from hdkd.paper.published import Comparison, Value
from hdkd.paper.verdicts import NOT_RUN, Verdict


@dataclass(frozen=True)
class Evidence:
    """What there is to compare the paper with.

    ``paper`` decides verdicts; ``smaller`` are the profiles that have columns of their own, the
    smallest last. ``corrected`` has the p value of each comparison, corrected within its table, and
    how many times it has counted there.
    """

    paper: Measurements
    smaller: Sequence[Measurements]
    corrected: dict[Comparison, tuple[float, int]]


@dataclass(frozen=True)
class Mean:
    """A mean over so many ``seeds`` with the ends of its 95 % interval; NaN where there is none."""

    mean: float = math.nan
    low: float = math.nan
    high: float = math.nan
    seeds: int = 0

    @classmethod
    def of(cls, found: Estimate | None) -> "Mean":
        """An estimate with its own interval; without an estimate there is no mean, either."""
        return cls(found.mean, *found.interval, found.seeds) if found else cls()


NO_MEAN = Mean()
UNMEASURED = Verdict(NOT_RUN)


@dataclass(frozen=True)
class Row:
    """A row of the ledger: a published value and what was found of it.

    Numbers are in the value's unit, NaN where there is none. ``setting`` is what was found of a
    value that is a setting, ``measured`` of any other; ``digits`` are shown of it. ``smaller`` has
    what was found by the profiles of that name.
    """

    value: Value
    setting: str = ""
    measured: Mean = NO_MEAN
    digits: int = 2
    verdict: Verdict = UNMEASURED
    notes: tuple[str, ...] = ()
    protocol: str = ""
    p_value: float = math.nan
    smallest: float = math.nan
    last_epoch: float = math.nan
    best_epoch: float = math.nan
    balanced: Mean = NO_MEAN
    without_leaks: Mean = NO_MEAN
    smaller: dict[str, Mean] = field(default_factory=dict)
    data: str = ""
    devices: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()

    @property
    def difference(self) -> float:
        """Measured less published; NaN without a measured number."""
        found = self.measured.mean
        return found if math.isnan(found) else found - self.value.number


@dataclass(frozen=True)
class Quantity(ABC):
    """A published ``value`` as something that is measured and judged.

    Each kind has ``measure``, ``None`` where there is nothing to measure, and ``verdict`` on what
    was measured. Those of networks and data are in ``structural.py``, of runs in ``trained.py``.
    """

    value: Value

    @abstractmethod
    def row(self, evidence: Evidence) -> Row:
        """The value's row of the ledger."""
