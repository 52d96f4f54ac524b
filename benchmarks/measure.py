"""Comparing times on a machine that is never quiet: repeated, interleaved, as ratios."""

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Action = Callable[[], float | None]


@dataclass(frozen=True)
class Times:
    """Seconds of one thing, in the order of the rounds."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        return (
            f"{duration(self.median)} ({duration(min(self.seconds))}–{duration(max(self.seconds))})"
        )

    def ratio(self, other: "Times") -> str:
        """How many times longer ``other`` took in the same rounds: median and range."""
        ratios = [b / a for a, b in zip(self.seconds, other.seconds, strict=True)]
        return f"**{statistics.median(ratios):.2f}×** ({min(ratios):.2f}–{max(ratios):.2f})"


def interleaved(actions: dict[str, Action], rounds: int) -> dict[str, Times]:
    """Each action once a round, after one round that does not count.

    An action may return the seconds that count; otherwise all that it took do.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for number in range(rounds + 1):
        for name, action in actions.items():
            started = time.perf_counter()
            counted = action()
            if number:
                taken = time.perf_counter() - started if counted is None else counted
                seconds[name].append(taken)
    return {name: Times(tuple(values)) for name, values in seconds.items()}


def process(command: Sequence[str], **options: Any) -> Action:
    """Running a command to its end, which must be a good one."""

    def action() -> None:
        subprocess.run(command, check=True, capture_output=True, **options)

    return action


def duration(seconds: float) -> str:
    """``3.42 s`` or ``41.3 ms``."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.1f} ms"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
