"""Quantities of the network or of the data, which need no training.

Such a number is ``exact`` where it agrees in every printed digit, else it ``differs``.
"""

from typing import Any

from hdkd.paper.networks import complexity, table1
from hdkd.paper.published import Network, Value
from hdkd.paper.row import Evidence, Mean, Row
from hdkd.paper.verdicts import Verdict

EXACT, DIFFERS = STRUCTURAL = ("exact", "differs")


def structural_row(value: Value, evidence: Evidence) -> Row:
    """The row of a setting, a count, or a number of a network."""
    if value.quantity == "setting":
        setting = ", ".join(map(str, table1(value.network)[value.of]))
        verdict = Verdict(EXACT if setting == value.printed else DIFFERS)
        return Row(value, setting, verdict=verdict, notes=(value.note,))
    if value.quantity == "count":
        # The first profile that knows the dataset.
        for profile in (evidence.paper, *evidence.smaller):
            if facts := profile.facts.get(value.dataset):
                data = profile.data(value.dataset)
                return number_row(value, counted(facts)[value.of], 0, (value.note,), data)
        return Row(value, notes=(value.note,))
    measured = number_of_network(value)
    notes = [value.note, difference(value, measured)]
    found = complexity(value.network)
    if value.quantity == "macs" and found.unseen_macs:
        full = (found.macs + found.unseen_macs) / 1e9
        notes.append(f"{full:.4f} with the attention products that the counter does not see")
    return number_row(value, measured, 4, tuple(notes))


def number_row(
    value: Value, measured: float, digits: int, notes: tuple[str, ...], data: str = ""
) -> Row:
    """The row of a measured number, of which ``digits`` are shown."""
    verdict = Verdict(EXACT if agrees(value, measured) else DIFFERS)
    return Row(value, "", Mean(measured), digits, verdict, notes, data=data)


def number_of_network(value: Value) -> float:
    """Parameters in 10⁶, MACs (which the paper calls FLOPs) in 10⁹, or MACs by those at stride 4.

    MACs are multiply-accumulates of one image.
    """
    if value.quantity == "parameters":
        return complexity(value.network).parameters / 1e6
    if value.quantity == "macs":
        return complexity(value.network).macs / 1e9
    slow, fast = (
        complexity(Network(value.network.model, "mbcsa", stride)).macs for stride in (2, 4)
    )
    return slow / fast


def agrees(value: Value, measured: float) -> bool:
    """Whether a number is what the paper prints; a count that it gives exactly has no rounding."""
    gap = measured - value.number
    if value.relation == "more than":
        return gap > 0
    is_exact = value.quantity == "count" and value.relation == "is"
    return abs(gap) <= (0 if is_exact else value.half_digit)


def difference(value: Value, measured: float) -> str:
    """What is known of how a number differs from the printed one; empty where it agrees."""
    gap, unit = measured - value.number, 2 * value.half_digit
    if agrees(value, measured):
        return ""
    if 0 < gap < unit:
        return "the printed digits are cut off, not rounded"
    return "in the last printed digit only" if abs(gap) < 3 * unit else ""


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
