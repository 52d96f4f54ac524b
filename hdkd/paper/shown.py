"""The ledger as people read it: its rows as texts, as Markdown, and in a sentence."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from hdkd import templates
from hdkd.paper import published, verdicts
from hdkd.paper.published import TRAINED
from hdkd.paper.quantities import Mean, Row
from hdkd.paper.structural import STRUCTURAL

SMALLER = ("reduced", "pilot")  # profiles that have columns of their own
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
    "smallest": "Smallest to be seen",
    "seeds": "Seeds",
    "effect": "Effect",
    "size": "Size",
    "p_value": "p (Holm)",
    "verdict": "Verdict",
    "reduced": "At 96 pixels",
    "pilot": "At pilot scale",
    "note": "Note",
}


def texts(rows: Iterable[Row]) -> pd.DataFrame:
    """The whole ledger, every cell as text, empty where there is nothing to show."""
    return pd.DataFrame([_texts(row) for row in rows])


def _texts(row: Row) -> dict[str, str]:
    value, found = row.value, row.measured
    mean = found if isinstance(found, Mean) else Mean(math.nan)
    smaller = {
        name: text
        for profile in SMALLER
        for name, text in _columns(profile, row.smaller.get(profile, Mean(math.nan))).items()
    }
    return {
        "row": value.row,
        "place": value.place,
        "what": row.what,
        "dataset": value.dataset,
        "unit": value.unit,
        "published": f"{value.relation} {value.printed}".removeprefix("is "),
        "measured": found if isinstance(found, str) else number(mean.mean, row.digits),
        "difference": "" if math.isnan(row.difference) else f"{row.difference:+.{row.digits}f}",
        "low": number(mean.low),
        "high": number(mean.high),
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
        "seeds": str(mean.seeds or ""),
        **smaller,
        "note": "; ".join(filter(None, row.notes)),
        "data": row.data,
        "device": ", ".join(row.devices),
        "runs": " ".join(row.runs),
    }  # fmt: skip


def number(value: float, digits: int = 2) -> str:
    """So many digits, and never a negative zero; empty where there is no number."""
    return "" if math.isnan(value) else f"{value + 0.0:.{digits}f}"


def _columns(name: str, mean: Mean) -> dict[str, str]:
    return {
        name: number(mean.mean),
        f"{name}_low": number(mean.low),
        f"{name}_high": number(mean.high),
        f"{name}_seeds": str(mean.seeds or ""),
    }


def _with_interval(mean: Mean | None) -> str:
    return number(mean.mean) + _between(number(mean.low), number(mean.high)) if mean else ""


def _between(low: str, high: str) -> str:
    return f" ({low} to {high})" if low else ""


def rows_for_people(table: pd.DataFrame) -> list[dict[str, str]]:
    """Rows as people read them; columns that are empty in all of ``table`` are left out."""
    chosen = table.copy()
    ends = {"measured": ("low", "high")} | {
        name: (f"{name}_low", f"{name}_high") for name in SMALLER
    }
    for name, (low, high) in ends.items():
        chosen[name] += [_between(*both) for both in zip(chosen[low], chosen[high], strict=True)]
    for name in SMALLER:
        chosen[name] += chosen[f"{name}_seeds"].map(lambda text: f", n={text}" if text else "")
    names = [name for name in TITLES if (chosen[name] != "").any()]
    return chosen[names].rename(columns=TITLES).to_dict("records")


def by_place(table: pd.DataFrame) -> list[dict]:
    """For each place in the paper its name, headline and rows for people."""
    return [
        {"place": place, "headline": headline(rows), "rows": rows_for_people(rows)}
        for place, rows in table.groupby("place", sort=False)
    ]


def copies(table: pd.DataFrame) -> list[str]:
    """Which copies of the data were measured on, ``brain_tumor: copy …``."""
    named = table[table["data"] != ""]
    return sorted({f"{row.dataset}: {row.data}" for row in named.itertuples()})


def verdict_counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """How many rows have each verdict, all verdicts named.

    Of numbers that need no training, and apart from them of those that do.
    """
    trained = table["row"].isin([v.row for v in published.values() if v.quantity in TRAINED])
    kinds = {
        "of networks and data": (~trained, STRUCTURAL),
        "of trainings": (trained, verdicts.VERDICTS),
    }
    return {
        kind: {name: int((table["verdict"][chosen] == name).sum()) for name in names}
        for kind, (chosen, names) in kinds.items()
    }


def headline(table: pd.DataFrame) -> str:
    """``79 of networks and data: 70 exact, 9 differs; 80 of trainings: 3 reproduced, …``"""
    parts = [
        f"{sum(counts.values())} {kind}: "
        + ", ".join(f"{n} {name}" for name, n in counts.items() if n)
        for kind, counts in verdict_counts(table).items()
        if sum(counts.values())
    ]
    return "; ".join(parts)


def markdown(table: pd.DataFrame, left_out: Sequence[str] = ()) -> str:
    """The ledger, one table per place in the paper, and the trainings left out."""
    return templates.render(
        Path(__file__).with_name("ledger.md"),
        headline=headline(table),
        telling=verdicts.TELLING,
        copies=copies(table),
        left_out=left_out,
        places=by_place(table),
    )
