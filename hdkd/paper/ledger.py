"""The ledger: each number that the paper prints, beside what this project measured, with a verdict.

Runs of smaller profiles have columns of their own and never decide a verdict; nor does a run of the
profile ``paper`` whose network or images have been made smaller.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from hdkd.evaluation.statistics import Estimate, holm, holm_steps
from hdkd.paper import published, verdicts
from hdkd.paper.measurements import Measurements
from hdkd.paper.published import COMPARABLE_PROFILE, Value
from hdkd.paper.quantities import Comparison, Evidence, Quantity, Row
from hdkd.paper.shown import SMALLER, headline, markdown, texts
from hdkd.paper.structural import Count, Macs, MacsRatio, Parameters, Setting
from hdkd.paper.trained import Accuracy, Effect, Gain, Ordering

__all__ = [
    "corrected",
    "headline",
    "ledger",
    "markdown",
    "quantity",
    "read_ledger",
    "texts",
    "write_ledger",
]

QUANTITIES: dict[str, type[Quantity]] = {
    "setting": Setting,
    "parameters": Parameters,
    "macs": Macs,
    "macs ratio": MacsRatio,
    "count": Count,
    "accuracy": Accuracy,
    "gain": Gain,
    "ordering": Ordering,
}


def write_ledger(
    parameters: dict[str, Any], folder: Path, root: Path = Path()
) -> tuple[pd.DataFrame, list[str]]:
    """Write ``ledger.csv`` and ``ledger.md`` into ``folder`` from all evidence below ``root``.

    Trainings count where they were made with ``parameters``, the content of a parameter file;
    returned are the table, every cell as text, and which trainings were left out, with the reason.
    """
    rows, left_out = ledger(parameters, root)
    table = texts(rows)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "ledger.csv", index=False)
    (folder / "ledger.md").write_text(markdown(table, left_out), "utf-8")
    return table, left_out


def read_ledger(path: Path) -> pd.DataFrame:
    """A ledger that :func:`write_ledger` wrote; every cell is text."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def ledger(parameters: dict[str, Any], root: Path = Path()) -> tuple[list[Row], list[str]]:
    """One row per published value, in their order in the paper; and the trainings left out."""
    paper, *smaller = (
        Measurements(profile, parameters, root) for profile in (COMPARABLE_PROFILE, *SMALLER)
    )
    quantities = [quantity(value) for value in published.values()]
    effects = [each for each in quantities if isinstance(each, Effect)]
    evidence = Evidence(paper, smaller, corrected((e, e.measure(paper)) for e in effects))
    rows = [each.row(evidence) for each in quantities]
    return rows, [text for made in (paper, *smaller) for text in made.left_out]


def quantity(value: Value) -> Quantity:
    """A published value as what it is a number of."""
    return QUANTITIES[value.quantity](value)


def corrected(
    found: Iterable[tuple[Effect, Estimate | None]],
) -> dict[Comparison, tuple[float, int]]:
    """The p value of each comparison, corrected within its table, and how often it counted there.

    A comparison of two tables belongs to both, and the larger p value counts: Section 5's gain of
    MBCSA over MBConv is an ordering of Table 6, too. Too few seeds are left out.
    """
    tables: dict[str, dict[Comparison, float]] = defaultdict(dict)
    for effect, measured in found:
        if measured and measured.seeds >= verdicts.FEWEST_SEEDS:
            tables[effect.value.place][effect.comparison] = measured.p_value
    largest: dict[Comparison, tuple[float, int]] = {}
    for table in tables.values():
        p_values = [*table.values()]
        for key, *counted in zip(table, holm(p_values), holm_steps(p_values), strict=True):
            largest[key] = max(largest.get(key, (0.0, 0)), tuple(counted))
    return largest
