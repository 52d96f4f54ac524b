"""Sides of a comparison on a GPU, each a process of its own that takes turns with ours."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import Times, table
from benchmarks.settings import Settings
from benchmarks.training import common
from benchmarks.worker import Worker, WorkerFailedError
from hdkd import config
from hdkd.config import Engine

ROLES = ("teacher", "hdkd")
FEW = 200  # images, of which a batch of 16 leaves eight over


@dataclass(frozen=True)
class Side:
    """What is compared with ours: its task, and how many images a turn of it has."""

    task: dict[str, Any]
    images: int


@dataclass(frozen=True)
class Measured:
    """Seconds per image of a side and, in the same rounds, of ours."""

    role: str
    name: str
    ours: Times
    side: Times
    busy: float | None

    def row(self) -> list[str]:
        busy = "–" if self.busy is None else f"{self.busy:.0f} %"
        speed = f"{1 / self.side.median:.0f}"
        return [self.role, self.name, speed, self.side.ratio(self.ours), busy]

    @property
    def least_gain(self) -> float:
        """How many times as fast as ours it was, in the round where that was least."""
        pairs = zip(self.ours.seconds, self.side.seconds, strict=True)
        return min(ours / side for ours, side in pairs)


class Bench:
    """What all comparisons share: sizes, images, device, ours (``engine``), the report so far."""

    def __init__(
        self, settings: Settings, device: str, folder: Path, save: Callable[[str], None]
    ) -> None:
        tiny = settings.rounds == 1
        self.settings, self.device, self.folder, self._save = settings, device, folder, save
        self.size, self.batch = settings.sizes[-1], 4 if tiny else 16
        self.rounds = 1 if tiny else 3
        self.images = epoch_images(settings, device)
        self.few = min(FEW, self.images - 2)
        self.engine: Engine = config.load(Path("params.yaml"), "paper").parameters.engine
        self.measured: list[Measured] = []
        self.failed: list[tuple[str, str]] = []  # networks and sides

    def task(self, role: str, **changes: Any) -> dict[str, Any]:
        """An epoch of ours, with ``changes``."""
        engine = asdict(self.engine) | changes.pop("engine", {})
        places = {"prepared": self.folder / "prepared", "device": self.device}
        shape = {"role": role, "size": self.size, "batch": self.batch}
        task = {"side": "ours", "kind": "epoch", "engine": engine}
        return common(self.settings) | task | places | shape | changes

    def compare(self, role: str, sides: dict[str, Side]) -> list[Measured]:
        """All ``sides`` and ours, in turns; the report is saved at the end.

        A side that fails loses nothing but its row. All processes start at once, because that takes
        longer than measuring, and each has what it needs before its first turn.
        """
        sides = {"ours": Side(self.task(role), self.images), **sides}
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        with ExitStack() as stack:
            workers = {name: stack.enter_context(worker(each.task)) for name, each in sides.items()}
            for number in range(self.rounds + 1):
                for name in [name for name in sides if (role, name) not in self.failed]:
                    try:
                        taken = workers[name]()
                    except WorkerFailedError:
                        if name == "ours":
                            raise
                        self.failed.append((role, name))
                    else:
                        seconds[name] += [taken / sides[name].images] if number else []
        found = [
            Measured(role, name, Times(tuple(seconds["ours"])), Times(tuple(each)), worker.busy)
            for (name, each), worker in zip(seconds.items(), workers.values(), strict=True)
            if (role, name) not in self.failed
        ]
        self.measured += found if not self.of(role) else found[1:]
        self._save(self.table())
        return found[1:]

    def of(self, role: str) -> list[Measured]:
        """What has been measured of a network, ours first."""
        return [each for each in self.measured if each.role == role]

    def table(self) -> str:
        """What has been measured so far."""
        rows = [each.row() for role in ROLES for each in self.of(role)]
        rows += [[*each, "failed", "–", "–"] for each in self.failed]
        return table(["network", "variant", "images/s", "times as fast as ours", "GPU busy"], rows)

    def ours(self, role: str) -> Times:
        """Ours beside the variants, in seconds per image."""
        return self.of(role)[0].side


def epoch_images(settings: Settings, device: str) -> int:
    """How many images an epoch has."""
    return 2048 if device == "cuda" else settings.epoch_images


@contextmanager
def worker(task: dict[str, Any]) -> Iterator[Worker]:
    """A process that is stopped at the end."""
    made = Worker(**task)
    try:
        yield made
    finally:
        made.stop()
