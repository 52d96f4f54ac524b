"""Who follows a training from outside, as a tracking server does."""

from hdkd.runs.folder import RunFolder
from hdkd.runs.records import Origin


class Observer:
    """Is told what happens to a run folder; this one does nothing about it. No method may raise."""

    def started(self, folder: RunFolder, origin: Origin) -> str | None:
        """A training that was begun with ``origin`` begins or continues.

        Returns the identifier that the training has elsewhere, which its summary then names.
        """
        return None

    def epoch_ended(self) -> None:
        """The metrics of another epoch are in the folder."""

    def ended(self, status: str) -> None:
        """It is ``FINISHED``, and so is its folder; or it was ``KILLED``, or has ``FAILED``."""
