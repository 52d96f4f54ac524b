"""The ledger: each number that the paper prints, beside what this project measured, with a verdict.

==============  ==================================================================================
``exact``       a number of the network or of the data agrees in every printed digit
``reproduced``  an accuracy or gain lies inside the tolerance, measured with the profile ``paper``
``differs``     measured, and it does not agree
``not run``     no such measurement at the paper's own scale yet
==============  ==================================================================================

Tolerance of an accuracy: the exact 95 % interval of a binomial with the size of the test set, around the
mean over seeds, widened by the sample deviation over seeds and by what rounding hides. Of a gain: 1.96
standard errors of the difference of two such binomials, widened in the same way. Both are wide enough
for a single seed, and the test images are the same for all.

The paper's accuracies belong to the best epoch on the test set (that is how its released code reports),
so the verdict compares with the best epoch. The last epoch, which is not chosen on the test set, stands
beside it. Runs of smaller profiles have columns of their own and never decide a verdict; nor
does a run of the profile ``paper`` whose network or images have been made smaller.
"""

import inspect
import math
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hdkd import config
from hdkd.errors import ParameterError
from hdkd.evaluation import evidence, published
from hdkd.evaluation.metrics import interval
from hdkd.evaluation.published import COMPARABLE_PROFILE, Network, Value
from hdkd.names import network_name
from hdkd.plan import BASELINES

if TYPE_CHECKING:
    from torch import nn

    from hdkd.models.complexity import Complexity

VERDICTS = ("exact", "reproduced", "differs", "not run")
SMALLER_PROFILE = "pilot"
IMAGE_SIZE, CLASSES, CHANNELS = 224, 7, 3


@dataclass(frozen=True)
class Row:
    """A line of the ledger; texts are as they are shown, empty where there is nothing to show."""

    row: str
    place: str
    what: str
    dataset: str
    unit: str
    published: str
    measured: str = ""
    difference: str = ""
    low: str = ""
    high: str = ""
    verdict: str = "not run"
    protocol: str = ""
    last_epoch: str = ""
    seeds: str = ""
    spread: str = ""
    pilot: str = ""
    pilot_spread: str = ""
    pilot_seeds: str = ""
    note: str = ""
    data: str = ""
    device: str = ""
    runs: str = ""


def write_ledger(
    parameters: dict[str, Any], folder: Path, root: Path = Path()
) -> tuple[pd.DataFrame, list[str]]:
    """Write ``ledger.csv`` and ``ledger.md`` into ``folder`` from all evidence below ``root``.

    Trainings count where they were made with ``parameters``, the content of a parameter file; returned are
    the table and which trainings were left out, with the reason.
    """
    table, left_out = ledger(parameters, root)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "ledger.csv", index=False)
    (folder / "ledger.md").write_text(markdown(table, left_out), "utf-8")
    return table, left_out


def read_ledger(path: Path) -> pd.DataFrame:
    """A ledger that :func:`write_ledger` wrote; every cell is text."""
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def ledger(parameters: dict[str, Any], root: Path = Path()) -> tuple[pd.DataFrame, list[str]]:
    """One row per published value, in the order of ``published.values``; and the trainings left out."""
    paper, pilot = (
        Measurements(profile, parameters, root) for profile in (COMPARABLE_PROFILE, SMALLER_PROFILE)
    )
    table = pd.DataFrame([asdict(_row(v, paper, pilot)) for v in published.values()])
    return table, [*paper.left_out, *pilot.left_out]


