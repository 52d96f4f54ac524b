"""The ledger: each number that the paper prints, beside what this project measured, with a verdict.

Runs of smaller profiles have columns of their own and never decide a verdict; nor does a run of the
profile ``paper`` whose network or images have been made smaller.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hdkd import templates
from hdkd.evaluation.statistics import Estimate, holm, holm_steps
from hdkd.paper import published, verdicts
from hdkd.paper.measurements import Measurements
from hdkd.paper.published import COMPARABLE_PROFILE, Comparison, Value
from hdkd.paper.row import NO_MEAN, Evidence, Mean, Quantity, Row
from hdkd.paper.structural import STRUCTURAL, Count, Macs, MacsRatio, Parameters, Setting
from hdkd.paper.trained import Accuracy, Effect, Gain, Ordering, Trained

SMALLER_PROFILES = ("reduced", "pilot")  # profiles that have columns of their own
MOST_NAMED = 50  # runs that are left out: of a large study, thousands may be
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
# Columns for people, with their titles; those that are empty in a whole table are left out.
TITLES = {
    "what": "What",
    "dataset": "Dataset",
    "unit": "Unit",
    "published": "Published",
    "measured": "Measured",
    "difference": "Difference",
    "last_epoch": "Last epoch",
    "best_epoch": "Best epoch",
    "balanced": "Balanced accuracy",
    "without_leaks": "Last epoch without leaks",
    "smallest": "Smallest detectable",
    "seeds": "Seeds",
    "effect": "Effect",
    "size": "Size",
    "p_value": "p (Holm)",
    "verdict": "Verdict",
    "reduced": "At 96 pixels",
    "pilot": "At pilot scale",
    "note": "Note",
}


def write_ledger(parameters: dict[str, Any], folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Write ``ledger.csv`` and ``ledger.md`` into ``folder`` from all evidence.

    Runs count where they were made with ``parameters``, the content of a parameter file; returned
    are the table, every cell as text, and which runs were left out, with the reason.
    """
    rows, left_out = ledger(parameters)
    table = texts(rows)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "ledger.csv", index=False)
    (folder / "ledger.md").write_text(markdown(table, left_out), "utf-8")
    return table, left_out


