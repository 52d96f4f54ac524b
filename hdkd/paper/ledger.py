"""The ledger: each number that the paper prints, beside what this project measured, with a verdict.

A number of the network or of the data is ``exact`` where it agrees in every printed digit, else it
``differs``. What trainings give has the verdicts of ``evaluation/verdicts.py``.

Gains and orderings are judged at the last epoch, seed by seed and test image by test image, and corrected
for the other comparisons of their table (Holm). A comparison that two tables make belongs to both, and its
larger p value counts. Where the predictions of a training are not there, its
test images count as if the other model had been tested on other images, which widens the interval.
The paper's accuracies belong to the best epoch on the test set (that is how its released code reports),
so an accuracy is compared at the best epoch. They are of one training, so the interval beside an accuracy is
that of one more. The last epoch, which is not chosen on the test set, stands beside it. Runs of smaller profiles have columns of their own and never decide a verdict; nor
does a run of the profile ``paper`` whose network or images have been made smaller.
"""

import inspect
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hdkd import config
from hdkd.errors import ParameterError
from hdkd.evaluation.statistics import Estimate, estimate, holm, holm_steps, mcnemar
from hdkd.paper import published, verdicts
from hdkd.paper.published import COMPARABLE_PROFILE, EFFECTS, TRAINED, Network, Value
from hdkd.runs import evidence, predictions
from hdkd.study import plan
from hdkd.study.names import network_name
from hdkd.study.plan import BASELINES

if TYPE_CHECKING:
    from torch import nn

    from hdkd.models.complexity import Complexity

STRUCTURAL = ("exact", "differs")
SMALLER = ("reduced", "pilot")  # profiles that have columns of their own
IMAGE_SIZE, CLASSES, CHANNELS = 224, 7, 3
Comparison = tuple[Network, Network, str, str, str]


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
    effect: str = ""
    size: str = ""
    p_value: str = ""
    smallest: str = ""
    last_epoch: str = ""
    best_epoch: str = ""
    balanced: str = ""
    without_leaks: str = ""
    seeds: str = ""
    reduced: str = ""
    reduced_low: str = ""
    reduced_high: str = ""
    reduced_seeds: str = ""
    pilot: str = ""
    pilot_low: str = ""
    pilot_high: str = ""
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
    paper, *smaller = (
        Measurements(profile, parameters, root) for profile in (COMPARABLE_PROFILE, *SMALLER)
    )
    corrected = _corrected(paper)
    table = pd.DataFrame([asdict(_row(v, paper, smaller, corrected)) for v in published.values()])
    return table, [text for made in (paper, *smaller) for text in made.left_out]


def _corrected(paper: "Measurements") -> dict[Comparison, tuple[float, int]]:
    """Of each comparison the p value, corrected within its table, and how many times it has counted there.

    A comparison of two tables belongs to both, and the larger p value counts: Section 5's gain of MBCSA
    over MBConv is an ordering of Table 6, too.
    """
    tables: dict[str, dict[Comparison, float]] = defaultdict(dict)
    for value in published.values():
        found = paper.effect(value) if value.quantity in EFFECTS else None
        if found and found.seeds >= verdicts.FEWEST_SEEDS:
            tables[value.place][comparison(value)] = found.p_value
    corrected: dict[Comparison, tuple[float, int]] = {}
    for table in tables.values():
        p_values = [*table.values()]
        for key, *found in zip(table, holm(p_values), holm_steps(p_values), strict=True):
            corrected[key] = max(corrected.get(key, (0.0, 0)), tuple(found))
    return corrected


def best_epoch(summary: dict[str, Any]) -> float | None:
    """The released protocol: the highest test accuracy of all epochs; ``None`` unless every one was tested."""
    training = summary.get("hyperparameters", {}).get("training", {})
    every = training.get("evaluate_every", 1) == 1
    return summary["best_epoch"]["accuracy"] if every and summary["best_epoch"] else None


def comparison(value: Value) -> Comparison:
    """What a gain or an ordering compares, wherever it is printed."""
    return value.network, value.over, value.dataset, value.subset, value.beside