class Measurements:
    """What the trainings and the data of one profile say about a published value."""

    def __init__(self, profile: str, parameters: dict[str, Any], root: Path) -> None:
        self.facts = evidence.facts(profile, root)
        self.summaries: dict[tuple[Network, str, str], dict[int, dict[str, Any]]] = {}
        known = evidence.known(profile, root)
        try:
            settings = config.resolve(parameters | {"profile": profile, "study": None})
        except ParameterError as error:
            kept, self.left_out = [], [f"everything of the profile {profile} ({error})"]
        else:
            kept, self.left_out = evidence.counting(settings, known, root)
        for summary in kept:
            key = evidence.key_of(summary)
            network = Network(key.role, key.block, key.stem_stride)
            foreign = profile == COMPARABLE_PROFILE and not self.has_paper_size(network, summary)
            if not key.point and not foreign:
                cell = self.summaries.setdefault((network, key.dataset, key.subset), {})
                cell[key.seed] = summary

    def has_paper_size(self, network: Network, summary: dict[str, Any]) -> bool:
        """Whether a run has the paper's network and image size, as the parameters of its profile may not."""
        images = self.facts.get(summary["run"]["dataset"], {"size": IMAGE_SIZE})["size"]
        classes = len(summary["final"]["recall"])
        return images == IMAGE_SIZE and summary["parameters"] == parameters(network, classes)

    def cell(self, network: Network, value: Value) -> dict[int, dict[str, Any]]:
        return self.summaries.get((network, value.dataset, value.subset), {})

    def data(self, dataset: str) -> str:
        """Which copy of the data it is, and how it differs from the published one."""
        facts = self.facts.get(dataset)
        if not facts:
            return ""
        sizes = ", ".join(f"{count} at {size}" for size, count in facts["native_sizes"].items())
        text = f"copy {facts['content_hash'][:12]}, {sizes} pixels"
        if facts["published_size"]:
            size = "×".join(map(str, facts["published_size"]))
            if list(facts["native_sizes"]) != [size]:
                text += f" (published at {size})"
        return text


