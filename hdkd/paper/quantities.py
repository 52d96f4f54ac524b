"""What a published value is a number of, and its row of the ledger.

Here is what all quantities have in common. Those of networks and data are in ``structural.py``,
those that trainings give in ``trained.py``.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field

from hdkd.evaluation.statistics import Estimate
from hdkd.paper.measurements import Measurements
from hdkd.paper.published import Network, Value
from hdkd.paper.verdicts import NOT_RUN, Verdict
from hdkd.study.names import network_name

# What two networks, or one on two subsets, are compared by, wherever it is printed.
Comparison = tuple[Network, Network, str, str, str]
NONE = math.nan
UNMEASURED = Verdict(NOT_RUN)


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

    mean: float
    low: float = NONE
    high: float = NONE
    seeds: int = 0

    @classmethod
    def of(cls, found: Estimate | None) -> "Mean | None":
        """The mean of an estimate with its own interval."""
        return found and cls(found.mean, *found.interval, found.seeds)


@dataclass(frozen=True)
class Row:
    """A row of the ledger: a published value and what was found of it.

    Numbers are in the value's unit, NaN where there is none. ``measured`` is a text where the value
    is a setting and ``None`` without a measurement; ``digits`` are shown of it. ``smaller`` has
    what was found by the profiles of that name.
    """

    value: Value
    what: str
    measured: Mean | str | None = None
    digits: int = 2
    verdict: Verdict = UNMEASURED
    notes: tuple[str, ...] = ()
    protocol: str = ""
    p_value: float = NONE
    smallest: float = NONE
    last_epoch: float = NONE
    best_epoch: float = NONE
    balanced: Mean | None = None
    without_leaks: Mean | None = None
    smaller: dict[str, Mean] = field(default_factory=dict)
    data: str = ""
    devices: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()

    @property
    def difference(self) -> float:
        """Measured less published; NaN where either is no number."""
        return self.measured.mean - self.value.number if isinstance(self.measured, Mean) else NONE


@dataclass(frozen=True)
class Quantity(ABC):
    """A published ``value`` as something that can be measured."""

    value: Value

    @property
    def network(self) -> str:
        """The name of the value's network, for people; empty where it is of the data."""
        return network_name(*astuple(self.value.network)) if self.value.network else ""

    @property
    def what(self) -> str:
        """What the row is about, for people."""
        name = self.value.of.replace("_", " ") or self.value.quantity
        return f"{self.network}: {name}" if self.network else name

    @abstractmethod
    def row(self, evidence: Evidence) -> Row:
        """The value's row of the ledger."""