class Measurements:
    """What the trainings and the data of one profile say about a published value."""

    def __init__(self, profile: str, parameters: dict[str, Any], root: Path) -> None:
        self.profile = profile
        self.facts = evidence.facts(profile, root)
        self.summaries: dict[tuple[Network, str, str], dict[int, dict[str, Any]]] = {}
        known = evidence.known(profile, root)
        try:
            settings = config.resolve(parameters | {"profile": profile, "study": None})
        except ParameterError as error:
            kept, self.left_out = [], [f"everything of the profile {profile} ({error})"]
        else:
            kept, self.left_out = evidence.counting(settings, known, root)
            self.published_splits = {
                name
                for name, dataset in settings.parameters.datasets.items()
                if dataset.split.kind == "published"
            }
        self.predictions = predictions.read(root / plan.report(profile)).belonging(kept)
        for summary in kept:
            key = evidence.key_of(summary)
            network = Network(key.role, key.block, key.stem_stride)
            foreign = profile == COMPARABLE_PROFILE and not self.has_paper_size(network, summary)
            # What was split by clusters was tested on other images than the published ones.
            split = summary.get("hyperparameters", {}).get("split", {})
            foreign = foreign or split.get("kind") == "clusters"
            # Controls have the teacher of other seeds.
            other_seed = key.role == "teacher" and key.point.startswith("teacher_seed")
            if (not key.point or other_seed) and key.group != "tuning" and not foreign:
                cell = self.summaries.setdefault((network, key.dataset, key.subset), {})
                cell[key.seed] = summary

    def has_paper_size(self, network: Network, summary: dict[str, Any]) -> bool:
        """Whether a run has the paper's network and image size, as the parameters of its profile may not."""
        images = self.facts.get(summary["run"]["dataset"], {"size": IMAGE_SIZE})["size"]
        classes = len(summary["final"]["recall"])
        return images == IMAGE_SIZE and summary["parameters"] == parameters(network, classes)

    def cell(self, network: Network, value: Value, subset: str = "") -> dict[int, dict[str, Any]]:
        """The summaries of a network by seed, on the value's own subset or on another."""
        return self.summaries.get((network, value.dataset, subset or value.subset), {})

    def accuracy(self, value: Value, protocol: str) -> Estimate | None:
        """In percent over seeds, of the last (or kept) epoch or of the ``best_epoch``; ``None`` without trainings."""
        cell = self.cell(value.network, value)
        if not cell:
            return None
        values = [
            best_epoch(cell[seed]) if protocol == "best_epoch" else cell[seed]["final"]["accuracy"]
            for seed in sorted(cell)
        ]
        if None in values:
            return None
        images = next(iter(cell.values()))["test_images"]
        share = float(np.mean(values))
        error = math.sqrt(share * (1 - share) / images)
        return Estimate(tuple(100 * value for value in values), 100 * error, 100 / images)

    def interval(self, value: Value, found: Estimate) -> tuple[float, float]:
        """Of an effect the interval of the mean; of an accuracy, in percent, that of one more training."""
        if value.quantity in EFFECTS:
            return found.interval
        low, high = np.clip(verdicts.one_more(found, self.same_images(value.dataset)), 0, 100)
        return float(low), float(high)

    def cells(self, value: Value) -> list[tuple[int, dict[int, dict[str, Any]]]]:
        """What a gain or an ordering adds and subtracts, each reduced to the seeds that all have."""
        parts = [(1, value.network, value.subset), (-1, value.over, value.subset)]
        if value.beside:
            parts += [(-1, value.network, value.beside), (1, value.over, value.beside)]
        found = [(sign, self.cell(network, value, subset)) for sign, network, subset in parts]
        shared = set.intersection(*(set(cell) for _, cell in found))
        return [(sign, {seed: cell[seed] for seed in sorted(shared)}) for sign, cell in found]

    def effect(self, value: Value, metric: str = "accuracy") -> Estimate | None:
        """A gain or an ordering at the last epoch, in points; ``None`` without seeds that all have.

        ``metric`` is ``accuracy``, ``balanced_accuracy`` or ``without_leaks``; the last two need predictions,
        and are ``None`` without them.
        """
        cells = self.cells(value)
        if not cells[0][1]:
            return None
        right = self.right(cells)
        if right is not None:
            scores, labels = right
            if metric == "without_leaks":
                new = self.predictions.new(value.dataset)
                return estimate(scores[:, new], unit=100.0) if new.any() else None
            return estimate(scores, labels if metric == "balanced_accuracy" else None, unit=100.0)
        if metric != "accuracy":
            return None
        values = tuple(
            100 * sum(sign * cell[seed]["final"]["accuracy"] for sign, cell in cells)
            for seed in cells[0][1]
        )
        shares = [np.mean([s["final"]["accuracy"] for s in cell.values()]) for _, cell in cells]
        images = next(iter(cells[0][1].values()))["test_images"]
        error = math.sqrt(sum(p * (1 - p) for p in shares) / images)
        return Estimate(values, 100 * error, 100 / images)

    @staticmethod
    def best_epochs(cells: list) -> str:
        """The effect at the best epochs in points, mean over seeds; empty unless every epoch was tested."""
        found = [[best_epoch(s) for s in cell.values()] for _, cell in cells]
        if any(None in values for values in found):
            return ""
        signs = [sign for sign, _ in cells]
        return _number(100 * float(np.mean(np.array(signs) @ np.array(found))))

    def right(self, cells: list) -> tuple[np.ndarray, np.ndarray] | None:
        """Sums of right answers ``(seeds, images)`` with their signs, and the labels ``(images,)``.

        ``None`` where a prediction is missing.
        """
        runs = [
            (sign, [evidence.key_of(s).folder.as_posix() for s in cell.values()])
            for sign, cell in cells
        ]
        found = [(sign, self.predictions.cell(names)) for sign, names in runs]
        if any(probabilities is None for _, probabilities in found):
            return None
        labels = self.predictions.labels(next(iter(cells[0][1].values()))["run"]["dataset"])
        return sum(sign * predictions.right(each, labels) for sign, each in found), labels

    def same_images(self, dataset: str) -> bool:
        """Whether its test images are those of the paper."""
        return dataset in self.published_splits

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