@dataclass(frozen=True)
class Estimate:
    """Accuracies or gains in percent over seeds, with the half-width that sampling allows."""

    values: list[float]
    low: float
    high: float
    summaries: list[dict[str, Any]]

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def spread(self) -> float:
        """Sample deviation over seeds, 0 for a single one."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0


def accuracy_estimate(cell: dict[int, dict[str, Any]], protocol: str) -> Estimate:
    """Accuracy over seeds and its 95 % interval; ``protocol`` is ``final`` or ``best_epoch``."""
    summaries = [cell[seed] for seed in sorted(cell)]
    values = [100 * summary[protocol]["accuracy"] for summary in summaries]
    images = summaries[0]["test_images"]
    right = round(np.mean(values) / 100 * images)
    low, high = interval(right, images)
    return Estimate(values, 100 * low, 100 * high, summaries)


def gain_estimate(
    cell: dict[int, dict[str, Any]], over: dict[int, dict[str, Any]], protocol: str
) -> Estimate:
    """Gain over seeds that both have, and its 95 % interval."""
    seeds = sorted(cell.keys() & over.keys())
    better = [cell[seed][protocol]["accuracy"] for seed in seeds]
    base = [over[seed][protocol]["accuracy"] for seed in seeds]
    images = cell[seeds[0]]["test_images"]
    variance = sum(np.mean(p) * (1 - np.mean(p)) / images for p in (better, base))
    half = 196 * math.sqrt(variance)
    values = [100 * (one - other) for one, other in zip(better, base, strict=True)]
    mean = float(np.mean(values))
    summaries = [cells[seed] for cells in (cell, over) for seed in seeds]
    return Estimate(values, mean - half, mean + half, summaries)


def _estimate(value: Value, source: Measurements, protocol: str) -> Estimate | None:
    cell = source.cell(value.network, value)
    if value.over is None:
        return accuracy_estimate(cell, protocol) if cell else None
    over = source.cell(value.over, value)
    return gain_estimate(cell, over, protocol) if cell.keys() & over.keys() else None


def _row(value: Value, paper: Measurements, pilot: Measurements) -> Row:
    base = {
        "row": value.row,
        "place": value.place,
        "what": describe(value),
        "dataset": value.dataset,
        "unit": value.unit,
        "published": value.printed
        if value.relation == "is"
        else f"{value.relation} {value.printed}",
        "note": value.note,
    }
    if value.quantity in ("accuracy", "gain"):
        return Row(**base | _trained(value, paper, pilot))
    if value.quantity == "count":
        source = paper if value.dataset in paper.facts else pilot
        if value.dataset not in source.facts:
            return Row(**base)
        measured = count(value, source.facts[value.dataset])
        return Row(**base | _structural(value, measured) | {"data": source.data(value.dataset)})
    if value.quantity == "setting":
        measured = setting(value)
        verdict = "exact" if measured == value.printed else "differs"
        return Row(**base | {"measured": measured, "verdict": verdict})
    if value.quantity == "macs ratio":
        slow, fast = (size(Network(value.network.model, "mbcsa", stride)) for stride in (2, 4))
        return Row(**base | _structural(value, slow.macs / fast.macs))
    found = size(value.network)
    amount = found.parameters / 1e6 if value.quantity == "parameters" else found.macs / 1e9
    fields = _structural(value, amount)
    if value.quantity == "macs" and found.unseen_macs:
        whole = (found.macs + found.unseen_macs) / 1e9
        seen = f"{whole:.4f} with the attention products that the counter does not see"
        fields["note"] = "; ".join(text for text in (fields.get("note", value.note), seen) if text)
    return Row(**base | fields)


def _structural(value: Value, measured: float) -> dict[str, str]:
    """Fields of a number that needs no training."""
    digits = 0 if value.quantity == "count" else 4
    shown = f"{measured:.{digits}f}"
    gap = measured - value.number
    agrees = gap > 0 if value.relation == "more than" else abs(gap) <= value.half_digit
    if value.quantity == "count" and value.relation == "is":
        agrees = gap == 0
    fields = {
        "measured": shown,
        "difference": f"{gap:+.{digits}f}",
        "verdict": "exact" if agrees else "differs",
    }
    if not agrees and value.quantity != "count":
        unit = 2 * value.half_digit
        explained = ""
        if 0 < gap < unit:
            explained = "the printed digits are cut off, not rounded"
        elif abs(gap) < 3 * unit:
            explained = "in the last printed digit only"
        fields["note"] = "; ".join(text for text in (value.note, explained) if text)
    return fields


def _trained(value: Value, paper: Measurements, pilot: Measurements) -> dict[str, str]:
    """Fields of a number that trainings give."""
    fields = {}
    small = _estimate(value, pilot, "final")
    if small:
        fields |= {
            "pilot": f"{small.mean:.2f}",
            "pilot_spread": f"{small.spread:.2f}" if len(small.values) > 1 else "",
            "pilot_seeds": str(len(small.values)),
            "data": pilot.data(value.dataset),
        }
    best = _estimate(value, paper, "best_epoch")
    if best is None:
        return fields
    last = _estimate(value, paper, "final")
    margin = best.spread + value.half_digit
    inside = best.low - margin <= value.number <= best.high + margin
    epochs = sorted({summary["epochs"] for summary in best.summaries})
    return fields | {
        "measured": f"{best.mean:.2f}",
        "difference": f"{best.mean - value.number:+.2f}",
        "low": f"{best.low - best.spread:.2f}",
        "high": f"{best.high + best.spread:.2f}",
        "verdict": "reproduced" if inside else "differs",
        "protocol": f"best of {' or '.join(map(str, epochs))} epochs",
        "last_epoch": f"{last.mean:.2f}",
        "seeds": str(len(best.values)),
        "spread": f"{best.spread:.2f}" if len(best.values) > 1 else "",
        "data": paper.data(value.dataset),
        "device": ", ".join(sorted({s["provenance"]["device"] for s in best.summaries})),
        "runs": " ".join(evidence.key_of(s).folder.as_posix() for s in best.summaries),
    }


@cache
def size(network: Network) -> "Complexity":
    """Complexity at the paper's image size and 7 classes."""
    from hdkd.models.complexity import complexity

    return complexity(build_network(network, CLASSES), IMAGE_SIZE)


@cache
def parameters(network: Network, classes: int) -> int:
    """How many parameters the paper's network has for so many classes."""
    return sum(values.numel() for values in build_network(network, classes).parameters())


def build_network(network: Network, classes: int) -> "nn.Module":
    """The paper's network, untrained."""
    from hdkd.models import build

    common = {"num_classes": classes, "image_size": IMAGE_SIZE, "in_channels": CHANNELS}
    if network.model in BASELINES:
        return build(network.model, **common)
    return build(network.model, **common, block=network.block, stem_stride=network.stem_stride)


def setting(value: Value) -> str:
    """What the networks are built with unless told otherwise, as Table 1 writes it."""
    from hdkd.models import build_student, build_teacher

    function = build_teacher if value.network.model == "teacher" else build_student
    default = inspect.signature(function).parameters[value.of].default
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)


