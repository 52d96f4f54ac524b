"""Quantities of the network or of the data, which need no training.

Such a number is ``exact`` where it agrees in every printed digit, else it ``differs``.
"""

from abc import abstractmethod
from typing import Any

from typing_extensions import override

from hdkd.paper.networks import complexity, table1
from hdkd.paper.published import PaperNetwork
from hdkd.paper.row import Evidence, Mean, Quantity, Row
from hdkd.paper.verdicts import Verdict

EXACT, DIFFERS = STRUCTURAL = ("exact", "differs")


class Setting(Quantity):
    """A size of a network, as Table 1 writes it."""

    def measure(self) -> str:
        """What our network has."""
        return ", ".join(map(str, table1(self.value.network)[self.value.of]))

    def verdict(self, measured: str) -> Verdict:
        """Whether it is what the paper prints."""
        return Verdict(EXACT if measured == self.value.printed else DIFFERS)

    @override
    def row(self, evidence: Evidence) -> Row:
        setting = self.measure()
        return Row(self.value, setting, verdict=self.verdict(setting), notes=(self.value.note,))


class Number(Quantity):
    """A number that needs no training, of which ``digits`` are shown."""

    digits = 0

    def verdict(self, measured: float) -> Verdict:
        """Whether it is what the paper prints, as far as that is rounded."""
        return Verdict(EXACT if self._agrees(measured) else DIFFERS)

    def difference(self, measured: float) -> str:
        """What is known of how it differs from the printed one; empty where it agrees."""
        gap, unit = measured - self.value.number, 2 * self.value.half_digit
        if self._agrees(measured):
            return ""
        if 0 < gap < unit:
            return "the printed digits are cut off, not rounded"
        return "in the last printed digit only" if abs(gap) < 3 * unit else ""

    def _agrees(self, measured: float) -> bool:
        gap = measured - self.value.number
        return gap > 0 if self.value.relation == "more than" else abs(gap) <= self._rounding

    @property
    def _rounding(self) -> float:
        return self.value.half_digit

    def _row(self, measured: float, *notes: str, data: str = "") -> Row:
        notes, verdict = (self.value.note, *notes), self.verdict(measured)
        return Row(self.value, "", Mean(measured), self.digits, verdict, notes, data=data)


class OfNetwork(Number):
    """A number of a network."""

    digits = 4

    @property
    def note(self) -> str:
        """A further note; empty where there is none."""
        return ""

    @abstractmethod
    def measure(self) -> float:
        """The number in the paper's unit."""

    @override
    def row(self, evidence: Evidence) -> Row:
        measured = self.measure()
        return self._row(measured, self.difference(measured), self.note)


class Parameters(OfNetwork):
    """Trainable parameters in 10⁶."""

    @override
    def measure(self) -> float:
        return complexity(self.value.network).parameters / 1e6


class Macs(OfNetwork):
    """Multiply-accumulates of one image in 10⁹, which the paper calls FLOPs."""

    @override
    def measure(self) -> float:
        return complexity(self.value.network).macs / 1e9

    @property
    @override
    def note(self) -> str:
        found = complexity(self.value.network)
        if not found.unseen_macs:
            return ""
        full = (found.macs + found.unseen_macs) / 1e9
        return f"{full:.4f} with the attention products that the counter does not see"


class MacsRatio(OfNetwork):
    """Multiply-accumulates at stride 2 by those at stride 4."""

    @override
    def measure(self) -> float:
        model = self.value.network.model
        slow, fast = (complexity(PaperNetwork(model, "mbcsa", stride)).macs for stride in (2, 4))
        return slow / fast


class Count(Number):
    """A count of images or classes."""

    @property
    @override
    def _rounding(self) -> float:
        return 0 if self.value.relation == "is" else self.value.half_digit

    def measure(self, facts: dict[str, Any]) -> float:
        """The count in what is known of the dataset."""
        return counted(facts)[self.value.of]

    @override
    def row(self, evidence: Evidence) -> Row:
        # The first profile that knows the dataset.
        for profile in (evidence.paper, *evidence.smaller):
            if facts := profile.facts.get(self.value.dataset):
                return self._row(self.measure(facts), data=profile.data(self.value.dataset))
        return Row(self.value, notes=(self.value.note,))


def counted(facts: dict[str, Any]) -> dict[str, float]:
    """Everything of a dataset that the paper counts; ``facts`` are what is known of the dataset."""
    classes = [sum(parts.values()) for parts in facts["counts"].values()]
    train = [sum(parts.values()) - parts["test"] for parts in facts["counts"].values()]
    return {
        "images": sum(classes),
        "training images": sum(train),
        "test images": sum(classes) - sum(train),
        "classes": len(classes),
        "images of the largest class": max(classes),
        "images of the smallest class": min(classes),
        "percent in the largest class": 100 * max(classes) / sum(classes),
        "images of the third subset": sum(min(150, number) for number in train),
    }