def _row(
    value: Value,
    paper: Measurements,
    smaller: Sequence[Measurements],
    corrected: dict[Comparison, tuple[float, int]],
) -> Row:
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
    if value.quantity in TRAINED:
        fields = _trained(value, paper, smaller, corrected)
        added = fields.get("note", "")
        fields["note"] = "; ".join(text for text in (value.note, added) if text)
        return Row(**base | fields)
    if value.quantity == "count":
        source = next((m for m in (paper, *smaller) if value.dataset in m.facts), None)
        if source is None:
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


def _trained(
    value: Value,
    paper: Measurements,
    smaller: Sequence[Measurements],
    corrected: dict[Comparison, tuple[float, int]],
) -> dict[str, str]:
    """Fields of a number that trainings give."""
    fields = {}
    effect = value.quantity in EFFECTS
    for made in reversed(smaller):
        small = made.effect(value) if effect else made.accuracy(value, "last_epoch")
        if small:
            low, high = map(_number, made.interval(value, small))
            fields |= {
                made.profile: _number(small.mean),
                f"{made.profile}_low": low,
                f"{made.profile}_high": high,
                f"{made.profile}_seeds": str(small.seeds),
                "data": made.data(value.dataset),
            }
    found = paper.effect(value) if effect else paper.accuracy(value, "best_epoch")
    tested_all = found is not None
    if not effect and not tested_all:
        found = paper.accuracy(value, "last_epoch")
    if found is None:
        return fields
    low, high = paper.interval(value, found)
    if effect:
        cells = paper.cells(value)
        summaries = [summary for _, cell in cells for summary in cell.values()]
        p_value, step = corrected.get(comparison(value), (math.nan, 1))
        # An ordering claims no size, only which is better.
        size = value.number if value.quantity == "gain" else None
        verdict = verdicts.of_effect(found, p_value, size, value.half_digit, step)
        balanced = paper.effect(value, "balanced_accuracy")
        new = paper.effect(value, "without_leaks")
        right = paper.right(cells)
        note = verdict.need
        if found.seeds == 1 and right is not None and not value.beside:
            p_value = mcnemar(right[0][0], np.zeros_like(right[0][0]))
            note += "; p is McNemar's, of these two trainings alone"
        fields |= {
            "protocol": "last epoch",
            "best_epoch": paper.best_epochs(cells),
            "balanced": _number(balanced.mean) + _between(*map(_number, balanced.interval))
            if balanced
            else "",
            "without_leaks": _number(new.mean) + _between(*map(_number, new.interval))
            if new
            else "",
            "p_value": "" if math.isnan(p_value) else f"{p_value:.3g}",
            "smallest": _number(found.smallest),
        }
    else:
        cell = paper.cell(value.network, value)
        summaries = [cell[seed] for seed in sorted(cell)]
        same = paper.same_images(value.dataset)
        verdict = verdicts.of_accuracy(found, value.number, value.half_digit, same)
        note = verdict.need
        epochs = sorted({summary["epochs"] for summary in summaries})
        fields |= {
            "protocol": f"best of {' or '.join(map(str, epochs))} epochs"
            if tested_all
            else "the epoch that is kept",
            "last_epoch": _number(paper.accuracy(value, "last_epoch").mean),
            "without_leaks": _without_leaks(summaries),
        }
    return fields | {
        "measured": _number(found.mean),
        "difference": f"{found.mean - value.number:+.2f}",
        "low": _number(low),
        "high": _number(high),
        "verdict": verdict.verdict,
        "effect": verdict.effect,
        "size": verdict.size,
        "seeds": str(found.seeds),
        "note": note,
        "data": paper.data(value.dataset),
        "device": ", ".join(sorted({s["provenance"]["device"] for s in summaries})),
        "runs": " ".join(evidence.key_of(s).folder.as_posix() for s in summaries),
    }


