"""MLflow: one run per training, under one parent run per sweep.

A study never depends on its tracking server: when MLflow fails, a line says so and the training goes
on; its run folder has everything.
"""

import hashlib
import os
import sqlite3
import sys
import time
import warnings
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pandas as pd

from hdkd.plan import RunKey
from hdkd.training.run_folder import RunFolder

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

# MLflow configures its logger when it is imported; this keeps its notes out of every log.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

STORE = Path("mlflow")
SWEEP_TAG = "hdkd.sweep"
IMPORT_TAG = "hdkd.summary_sha256"
BATCH = 1000  # metrics that one request may carry
SECONDS_BETWEEN = 1.0  # that epochs wait at most for their batch
# Tells MLflow that the experiment holds trainings, not conversations with a language model.
EXPERIMENT_KIND = "mlflow.experimentKind"


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI``, or a SQLite file in the ignored folder ``mlflow/``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{STORE / 'mlflow.db'}"


def experiment_name(profile: str, dataset: str) -> str:
    return f"hdkd-{profile}-{dataset}"


def create_store(profile: str, titles: dict[str, str]) -> None:
    """Create the store, one experiment per dataset and in it the parent run of its sweep.

    Done once before the first parallel job: a new SQLite file opened by many processes at once
    breaks. ``titles`` maps dataset to its title.
    """
    import mlflow

    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///"))
        path.parent.mkdir(parents=True, exist_ok=True)
        client.search_experiments(max_results=1)
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode=wal")
    for dataset, title in titles.items():
        name = experiment_name(profile, dataset)
        experiment = client.get_experiment_by_name(name)
        if experiment is None:
            place = None
            if urlparse(uri).scheme == "sqlite":
                place = (STORE / "artifacts" / name).resolve().as_uri()
            identifier = client.create_experiment(
                name, place, tags={EXPERIMENT_KIND: "custom_model_development"}
            )
        else:
            identifier = experiment.experiment_id
        if _sweep_run(client, identifier) is None:
            tags = {SWEEP_TAG: "true", "profile": profile, "dataset": dataset, "title": title}
            run = client.create_run(identifier, tags=tags, run_name=f"sweep {dataset} {profile}")
            client.set_terminated(run.info.run_id)


def _sweep_run(client: Any, experiment: str) -> str | None:
    found = client.search_runs([experiment], f"tags.`{SWEEP_TAG}` = 'true'", max_results=1)
    return found[0].info.run_id if found else None


def log_report(
    profile: str, dataset: str, folder: Path, metrics: dict[str, float], ledger: Iterable[Path]
) -> None:
    """Put a dataset's figures, the tables, the ledger and headline ``metrics`` into its sweep's run."""
    try:
        import mlflow

        mlflow.set_tracking_uri(tracking_uri())
        client = mlflow.MlflowClient()
        experiment = client.get_experiment_by_name(experiment_name(profile, dataset))
        sweep = experiment and _sweep_run(client, experiment.experiment_id)
        if not sweep:
            return
        for path in sorted((folder / "figures" / dataset).glob("*.svg")):
            if not path.name.endswith(".dark.svg"):
                client.log_artifact(sweep, str(path), "figures")
        for name in ("results.csv", "gains.csv", "runs.csv", "report.html"):
            client.log_artifact(sweep, str(folder / name), "report")
        for path in ledger:
            client.log_artifact(sweep, str(path), "report")
        for name, value in metrics.items():
            client.log_metric(sweep, name, value)
    except Exception as error:  # whatever MLflow raises, the report is written
        warn(error)


def import_runs(profile: str, titles: dict[str, str], folders: list[Path]) -> int:
    """Register finished run folders, made where MLflow was out of reach, with their own times.

    Returns how many are new: a run folder that was registered before is left alone, by the checksum
    of its summary.
    """
    import mlflow
    from mlflow.entities import Metric, Param

    runs = [RunFolder(folder) for folder in folders]
    datasets = {run.summary["run"]["dataset"] for run in runs}
    create_store(profile, {name: title for name, title in titles.items() if name in datasets})
    client = mlflow.MlflowClient()
    new = 0
    for folder in runs:
        params, summary = folder.params, folder.summary
        key = RunKey(**summary["run"])
        digest = hashlib.sha256((folder.path / "summary.json").read_bytes()).hexdigest()
        experiment = client.get_experiment_by_name(experiment_name(profile, key.dataset))
        if client.search_runs([experiment.experiment_id], f"tags.`{IMPORT_TAG}` = '{digest}'"):
            continue
        made = summary["provenance"]
        start = round(datetime.fromisoformat(made["started"]).timestamp() * 1000)
        end = start + round(made["duration_seconds"] * 1000)
        tags = run_tags(key, params, made) | {IMPORT_TAG: digest, "device": made["device"]}
        parent = _sweep_run(client, experiment.experiment_id)
        if parent:
            tags["mlflow.parentRunId"] = parent
        run = client.create_run(experiment.experiment_id, start, tags, key.name).info.run_id
        table = folder.metrics
        metrics = [
            Metric(
                name,
                value,
                start + round((end - start) * row["epoch"] / len(table)),
                int(row["epoch"]),
            )
            for row in table.to_dict("records")
            for name, value in row.items()
            if name != "epoch" and not pd.isna(value)
        ]
        metrics += [Metric(name, v, end, 0) for name, v in final_metrics(summary).items()]
        for first in range(0, len(metrics), BATCH):
            client.log_batch(run, metrics[first : first + BATCH])
        client.log_batch(run, params=[Param(n, str(v)) for n, v in flatten(params).items()])
        client.log_artifacts(run, str(folder.path), "run")
        client.set_terminated(run, end_time=end)
        new += 1
    return new


