"""Quantities of the network or of the data, which need no training.

Such a number is ``exact`` where it agrees in every printed digit, else it ``differs``.
"""

from abc import abstractmethod
from typing import Any, ClassVar

from hdkd.paper.measurements import Measurements
from hdkd.paper.networks import size, table1
from hdkd.paper.published import Network
from hdkd.paper.quantities import Evidence, Mean, Quantity, Row
from hdkd.paper.verdicts import Verdict

EXACT, DIFFERS = STRUCTURAL = ("exact", "differs")


class Setting(Quantity):
    """A dimension of a network as Table 1 writes it."""

    def measure(self) -> str:
        """What the network is built with, ``6, 6, 9``."""
        return ", ".join(map(str, table1(self.value.network)[self.value.of]))

    def verdict(self, measured: str) -> Verdict:
        return Verdict(EXACT if measured == self.value.printed else DIFFERS)

    def row(self, evidence: Evidence) -> Row:
        measured = self.measure()
        return Row(
            self.value,
            self.what,
            measured,
            verdict=self.verdict(measured),
            notes=(self.value.note,),
        )


class Number(Quantity):
    """A number that needs no training."""

    digits: ClassVar[int] = 4  # that are shown

    @abstractmethod
    def measure(self, evidence: Evidence) -> float | None:
        """In the value's unit; ``None`` where the data is not there."""

    def agrees(self, measured: float) -> bool:
        """Whether it is what the paper prints."""
        gap = measured - self.value.number
        return gap > 0 if self.value.relation == "more than" else abs(gap) <= self.value.half_digit

    def verdict(self, measured: float) -> Verdict:
        return Verdict(EXACT if self.agrees(measured) else DIFFERS)

    def notes(self, measured: float) -> tuple[str, ...]:
        """The paper's own note, and what is known of a difference."""
        gap, unit = measured - self.value.number, 2 * self.value.half_digit
        if self.agrees(measured):
            return (self.value.note,)
        if 0 < gap < unit:
            return (self.value.note, "the printed digits are cut off, not rounded")
        if abs(gap) < 3 * unit:
            return (self.value.note, "in the last printed digit only")
        return (self.value.note,)

    def data(self, evidence: Evidence) -> str:
        """Which data was counted."""
        return ""

    def row(self, evidence: Evidence) -> Row:
        measured = self.measure(evidence)
        if measured is None:
            return Row(self.value, self.what, notes=(self.value.note,))
        return Row(
            self.value,
            self.what,
            Mean(measured),
            self.digits,
            self.verdict(measured),
            self.notes(measured),
            data=self.data(evidence),
        )


class Parameters(Number):
    """The parameters of a network, in 10⁶."""

    def measure(self, evidence: Evidence) -> float:
        return size(self.value.network).parameters / 1e6


class Macs(Number):
    """The multiply-accumulates of one image, which the paper calls FLOPs, in 10⁹."""

    @property
    def what(self) -> str:
        return f"{self.network}: MACs"

    def measure(self, evidence: Evidence) -> float:
        return size(self.value.network).macs / 1e9

    def notes(self, measured: float) -> tuple[str, ...]:
        found = size(self.value.network)
        if not found.unseen_macs:
            return super().notes(measured)
        whole = (found.macs + found.unseen_macs) / 1e9
        seen = f"{whole:.4f} with the attention products that the counter does not see"
        return (*super().notes(measured), seen)


class MacsRatio(Number):
    """How many times as many multiply-accumulates a network has at stem stride 2 as at 4."""

    def measure(self, evidence: Evidence) -> float:
        slow, fast = (
            size(Network(self.value.network.model, "mbcsa", stride)).macs for stride in (2, 4)
        )
        return slow / fast


class Count(Number):
    """A count of images or classes, or a share of them in percent."""

    digits = 0

    def measure(self, evidence: Evidence) -> float | None:
        found = self._source(evidence)
        return None if found is None else counted(found.facts[self.value.dataset])[self.value.of]

    def agrees(self, measured: float) -> bool:
        if self.value.relation == "is":
            return measured == self.value.number
        return super().agrees(measured)

    def notes(self, measured: float) -> tuple[str, ...]:
        return (self.value.note,)

    def data(self, evidence: Evidence) -> str:
        return self._source(evidence).data(self.value.dataset)

    def _source(self, evidence: Evidence) -> Measurements | None:
        """The first profile that knows the dataset."""
        every = (evidence.paper, *evidence.smaller)
        return next((made for made in every if self.value.dataset in made.facts), None)


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