def count(value: Value, facts: dict[str, Any]) -> float:
    """What ``value`` counts, in a dataset of which ``facts`` are known."""
    classes = [both["train"] + both["test"] for both in facts["counts"].values()]
    train = [both["train"] for both in facts["counts"].values()]
    counted = {
        "images": sum(classes),
        "training images": sum(train),
        "test images": sum(classes) - sum(train),
        "classes": len(classes),
        "images of the largest class": max(classes),
        "images of the smallest class": min(classes),
        "percent in the largest class": 100 * max(classes) / sum(classes),
        "images of the third subset": sum(min(150, number) for number in train),
    }
    return counted[value.of]


def describe(value: Value) -> str:
    """What a row is about, for people."""
    network = network_name(*astuple(value.network)) if value.network else ""
    if value.quantity == "gain":
        images = "all" if value.subset == "all" else value.subset
        return f"gain of {network} over {network_name(*astuple(value.over))}, {images} images"
    what = value.of.replace("_", " ") or {"macs": "MACs"}.get(value.quantity, value.quantity)
    return f"{network}: {what}" if network else what


def verdict_counts(table: pd.DataFrame) -> dict[str, int]:
    """How many rows have each verdict, all verdicts named."""
    return {verdict: int((table["verdict"] == verdict).sum()) for verdict in VERDICTS}


SHOWN = {
    "what": "What",
    "dataset": "Dataset",
    "unit": "Unit",
    "published": "Published",
    "measured": "Measured",
    "difference": "Difference",
    "last_epoch": "Last epoch",
    "seeds": "Seeds",
    "verdict": "Verdict",
    "pilot": "At pilot scale",
    "note": "Note",
}


def shown_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """Rows as people read them; columns that are empty in all of ``table`` are left out."""
    chosen = table.copy()
    spread = chosen["spread"].map(lambda text: f" ± {text}" if text else "")
    chosen["measured"] += spread
    small = chosen["pilot_spread"].map(lambda text: f" ± {text}" if text else "")
    seeds = chosen["pilot_seeds"].map(lambda text: f" (n={text})" if text else "")
    chosen["pilot"] += small + seeds
    names = [n for n in SHOWN if (chosen[n] != "").any()]
    return chosen[names].rename(columns=SHOWN).to_dict("records")


def copies(table: pd.DataFrame) -> list[str]:
    """Which copies of the data were measured on, ``brain_tumor: copy …``."""
    named = table[table["data"] != ""]
    return sorted({f"{row.dataset}: {row.data}" for row in named.itertuples()})


def headline(table: pd.DataFrame) -> str:
    """``136 published numbers: 60 exact, …``"""
    counts = verdict_counts(table)
    return f"{len(table)} published numbers: " + ", ".join(f"{n} {v}" for v, n in counts.items())


def markdown(table: pd.DataFrame, left_out: Sequence[str] = ()) -> str:
    """The ledger, one table per place in the paper, and the trainings left out."""
    lines = [
        "# The paper's numbers, and ours",
        "",
        f"{headline(table)}.",
        "",
        "Written by `hdkd compare`; every column of every row is in [ledger.csv](ledger.csv).",
        "",
        "- `exact`: a number of the network or of the data agrees in every printed digit.",
        "- `reproduced`: an accuracy or gain, measured with the profile `paper`, agrees within the 95 %",
        "  interval of a binomial with the size of the test set, widened by the spread over seeds.",
        "- `differs`: measured, and it does not agree; the note says what is known about it.",
        "- `not run`: not measured at the paper's own scale yet. The column “At pilot scale” has smaller",
        "  networks on 48×48 pixels; it is no measurement of the published value.",
        "",
        "Accuracies are compared at the best epoch on the test set, as the released implementation",
        "reports; “Last epoch” is not chosen on the test set. Parameters are in 10⁶, MACs in 10⁹.",
        "",
        "Data that was measured on:",
        "",
        *[f"- {text}" for text in copies(table) or ["none yet"]],
    ]
    if left_out:
        lines += [
            "",
            "Left out, because made with other parameters than those of their profile:",
            "",
        ]
        lines += [f"- {text}" for text in left_out]
    for place, rows in table.groupby("place", sort=False):
        frame = pd.DataFrame(shown_rows(rows))
        lines += ["", f"## {place}", ""]
        lines += frame.to_markdown(index=False, disable_numparse=True).splitlines()
    return "\n".join([*lines, ""])
