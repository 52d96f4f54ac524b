"""The paper's published values, each with its place in the paper (``published.yaml``)."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hdkd.study.names import network_name

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


@dataclass(frozen=True)
class PaperNetwork:
    """A network: ``model`` is one of ``names.ROLES`` or ``names.BASELINES``, or empty for none."""

    model: str = ""
    block: str = ""
    stem_stride: int = 0

    @property
    def title(self) -> str:
        """Its name for people, ``HDKD (MBConv, stride 2)``."""
        return network_name(self.model, self.block, self.stem_stride)


NO_NETWORK = PaperNetwork()
STUDENT = PaperNetwork("student", "mbcsa", 2)
HDKD = PaperNetwork("hdkd", "mbcsa", 2)
# What two networks, or one gain on two subsets, are compared by, wherever it is printed.
Comparison = tuple[PaperNetwork, PaperNetwork, str, str, str]


@dataclass(frozen=True)
class Value:
    """One number that the paper prints.

    ``quantity`` is ``setting``, ``parameters``, ``macs``, ``macs ratio``, ``accuracy``, ``gain``,
    ``ordering`` or ``count``; ``of`` names the setting or what is counted. ``printed`` has the
    paper's digits. ``relation`` is ``is``, ``about`` or ``more than``. A gain is that of
    ``network`` over ``over``, and so is an ordering, of which the paper prints both sides; with
    ``other_subset``, it is how much larger that gain is than the one there.
    """

    place: str
    quantity: str
    printed: str
    network: PaperNetwork = NO_NETWORK
    over: PaperNetwork = NO_NETWORK
    dataset: str = ""
    subset: str = ""
    of: str = ""
    relation: str = "is"
    note: str = ""
    other_subset: str = ""

    @property
    def row(self) -> str:
        """A name for the row of the ledger, unique in the paper."""
        network, over = self.network, self.over
        parts = [self.place, network.model, network.block]
        parts += [f"stride {network.stem_stride}"] if network.block else []
        parts += ["over", over.model, over.block] if over.model else []
        if self.quantity == "ordering" and over.block:
            parts.append(f"stride {over.stem_stride}")
        parts.append(self.dataset)
        if self.subset not in ("", "all") or self.quantity == "gain":
            parts.append(f"{self.subset} images")
        parts += ["above", f"{self.other_subset} images"] if self.other_subset else []
        parts.append(self.of or self.quantity)
        return " ".join(filter(None, parts))

    @property
    def what(self) -> str:
        """What the row is about, for people."""
        gain = f"gain of {self.network.title} over {self.over.title}" if self.over.model else ""
        if self.quantity == "gain":
            return f"{gain}, {self.subset} images"
        if self.other_subset:
            return f"{gain}: larger on {self.subset} images than on {self.other_subset}"
        if self.quantity == "ordering":
            return f"{self.network.title} above {self.over.title}, {self.subset} images"
        name = "MACs" if self.quantity == "macs" else self.of.replace("_", " ") or self.quantity
        return f"{self.network.title}: {name}" if self.network.model else name

    @property
    def unit(self) -> str:
        """The unit of the printed number, empty for a setting or a plain count."""
        return "%" if self.of.startswith("percent") else UNITS.get(self.quantity, "")

    @property
    def number(self) -> float:
        """The printed number, for everything but settings."""
        return float(self.printed)

    @property
    def half_digit(self) -> float:
        """Half a unit of the last printed digit: what rounding may hide."""
        return 0.5 / 10 ** len(self.printed.partition(".")[2])

    @property
    def comparison(self) -> Comparison:
        """What a gain or ordering compares, wherever it is printed."""
        return self.network, self.over, self.dataset, self.subset, self.other_subset


@cache
def document() -> dict[str, Any]:
    """The content of ``published.yaml``."""
    return yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))


@cache
def values() -> tuple[Value, ...]:
    """Every published number, in the paper's order, and every ordering that they claim."""
    return (*_settings(), *_results(), *_gains(), *_orderings(), *_ratios(), *_counts())


