"""What MLflow has of a whole study."""

from pathlib import Path

from hdkd.config import Settings
from hdkd.errors import RunError, UserError
from hdkd.study import plan
from hdkd.tracking import mirror, store


def deliver(settings: Settings) -> int:
    """Give MLflow what it lacks of finished runs; returns how many were new or incomplete.

    Raises ``RunError`` where MLflow is out of reach.
    """
    try:
        return mirror.deliver(finished(settings))
    except UserError:
        raise
    except Exception as error:
        raise RunError(
            f"MLflow at {store.shown_uri()} is out of reach ({type(error).__name__}): "
            "nothing is lost, run this command again when it is there"
        ) from None


def show_report(settings: Settings, folder: Path, metrics: dict[str, dict[str, float]]) -> None:
    """Give MLflow what it lacks, and ``folder``'s report and headline ``metrics`` by dataset.

    A failure is a warning: the report is written, whatever MLflow raises.
    """
    try:
        mirror.deliver(finished(settings))
        for dataset, values in metrics.items():
            log_report(settings.profile, dataset, folder, values)
    except Exception as error:
        store.warn(error)


def finished(settings: Settings) -> list[Path]:
    """The run folders of the study that are finished."""
    runs = [run.folder for name in settings.study for run in plan.all_runs(settings, name)]
    return [folder for folder in runs if plan.is_finished(folder)]


def log_report(profile: str, dataset: str, folder: Path, metrics: dict[str, float]) -> None:
    """Log a dataset's figures, tables, ledger and metrics to the parent run of its sweep."""
    experiment = store.find_experiment(profile, dataset)
    if not experiment:
        return
    client = store.connect().MlflowClient()
    for path in sorted((folder / "figures" / dataset).glob("*.svg")):
        if not path.name.endswith(".dark.svg"):
            client.log_artifact(experiment.sweep, str(path), "figures")
    tables = [folder / n for n in ("results.csv", "gains.csv", "runs.csv", "report.html")]
    for path in [*tables, *plan.LEDGER]:
        client.log_artifact(experiment.sweep, str(path), "report")
    for name, value in metrics.items():
        client.log_metric(experiment.sweep, name, value)
