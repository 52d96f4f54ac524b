"""The parent run of a sweep shows what was made of its trainings."""

from collections.abc import Iterable
from pathlib import Path

from hdkd.tracking import store
from hdkd.tracking.address import warn


def log_report(
    profile: str, dataset: str, folder: Path, metrics: dict[str, float], ledger: Iterable[Path]
) -> None:
    """Log a dataset's figures, tables, ledger and headline ``metrics`` to its sweep's run."""
    try:
        client = store.connect().MlflowClient()
        experiment = store.find_experiment(profile, dataset)
        if not experiment:
            return
        for path in sorted((folder / "figures" / dataset).glob("*.svg")):
            if not path.name.endswith(".dark.svg"):
                client.log_artifact(experiment.sweep, str(path), "figures")
        tables = [folder / n for n in ("results.csv", "gains.csv", "runs.csv", "report.html")]
        for path in [*tables, *ledger]:
            client.log_artifact(experiment.sweep, str(path), "report")
        for name, value in metrics.items():
            client.log_metric(experiment.sweep, name, value)
    except Exception as error:  # whatever MLflow raises, the report is written
        warn(error)
