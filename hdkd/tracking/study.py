"""What MLflow has of a whole study."""

import sys
from pathlib import Path

from hdkd.config import Settings
from hdkd.errors import RunError, UserError
from hdkd.files import sha256
from hdkd.study import plan
from hdkd.tracking import mirror, notes, store

REPORT_TAG = "hdkd.report"  # of a sweep: the checksum of the report that it has


def deliver(
    settings: Settings, folder: Path, metrics: dict[str, dict[str, float]]
) -> tuple[int, int, int]:
    """Give MLflow what it lacks: finished runs, ``folder``'s report, the datasets' models.

    See :func:`log_report` and :func:`hdkd.tracking.registry.register`. Returns how many runs,
    reports and models were new or incomplete there. Raises ``RunError`` where MLflow is out of
    reach.
    """
    try:
        return _deliver(settings, folder, metrics)
    except (UserError, ModuleNotFoundError):
        raise
    except Exception as error:
        raise RunError(
            f"MLflow at {store.shown_uri()} is out of reach ({type(error).__name__}): "
            "nothing is lost, run this command again when it is there"
        ) from None


def _deliver(
    settings: Settings, folder: Path, metrics: dict[str, dict[str, float]]
) -> tuple[int, int, int]:
    runs = mirror.deliver(finished(settings))
    reports = sum(
        log_report(settings.profile, dataset, folder, values) for dataset, values in metrics.items()
    )
    for name in settings.study:
        validated = settings.parameters.split.validation_fraction > 0
        notes.annotate(settings.profile, name, settings.dataset(name).title, validated)
    return runs, reports, sum(registered(settings, name) for name in settings.study)


def registered(settings: Settings, dataset: str) -> bool:
    """Whether the dataset's model is a new version; why it cannot be one is a warning."""
    from hdkd.tracking import registry  # imports torch

    try:
        return registry.register(settings, dataset)
    except UserError as error:
        print(f"warning: no model of {dataset} is registered: {error}", file=sys.stderr)
        return False


def show_report(settings: Settings, folder: Path, metrics: dict[str, dict[str, float]]) -> None:
    """As :func:`deliver`, after the report: a failure is a warning, whatever MLflow raises."""
    try:
        _deliver(settings, folder, metrics)
    except Exception as error:
        store.warn(error)


def finished(settings: Settings) -> list[Path]:
    """The run folders of the study that are finished."""
    runs = [run.folder for name in settings.study for run in plan.all_runs(settings, name)]
    return [folder for folder in runs if plan.is_finished(folder)]


def log_report(profile: str, dataset: str, folder: Path, metrics: dict[str, float]) -> bool:
    """Log a dataset's figures, tables, ledger and headline metrics to the run of its sweep.

    Whether that lacked this very report.
    """
    experiment = store.find_experiment(profile, dataset)
    if not experiment:
        return False
    client = store.connect().MlflowClient()
    there = client.get_run(experiment.sweep).data
    digest = sha256(folder / "report.html")
    if there.tags.get(REPORT_TAG) == digest:
        return False
    for path in sorted((folder / "figures" / dataset).glob("*.svg")):
        if not path.name.endswith(".dark.svg"):
            client.log_artifact(experiment.sweep, str(path), "figures")
    tables = [folder / n for n in ("results.csv", "gains.csv", "runs.csv", "report.html")]
    for path in [*tables, *plan.LEDGER]:
        client.log_artifact(experiment.sweep, str(path), "report")
    for name, value in metrics.items():
        if there.metrics.get(name) != value:
            client.log_metric(experiment.sweep, name, value)
    client.set_tag(experiment.sweep, REPORT_TAG, digest)
    return True
