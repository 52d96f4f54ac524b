"""A run shown in MLflow while it trains."""

import contextlib
import time
from collections.abc import Iterator

from hdkd.errors import UnfinishedError
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import Origin
from hdkd.tracking.mirror import RUNNING, Mirror
from hdkd.tracking.store import warn
from hdkd.training.reporting import Observer

SECONDS_BETWEEN = 1.0  # at least, from one update to the next
SHARE = 0.02  # of the time that updates may take between epochs


class Live(Observer):
    """Brings MLflow to the state of the run folder every so often.

    Where MLflow fails, one line says so, and the run goes on without it.
    """

    def __init__(self) -> None:
        self._mirror: Mirror | None = None
        self._due = 0.0  # when the next update is, by time.monotonic

    def started(self, folder: RunFolder, origin: Origin) -> str | None:
        """Find or create the run in MLflow; returns its identifier, ``None`` without MLflow."""
        run = None
        with self._tolerating_errors():
            self._mirror = Mirror(folder, origin)
            run = self._mirror.run
            self._mirror.update(RUNNING)
        return run

    def epoch_ended(self) -> None:
        """Update the run, unless the last update was too short a time ago."""
        before = time.monotonic()
        if self._mirror and before >= self._due:
            with self._tolerating_errors():
                self._mirror.update(RUNNING)
            after = time.monotonic()
            self._due = after + max(SECONDS_BETWEEN, (after - before) / SHARE)

    def ended(self, status: str) -> None:
        """Update the run a last time."""
        if self._mirror:
            with self._tolerating_errors():
                self._mirror.update(status)

    @contextlib.contextmanager
    def _tolerating_errors(self) -> Iterator[None]:
        try:
            yield
        except UnfinishedError:  # a signal, which is none of MLflow's doing
            raise
        except Exception as error:  # whatever MLflow raises, the run goes on
            self._mirror = None
            warn(error)