def read_ledger(path: Path) -> pd.DataFrame:
    """A ledger that :func:`write_ledger` wrote; every cell is text."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def ledger(parameters: dict[str, Any]) -> tuple[list[Row], list[str]]:
    """One row per published value, in their order in the paper; and the runs left out."""
    paper, *smaller = (
        Measurements(profile, parameters) for profile in (COMPARABLE_PROFILE, *SMALLER_PROFILES)
    )
    quantities = [QUANTITIES[value.quantity](value) for value in published.values()]
    effects = [each for each in quantities if isinstance(each, Effect)]
    evidence = Evidence(paper, smaller, corrected((e.value, e.measure(paper)) for e in effects))
    rows = [each.row(evidence) for each in quantities]
    return rows, [text for each in (paper, *smaller) for text in each.left_out]


def corrected(
    found: Iterable[tuple[Value, Estimate | None]],
) -> dict[Comparison, tuple[float, int]]:
    """The p value of each comparison, corrected within its table, and how often it counted there.

    A comparison of two tables belongs to both, and the larger p value counts: Section 5's gain of
    MBCSA over MBConv is an ordering of Table 6, too. Too few seeds are left out.
    """
    tables: dict[str, dict[Comparison, float]] = defaultdict(dict)
    for value, measured in found:
        if measured and measured.seeds >= verdicts.FEWEST_SEEDS:
            tables[value.place][value.comparison] = measured.p_value
    largest: dict[Comparison, tuple[float, int]] = {}
    for table in tables.values():
        p_values = [*table.values()]
        for key, p_value, step in zip(table, holm(p_values), holm_steps(p_values), strict=True):
            largest[key] = max(largest.get(key, (0.0, 0)), (p_value, step))
    return largest


def texts(rows: Iterable[Row]) -> pd.DataFrame:
    """The whole ledger, every cell as text, empty where there is nothing to show."""
    return pd.DataFrame([_texts(row) for row in rows])


def _texts(row: Row) -> dict[str, str]:
    value, found = row.value, row.measured
    smaller: dict[str, str] = {}
    for name in SMALLER_PROFILES:
        mean = row.smaller.get(name, NO_MEAN)
        smaller |= {
            name: number(mean.mean),
            f"{name}_low": number(mean.low),
            f"{name}_high": number(mean.high),
            f"{name}_seeds": str(mean.seeds or ""),
        }
    return {
        "row": value.row,
        "place": value.place,
        "what": value.what,
        "dataset": value.dataset,
        "unit": value.unit,
        "published": f"{value.relation} {value.printed}".removeprefix("is "),
        "measured": row.setting or number(found.mean, row.digits),
        "difference": "" if math.isnan(row.difference) else f"{row.difference:+.{row.digits}f}",
        "low": number(found.low),
        "high": number(found.high),
        "verdict": row.verdict.verdict,
        "protocol": row.protocol,
        "effect": row.verdict.effect,
        "size": row.verdict.size,
        "p_value": "" if math.isnan(row.p_value) else f"{row.p_value:.3g}",
        "smallest": number(row.smallest),
        "last_epoch": number(row.last_epoch),
        "best_epoch": number(row.best_epoch),
        "balanced": _with_interval(row.balanced),
        "without_leaks": _with_interval(row.without_leaks),
        "seeds": str(found.seeds or ""),
        **smaller,
        "note": "; ".join(filter(None, row.notes)),
        "data": row.data,
        "device": ", ".join(row.devices),
        "runs": " ".join(row.runs),
    }  # fmt: skip


def number(value: float, digits: int = 2) -> str:
    """So many digits, and never a negative zero; empty where there is no number."""
    return "" if math.isnan(value) else f"{value + 0.0:.{digits}f}"


def _with_interval(mean: Mean) -> str:
    return number(mean.mean) + _between(number(mean.low), number(mean.high))


def _between(low: str, high: str) -> str:
    return f" ({low} to {high})" if low else ""


def rows_for_people(table: pd.DataFrame) -> list[dict[str, str]]:
    """Rows as people read them; columns that are empty in all of ``table`` are left out."""
    chosen = table.copy()
    for name, ends in {"measured": "", **{name: f"{name}_" for name in SMALLER_PROFILES}}.items():
        intervals = zip(chosen[f"{ends}low"], chosen[f"{ends}high"], strict=True)
        chosen[name] += [_between(low, high) for low, high in intervals]
    for name in SMALLER_PROFILES:
        chosen[name] += chosen[f"{name}_seeds"].map(lambda text: f", n={text}" if text else "")
    names = [name for name in TITLES if (chosen[name] != "").any()]
    return chosen[names].rename(columns=TITLES).to_dict("records")


def by_place(table: pd.DataFrame) -> list[dict[str, Any]]:
    """For each place in the paper its name, headline and rows for people."""
    return [
        {"place": place, "headline": headline(rows), "rows": rows_for_people(rows)}
        for place, rows in table.groupby("place", sort=False)
    ]


def copies(table: pd.DataFrame) -> list[str]:
    """Which copies of the data were measured on, ``brain_tumor: copy …``."""
    named = table[table["data"] != ""]
    return sorted({f"{row.dataset}: {row.data}" for row in named.itertuples()})


def headline(table: pd.DataFrame) -> str:
    """How many rows have each verdict, those that need no training first.

    ``79 of networks and data: 70 exact, 9 differs; 80 of runs: 3 reproduced, …``
    """
    kinds = {value.row: QUANTITIES[value.quantity] for value in published.values()}
    trained = table["row"].map(lambda row: issubclass(kinds[row], Trained))
    parts = []
    for kind, rows, names in (
        ("of networks and data", table[~trained], STRUCTURAL),
        ("of runs", table[trained], verdicts.VERDICTS),
    ):
        counts = {name: int((rows["verdict"] == name).sum()) for name in names}
        if total := sum(counts.values()):
            shown = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
            parts.append(f"{total} {kind}: {shown}")
    return "; ".join(parts)


def different(table: pd.DataFrame) -> str:
    """The verdicts on numbers of networks and data, each number once: ``57: 48 exact, 9 differs``.

    One that the paper prints several times ``differs`` where any of them does. Empty without any.
    """
    values = {value.row: value for value in published.values()}
    found: dict[Any, str] = {}
    for row, verdict in zip(table["row"], table["verdict"], strict=True):
        value = values[row]
        if verdict in STRUCTURAL:
            number = (value.quantity, value.network, value.of, value.dataset, value.subset)
            found[number] = max(found.get(number, ""), verdict, key=("", *STRUCTURAL).index)
    counts = {name: list(found.values()).count(name) for name in STRUCTURAL}
    shown = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    return f"{len(found)}: {shown}" if found else ""


def markdown(table: pd.DataFrame, left_out: Sequence[str] = ()) -> str:
    """The ledger, one table per place in the paper, and the first of the runs left out."""
    return templates.render(
        Path(__file__).with_name("ledger.md"),
        headline=headline(table),
        different=different(table),
        last_epoch=(table["last_epoch"] != "").any(),
        widest_reach=verdicts.WIDEST_REACH,
        copies=copies(table),
        left_out=left_out,
        named=MOST_NAMED,
        places=by_place(table),
        points=decided_by(),
        contradictions=published.document()["contradictions"],
    )


def decided_by() -> list[dict[str, str]]:
    """Where paper and released code differ, and what decides each point here."""
    return [
        {
            "Point": point["point"],
            "Paper": point["paper"],
            "Released code": point["released"],
            "Here": f"parameter `{point['key']}`" if point["key"] else point["here"],
        }
        for point in published.document()["protocol"]
    ]