def accuracy(dataset: str, network: PaperNetwork) -> float | None:
    """The accuracy in percent that Tables 5 to 7 print, ``None`` where they have none."""
    for value in values():
        wanted = (value.quantity, value.dataset, value.network) == ("accuracy", dataset, network)
        if wanted and value.place.startswith("Table"):
            return value.number
    return None


def complexity(network: PaperNetwork) -> tuple[float, float]:
    """Parameters and multiply-accumulates, as plain counts, that Tables 5 to 7 print."""
    found = {v.quantity: v.number for v in values() if v.network == network and not v.over.model}
    return found["parameters"] * 1e6, found["macs"] * 1e9


def gain(dataset: str, subset: str) -> float | None:
    """Published gain of HDKD over the student in percentage points (Tables 3 and 4)."""
    wanted = (HDKD, STUDENT, dataset, subset, "")
    gains = (v for v in values() if v.quantity == "gain" and v.comparison == wanted)
    return next((value.number for value in gains), None)


def _entries(section: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each entry of a section of ``published.yaml``, with its place in the paper."""
    for place, entries in document()[section].items():
        for entry in entries:
            yield place, entry


def _settings() -> Iterator[Value]:
    for entry in document()["networks"]:
        network = PaperNetwork(entry["model"])
        for name, printed in entry.items():
            if name not in ("model", "note"):
                note = entry["note"] if name == "channels" else ""
                yield Value("Table 1", "setting", printed, network, of=name, note=note)


def _results() -> Iterator[Value]:
    for place, entry in _entries("results"):
        network = PaperNetwork(entry["model"], entry.get("block", ""), entry.get("stem_stride", 0))
        note = entry.get("note", "")
        notes = note if isinstance(note, dict) else dict.fromkeys(DATASETS, note)
        for name in ("parameters", "macs", *DATASETS):
            if name in entry:
                of_dataset = name in DATASETS
                yield Value(
                    place,
                    "accuracy" if of_dataset else name,
                    entry[name],
                    network,
                    dataset=name if of_dataset else "",
                    subset="all" if of_dataset else "",
                    note=notes.get(name, ""),
                )


def _gains() -> Iterator[Value]:
    for place, entry in _entries("gains"):
        fields = {"over": STUDENT} | entry
        if "over" in entry:
            fields["over"] = PaperNetwork(**entry["over"])
        yield Value(place, "gain", fields.pop("gain"), HDKD, **fields)


def _orderings() -> Iterator[Value]:
    """HDKD above baselines, MBCSA above MBConv, stride 2 above 4, gains that shrink with more data.

    Only where the printed numbers say so: ties are no claim.
    """
    printed = {
        (v.place, v.network, v.dataset): Decimal(v.printed)
        for v in _results()
        if v.quantity == "accuracy"
    }
    for place, network, dataset in printed:
        better, worse = network, NO_NETWORK
        if place == "Table 5" and not network.block:
            better, worse = HDKD, network
        elif place == "Table 6" and network.block == "mbcsa":
            worse = PaperNetwork(network.model, "mbconv", 2)
        elif place == "Table 7" and network.stem_stride == 2:
            worse = PaperNetwork(network.model, "mbcsa", 4)
        if worse.model:
            gap = printed[place, better, dataset] - printed[place, worse, dataset]
            if gap > 0:
                yield Value(place, "ordering", str(gap), better, worse, dataset, "all")
    for place, entries in document()["gains"].items():
        sweep = [entry for entry in entries if "over" not in entry]
        if len(sweep) > 1:
            few, every = sweep[0], sweep[-1]
            gap = Decimal(few["gain"]) - Decimal(every["gain"])
            yield Value(
                place, "ordering", str(gap), HDKD, STUDENT, few["dataset"], few["subset"],
                other_subset=every["subset"],
            )  # fmt: skip


def _ratios() -> Iterator[Value]:
    for place, entry in _entries("macs_ratios"):
        network = PaperNetwork(entry["model"], "mbcsa", 2)
        of, relation = "macs, stride 2 to stride 4", entry["relation"]
        yield Value(place, "macs ratio", entry["ratio"], network, of=of, relation=relation)


def _counts() -> Iterator[Value]:
    for place, entry in _entries("counts"):
        fields = dict(entry)
        yield Value(place, "count", fields.pop("count"), **fields)
