"""What is noted while a run trains: in its folder, for its observer, on the screen.

The checkpoint's notes have it too, so that a resumed run goes on with what it had reported.
"""

import itertools
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from hdkd.runs.folder import RunFolder
from hdkd.runs.records import Origin, Piece, Provenance
from hdkd.training.checkpoint import Checkpoint
from hdkd.training.job import Assembled
from hdkd.training.loop import Row
from hdkd.training.numerics import peak_memory


def startup_seconds(ends: Sequence[float]) -> float:
    """What a piece takes more than its epochs do, given the seconds at which each has ended.

    An epoch is taken to last as long as the median of those after the first; 0 where there are no
    others.
    """
    later = [end - before for before, end in itertools.pairwise(ends)]
    return max(ends[0] - median(later), 0.0) if later else 0.0


class Observer:
    """Is told what happens to a run folder; this one does nothing about it. No method may raise."""

    def started(self, folder: RunFolder, origin: Origin) -> str | None:
        """A run that was begun with ``origin`` starts or resumes.

        Returns the identifier that the run has elsewhere, for its summary.
        """
        return None

    def epoch_ended(self) -> None:
        """The metrics of another epoch are in the folder."""

    def ended(self, status: str) -> None:
        """The run is ``FINISHED``, and so is its folder; or it was ``KILLED`` or has ``FAILED``."""


class Reporter:
    """The notes of a run that started or resumed at ``since``, a reading of ``perf_counter``."""

    def __init__(
        self, assembled: Assembled, checkpoint: Checkpoint, observer: Observer, since: float
    ) -> None:
        self._assembled, self._checkpoint, self.observer = assembled, checkpoint, observer
        self._folder = RunFolder(assembled.job.output)
        self._since = since
        self._piece: dict[str, Any] = {}
        self._ends: list[float] = []  # seconds of this piece when each of its epochs had ended

    @property
    def rows(self) -> list[Row]:
        """The metrics of every epoch so far, before a resumption too; that of epoch 1 first."""
        return self._checkpoint.notes["rows"]

    @property
    def observed_as(self) -> str | None:
        """The identifier that the observer has given the run."""
        return self._checkpoint.notes["mlflow_run"]

    def begin(self, origin: Origin) -> None:
        """Start the run folder anew, with the epochs that the checkpoint has behind it."""
        notes = self._checkpoint.notes
        if not notes:
            notes |= {"rows": [], "origin": origin.content(), "pieces": [], "mlflow_run": None}
        self._piece = {
            "started": origin.started,
            "seconds": 0.0,
            "startup_seconds": 0.0,
            "peak_memory_bytes": 0,
        }
        notes["pieces"].append(self._piece)
        self._folder.start(self._assembled.params)
        for row in self.rows:
            self._folder.append_metrics(row)
        observed = self.observer.started(self._folder, Origin(**notes["origin"]))
        notes["mlflow_run"] = observed or notes["mlflow_run"]
        if self._checkpoint.finished:
            name, finished = self._assembled.job.key.name, self._checkpoint.finished
            print(f"{name}  continues after epoch {finished}", flush=True)

    def epoch(self, row: Row) -> None:
        """Note the metrics of an epoch."""
        self._folder.append_metrics(row)
        self.observer.epoch_ended()
        self.rows.append(row)
        self._ends.append(time.perf_counter() - self._since)
        self._piece["startup_seconds"] = round(startup_seconds(self._ends), 2)
        self._note_cost()
        setup = self._assembled.setup
        part = setup.watched.part
        accuracy = row[f"{part}_accuracy"]
        print(
            f"{self._assembled.job.key.name}  epoch {row['epoch']}/{setup.training.epochs}  "
            f"loss {row['train_loss']:.4f}  train {row['train_accuracy']:.4f}  "
            f"{part} {'–' if accuracy is None else format(accuracy, '.4f')}  "
            f"{row['images_per_second']:.0f} images/s",
            flush=True,
        )

    def provenance(self) -> Provenance:
        """Where and with what the run began, and what its pieces took together."""
        self._note_cost()
        notes = self._checkpoint.notes
        pieces = notes["pieces"]
        return Provenance(
            **notes["origin"],
            duration_seconds=round(sum(piece["seconds"] for piece in pieces), 2),
            startup_seconds=round(sum(piece["startup_seconds"] for piece in pieces), 2),
            peak_memory_bytes=max(piece["peak_memory_bytes"] for piece in pieces),
            pieces=[Piece(started=p["started"], seconds=p["seconds"]) for p in pieces],
        )

    def _note_cost(self) -> None:
        self._piece["seconds"] = round(time.perf_counter() - self._since, 2)
        self._piece["peak_memory_bytes"] = peak_memory(self._assembled.setup.device)