class Tracker:
    """One MLflow run. Every method is safe to call when tracking is off or has failed."""

    def __init__(self, run_id: str | None, logged_epochs: int = 0) -> None:
        self.run_id = run_id
        self._logged_epochs = logged_epochs
        self._alive = run_id is not None
        self._waiting: list[tuple[str, float, int, int]] = []
        self._sent = time.monotonic()

    @classmethod
    def start(
        cls,
        key: RunKey,
        params: dict[str, Any],
        made: dict[str, Any],
        enabled: bool = True,
        run_id: str | None = None,
    ) -> "Tracker":
        """Open a run with parameters and tags below the parent run of its sweep.

        With ``run_id`` it is that run, which a stopped training left; epochs that it already has are
        not logged again.
        """
        if not enabled:
            return cls(None)
        try:
            import mlflow

            mlflow.set_tracking_uri(tracking_uri())
            experiment = mlflow.set_experiment(experiment_name(key.profile, key.dataset))
            if run_id:
                mlflow.start_run(run_id)
                logged = mlflow.MlflowClient().get_metric_history(run_id, "train_loss")
                return cls(run_id, max((metric.step for metric in logged), default=0))
            parent = _sweep_run(mlflow.MlflowClient(), experiment.experiment_id)
            tags = run_tags(key, params, made) | ({"mlflow.parentRunId": parent} if parent else {})
            run = mlflow.start_run(run_name=key.name, tags=tags)
            mlflow.log_params(flatten(params))
            return cls(run.info.run_id)
        except Exception as error:  # whatever MLflow raises, training goes on
            warn(error)
            return cls(None)

    def log_epoch(self, row: dict[str, float | None]) -> None:
        """Log an epoch, unless this run has it; epochs shorter than a second go together."""
        if row["epoch"] <= self._logged_epochs:
            return
        now, step = int(time.time() * 1000), int(row["epoch"])
        values = {k: v for k, v in row.items() if k != "epoch" and v is not None}
        self._waiting += [(name, value, now, step) for name, value in values.items()]
        if time.monotonic() - self._sent > SECONDS_BETWEEN:
            self._send()

    def _send(self) -> None:
        waiting, self._waiting = self._waiting, []

        def send(mlflow: Any) -> None:
            metrics = [mlflow.entities.Metric(*values) for values in waiting]
            for first in range(0, len(metrics), BATCH):
                batch = metrics[first : first + BATCH]
                mlflow.MlflowClient().log_batch(self.run_id, batch)

        if waiting:
            self._attempt(send)
        self._sent = time.monotonic()

    def finish(self, folder: RunFolder) -> None:
        """Log final metrics, the run folder, the confusion matrix and the model, and close the run."""

        self._send()

        def log(mlflow: Any) -> None:
            summary = folder.summary
            mlflow.log_metrics(final_metrics(summary))
            mlflow.log_artifacts(str(folder.path), "run")
            mlflow.log_dict(
                {"classes": folder.params["classes"], "rows": summary["final"]["confusion_matrix"]},
                "confusion_matrix.json",
            )
            log_model(mlflow, folder)
            mlflow.end_run()

        self._attempt(log)

    def stop(self, status: str) -> None:
        """Close the run of a training that did not end: ``FAILED`` or ``KILLED``."""
        self._send()
        self._attempt(lambda mlflow: mlflow.end_run(status))

    def _attempt(self, action: Any) -> None:
        if not self._alive:
            return
        try:
            import mlflow

            action(mlflow)
        except Exception as error:  # whatever MLflow raises, training goes on
            self._alive = False
            warn(error)


def run_tags(key: RunKey, params: dict[str, Any], made: dict[str, Any]) -> dict[str, str]:
    """What a run is found by."""
    return {
        "dataset": key.dataset,
        "synthetic_data": str(params["data"]["synthetic"]).lower(),
        "profile": key.profile,
        "group": key.group,
        "role": key.role,
        "variant": key.variant,
        "subset": key.subset,
        "seed": str(key.seed),
        "git_commit": str(made["git_commit"]),
        "data_hash": params["data"]["content_hash"],
    }


def final_metrics(summary: dict[str, Any]) -> dict[str, float]:
    """The numbers of a summary by name, as MLflow shows them beside each other."""
    final = summary["final"]
    metrics = {f"final_{name}": value for name, value in final.items() if isinstance(value, float)}
    metrics |= {f"final_recall_{name}": value for name, value in final["recall"].items()}
    return metrics | {
        "best_epoch_accuracy": summary["best_epoch"]["accuracy"],
        "best_epoch": summary["best_epoch"]["epoch"],
        "duration_seconds": summary["provenance"]["duration_seconds"],
    }


def log_model(mlflow: Any, folder: RunFolder) -> None:
    """Log a servable model: encoded image files in, class and probabilities out."""
    import hdkd
    from hdkd import serving
    from hdkd.serving import signature

    package = Path(hdkd.__file__).parent
    # The signature says all; an example would make every training load its model again.
    warnings.filterwarnings("ignore", message=".*input example was not provided")
    mlflow.pyfunc.log_model(
        name="model",
        python_model=str(Path(serving.__file__)),
        artifacts={"run": str(folder.path)},
        code_paths=[str(package)],
        signature=signature(folder.params["classes"]),
        pip_requirements=["torch", "numpy", "pandas", "pillow", "safetensors", "scipy", "mlflow"],
    )


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` to ``{"a.b": 1}``, as MLflow's parameters want it."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def warn(error: Exception) -> None:
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    reason = reason.replace(tracking_uri(), shown_uri())
    print(
        f"warning: MLflow at {shown_uri()} failed ({reason}); going on without it", file=sys.stderr
    )


def shown_uri() -> str:
    """The tracking URI without credentials."""
    parts = urlparse(tracking_uri())
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
