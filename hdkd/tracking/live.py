"""A training shown in MLflow while it runs."""

import contextlib
import time
from collections.abc import Iterator

from hdkd.errors import UnfinishedError
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import Origin
from hdkd.tracking.address import warn
from hdkd.tracking.mirror import RUNNING, Mirror
from hdkd.training.reporting import Observer

SECONDS_BETWEEN = 1.0  # at least, from one update to the next
SHARE = 0.02  # of the time that updates may take between epochs


class Live(Observer):
    """Brings MLflow to the state of the run folder every so often.

    Where MLflow fails, a line says so once, and the training hears no more of it.
    """

    def __init__(self) -> None:
        self._mirror: Mirror | None = None
        self._due = 0.0  # when the next update is, by time.monotonic

    def started(self, folder: RunFolder, origin: Origin) -> str | None:
        run = None
        with self._forgiving():
            self._mirror = Mirror(folder, origin)
            run = self._mirror.run
            self._mirror.update(RUNNING)
        return run

    def epoch_ended(self) -> None:
        began = time.monotonic()
        if self._mirror and began >= self._due:
            with self._forgiving():
                self._mirror.update(RUNNING)
            ended = time.monotonic()
            self._due = ended + max(SECONDS_BETWEEN, (ended - began) / SHARE)

    def ended(self, status: str) -> None:
        if self._mirror:
            with self._forgiving():
                self._mirror.update(status)

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        try:
            yield
        except UnfinishedError:  # a signal, which is none of MLflow's doing
            raise
        except Exception as error:  # whatever MLflow raises, training goes on
            self._mirror = None
            warn(error)
