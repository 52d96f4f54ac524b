"""What MLflow has of a whole study."""

from pathlib import Path

from hdkd.config import Settings
from hdkd.errors import RunError, UserError
from hdkd.study import plan
from hdkd.tracking import mirror
from hdkd.tracking.address import shown_uri, warn
from hdkd.tracking.sweep import log_report


def deliver(settings: Settings) -> int:
    """Give MLflow what it lacks of finished runs; returns how many were new or not whole.

    Raises ``RunError`` where MLflow is out of reach.
    """
    try:
        return mirror.deliver(finished(settings))
    except UserError:
        raise
    except Exception as error:
        raise RunError(
            f"MLflow at {shown_uri()} is out of reach ({type(error).__name__}): "
            "nothing is lost, run this command again when it is there"
        ) from None


def show_report(settings: Settings, folder: Path, metrics: dict[str, dict[str, float]]) -> None:
    """Give MLflow what it lacks, and ``folder``'s report and ``metrics`` by dataset.

    A failure is a warning: the report is written, whatever MLflow raises.
    """
    try:
        mirror.deliver(finished(settings))
    except Exception as error:
        return warn(error)
    for dataset, values in metrics.items():
        log_report(settings.profile, dataset, folder, values, plan.LEDGER)


def finished(settings: Settings) -> list[Path]:
    """The run folders of the study that are finished."""
    runs = [run.folder for name in settings.study for run in plan.all_runs(settings, name)]
    return [folder for folder in runs if plan.is_finished(folder)]
