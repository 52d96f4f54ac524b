"""A run shown in MLflow while it trains."""

import time

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

    Where MLflow fails, one line says so; the run goes on, and tries again as often as failing
    attempts may cost.
    """

    def __init__(self) -> None:
        self._run: tuple[RunFolder, Origin] | None = None
        self._mirror: Mirror | None = None
        self._due = 0.0  # when the next update is, by time.monotonic
        self._warned = False
        self._identifier: str | None = None

    def started(self, folder: RunFolder, origin: Origin) -> str | None:
        """Find or create the run in MLflow; returns its identifier, ``None`` without MLflow."""
        self._run = folder, origin
        self._update(RUNNING)
        if self._mirror:
            self._due = 0.0
        return self._identifier

    def epoch_ended(self) -> None:
        """Update the run, unless the last update was too short a time ago."""
        if time.monotonic() >= self._due:
            self._update(RUNNING)

    def ended(self, status: str) -> None:
        """Update the run a last time, even where MLflow was away just now."""
        self._update(status)

    def _update(self, status: str) -> None:
        before = time.monotonic()
        try:
            if self._mirror is None and self._run:
                self._mirror = Mirror(*self._run)
                self._identifier = self._mirror.run
            if self._mirror:
                self._mirror.update(status)
        except UnfinishedError:  # a signal, which is none of MLflow's doing
            raise
        except Exception as error:  # whatever MLflow raises, the run goes on
            self._mirror = None
            if not self._warned:
                warn(error)
            self._warned = True
        after = time.monotonic()
        self._due = after + max(SECONDS_BETWEEN, (after - before) / SHARE)
