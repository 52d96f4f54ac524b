"""The paper's published values, each with its place in the paper (``published.yaml``)."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import yaml

# The only profile whose runs can reproduce an accuracy: the paper's networks, size and schedule.
COMPARABLE_PROFILE = "paper"
DATASETS = ("ham10000", "brain_tumor")
UNITS = {
    "parameters": "10⁶",
    "macs": "10⁹",
    "accuracy": "%",
    "gain": "points",
    "ordering": "points",
}
EFFECTS = ("gain", "ordering")  # differences between trainings that the paper claims to be positive
TRAINED = ("accuracy", *EFFECTS)


@dataclass(frozen=True)
class Network:
    """A row's network: ``model`` is one of ``names.ROLES`` or ``names.BASELINES``."""

    model: str
    block: str = ""
    stem_stride: int = 0


@dataclass(frozen=True)
class Value:
    """One number that the paper prints.

    ``quantity`` is ``setting``, ``parameters``, ``macs``, ``macs ratio``, ``accuracy``, ``gain``,
    ``ordering`` or ``count``; ``of`` names the setting or what is counted. ``printed`` has the
    paper's digits. ``relation`` is ``is``, ``about`` or ``more than``. A gain is that of
    ``network`` over ``over``, and so is an ordering, of which the paper prints both sides; with
    ``beside``, another subset, it is how much larger that gain is than the one there.
    """

    place: str
    quantity: str
    printed: str
    network: Network | None = None
    over: Network | None = None
    dataset: str = ""
    subset: str = ""
    of: str = ""
    relation: str = "is"
    note: str = ""
    beside: str = ""

    @property
    def row(self) -> str:
        """A name for the row of the ledger, unique in the paper."""
        network = self.network
        parts = [self.place]
        if network:
            parts.append(network.model)
            parts += [network.block, f"stride {network.stem_stride}"] if network.block else []
        if self.over:
            parts += ["over", self.over.model, self.over.block]
            if self.quantity == "ordering" and self.over.block:
                parts.append(f"stride {self.over.stem_stride}")
        parts.append(self.dataset)
        if self.subset not in ("", "all") or self.quantity == "gain":
            parts.append(f"{self.subset} images")
        parts += ["above", f"{self.beside} images"] if self.beside else []
        parts.append(self.of or self.quantity)
        return " ".join(part for part in parts if part)

    @property
    def unit(self) -> str:
        return "%" if self.of.startswith("percent") else UNITS.get(self.quantity, "")

    @property
    def number(self) -> float:
        """The printed number, for everything but settings."""
        return float(self.printed)

    @property
    def half_digit(self) -> float:
        """Half a unit of the last printed digit: what rounding may hide."""
        return float(Decimal(1).scaleb(Decimal(self.printed).as_tuple().exponent)) / 2


STUDENT = Network("student", "mbcsa", 2)
HDKD = Network("hdkd", "mbcsa", 2)


@cache
def document() -> dict[str, Any]:
    """The content of ``published.yaml``."""
    return yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))


def values() -> list[Value]:
    """Every published number, in the paper's order, and every ordering that they claim."""
    return [*_settings(), *_results(), *_gains(), *_orderings(), *_ratios(), *_counts()]


def accuracy(dataset: str, network: Network) -> float | None:
    """The accuracy in percent that Tables 5 to 7 print, ``None`` where they have none."""
    for value in values():
        wanted = (value.quantity, value.dataset, value.network) == ("accuracy", dataset, network)
        if wanted and value.place.startswith("Table"):
            return value.number
    return None


def complexity(network: Network) -> tuple[float, float]:
    """Parameters and multiply-accumulates, as plain counts, that Tables 5 to 7 print."""
    found = {v.quantity: v.number for v in values() if v.network == network and not v.over}
    return found["parameters"] * 1e6, found["macs"] * 1e9


def gain(dataset: str, subset: str) -> float | None:
    """Published gain of HDKD over the student in percentage points (Tables 3 and 4)."""
    for value in values():
        wanted = (value.quantity, value.dataset, value.subset) == ("gain", dataset, subset)
        if wanted and value.over == STUDENT:
            return value.number
    return None


def _settings() -> Iterator[Value]:
    for entry in document()["networks"]:
        for name, printed in entry.items():
            if name in ("model", "note"):
                continue
            note = entry["note"] if name == "channels" else ""
            network = Network(entry["model"])
            yield Value("Table 1", "setting", printed, network, of=name, note=note)


def _results() -> Iterator[Value]:
    for place, entries in document()["results"].items():
        for entry in entries:
            network = Network(entry["model"], entry.get("block", ""), entry.get("stem_stride", 0))
            note = entry.get("note", "")
            notes = note if isinstance(note, dict) else dict.fromkeys(DATASETS, note)
            for quantity in ("parameters", "macs"):
                if quantity in entry:
                    note = notes.get(quantity, "")
                    yield Value(place, quantity, entry[quantity], network, note=note)
            for dataset in DATASETS:
                if dataset in entry:
                    yield Value(
                        place,
                        "accuracy",
                        entry[dataset],
                        network,
                        dataset=dataset,
                        subset="all",
                        note=notes.get(dataset, ""),
                    )


def _gains() -> Iterator[Value]:
    for place, entries in document()["gains"].items():
        for entry in entries:
            over = Network(**entry["over"]) if "over" in entry else STUDENT
            yield Value(
                place,
                "gain",
                entry["gain"],
                HDKD,
                over,
                entry["dataset"],
                entry["subset"],
                relation=entry.get("relation", "is"),
                note=entry.get("note", ""),
            )


def _orderings() -> Iterator[Value]:
    """HDKD above rivals, MBCSA above MBConv, stride 2 above 4, gains that shrink with more data.

    Only where the printed numbers say so: ties are no claim.
    """
    printed = {
        (v.place, v.network, v.dataset): v.printed for v in _results() if v.quantity == "accuracy"
    }
    for place, network, dataset in list(printed):
        over = {
            "Table 5": None if network in (STUDENT, HDKD) or network.block else network,
            "Table 6": Network(network.model, "mbconv", 2) if network.block == "mbcsa" else None,
            "Table 7": Network(network.model, "mbcsa", 4) if network.stem_stride == 2 else None,
        }.get(place)
        if over is None:
            continue
        better = HDKD if place == "Table 5" else network
        gap = Decimal(printed[place, better, dataset]) - Decimal(printed[place, over, dataset])
        if gap > 0:
            yield Value(place, "ordering", str(gap), better, over, dataset, "all")
    for place, entries in document()["gains"].items():
        sweep = [entry for entry in entries if "over" not in entry]
        if len(sweep) < 2:
            continue
        few, every = sweep[0], sweep[-1]
        gap = Decimal(few["gain"]) - Decimal(every["gain"])
        yield Value(
            place, "ordering", str(gap), HDKD, STUDENT, few["dataset"], few["subset"],
            beside=every["subset"],
        )  # fmt: skip


def _ratios() -> Iterator[Value]:
    for place, entries in document()["macs_ratios"].items():
        for entry in entries:
            network = Network(entry["model"], "mbcsa", 2)
            yield Value(
                place, "macs ratio", entry["ratio"], network,
                of="macs, stride 2 to stride 4", relation=entry["relation"],
            )  # fmt: skip


def _counts() -> Iterator[Value]:
    for place, entries in document()["counts"].items():
        for entry in entries:
            yield Value(
                place, "count", entry["count"], dataset=entry["dataset"], of=entry["of"],
                relation=entry.get("relation", "is"), note=entry.get("note", ""),
            )  # fmt: skip