def _number(value: float) -> str:
    """Two digits; empty where there is no number."""
    return "" if math.isnan(value) else f"{value + 0.0:.2f}"


def _between(low: str, high: str) -> str:
    return f" ({low} to {high})" if low else ""


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
    classes = [sum(parts.values()) for parts in facts["counts"].values()]
    train = [sum(parts.values()) - parts["test"] for parts in facts["counts"].values()]
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


def _without_leaks(summaries: list[dict[str, Any]]) -> str:
    """Mean accuracy of the last (or kept) epoch on the test images that are not leaked, in percent."""
    found = [summary.get("without_leaks") for summary in summaries]
    return _number(100 * float(np.mean([f["accuracy"] for f in found]))) if all(found) else ""


def describe(value: Value) -> str:
    """What a row is about, for people."""
    network = network_name(*astuple(value.network)) if value.network else ""
    if value.quantity in EFFECTS:
        over = network_name(*astuple(value.over))
        if value.beside:
            return f"gain of {network} over {over}: larger on {value.subset} images than on {value.beside}"
        if value.quantity == "ordering":
            return f"{network} above {over}, {value.subset} images"
        return f"gain of {network} over {over}, {value.subset} images"
    what = value.of.replace("_", " ") or {"macs": "MACs"}.get(value.quantity, value.quantity)
    return f"{network}: {what}" if network else what


def verdict_counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """How many rows have each verdict, all verdicts named: of numbers that need no training, and of those that do."""
    trained = table["row"].isin([v.row for v in published.values() if v.quantity in TRAINED])
    kinds = {
        "of networks and data": (~trained, STRUCTURAL),
        "of trainings": (trained, verdicts.VERDICTS),
    }
    return {
        kind: {name: int((table["verdict"][chosen] == name).sum()) for name in names}
        for kind, (chosen, names) in kinds.items()
    }


SHOWN = {
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


def shown_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """Rows as people read them; columns that are empty in all of ``table`` are left out."""
    chosen = table.copy()
    ends = {"measured": ("low", "high")} | {
        name: (f"{name}_low", f"{name}_high") for name in SMALLER
    }
    for name, (low, high) in ends.items():
        chosen[name] += [_between(*both) for both in zip(chosen[low], chosen[high], strict=True)]
    for name in SMALLER:
        chosen[name] += chosen[f"{name}_seeds"].map(lambda text: f", n={text}" if text else "")
    names = [n for n in SHOWN if (chosen[n] != "").any()]
    return chosen[names].rename(columns=SHOWN).to_dict("records")


def copies(table: pd.DataFrame) -> list[str]:
    """Which copies of the data were measured on, ``brain_tumor: copy …``."""
    named = table[table["data"] != ""]
    return sorted({f"{row.dataset}: {row.data}" for row in named.itertuples()})


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
    lines = [
        "# The paper's numbers, and ours",
        "",
        f"{headline(table)}.",
        "",
        "Written by `hdkd compare`; every column of every row is in [ledger.csv](ledger.csv).",
        "",
        "- `exact`: a number of the network or of the data agrees in every printed digit.",
        "- `differs`: such a number does not agree; the note says what is known about it.",
        "",
        "What trainings give is asked two questions: is there an effect in the direction claimed, and is it",
        "as large as published?",
        "",
        "- `reproduced`: both, with an interval of at most half the published gain either way. An ordering",
        "  claims an effect only. An accuracy claims a size only, and needs an interval of at most",
        f"  ±{verdicts.TELLING:g} point for one more training.",
        "- `smaller`: the published size is above the whole 95 % interval, effect or not.",
        "- `larger`: the published size is below the interval; of a gain, the effect has to be there, too.",
        "- `contradicted`: there is an effect in the other direction.",
        "- `inconclusive`: too few seeds or images to say; the note says how many would be needed.",
        "- `not run`: not measured at the paper's own scale yet. The columns “At 96 pixels” (the paper's networks)",
        "  and “At pilot scale” (smaller ones on 48×48 pixels) are no measurements of the published value.",
        "",
        "Gains and orderings are those of the last epoch, paired by seed and test image, their p values",
        "corrected within a table (Holm); orderings are what two printed accuracies or gains claim about",
        "each other. What two tables compare counts in both. “Smallest to be seen” is the true gain that the",
        "design would find in 80 % of cases, before correction. With a single seed, p is that of McNemar's",
        "exact test of the two trainings, and decides nothing.",
        "",
        "Beside a gain stands the 95 % interval of its mean. Beside an accuracy, which the paper prints of one",
        "training, stands the 95 % interval of one more training; with other test images than the paper's,",
        "of one more training tested on others again.",
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
