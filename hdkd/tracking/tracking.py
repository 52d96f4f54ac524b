"""MLflow: one run per training, under one parent run per sweep.

A study never depends on its tracking server: when MLflow fails, a line says so and the training goes
on; its run folder has everything, and :func:`deliver` gives MLflow later what it missed.
"""

import contextlib
import os
import re
import sqlite3
import sys
import time
import warnings
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from hdkd.files import write_whole
from hdkd.runs.folder import RunFolder, flatten, training_of
from hdkd.study.plan import RunKey

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")

# MLflow configures its logger when it is imported; this keeps its notes out of every log.
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

STORE = Path("mlflow")
MLFLOW_NOTE = "mlflow_run.txt"  # in a run folder: the run of a training that has not ended
SWEEP_TAG = "hdkd.sweep"
TRAINING_TAG = "hdkd.training"
BATCH = 1000  # metrics that one request may carry
SECONDS_BETWEEN = 1.0  # that epochs wait at most for their batch
PATIENCE = 60.0  # seconds that a training waits for MLflow in all
FORBIDDEN = re.compile(r"[^\w\-. :/]")  # in names of metrics
# Tells MLflow that the experiment holds trainings, not conversations with a language model.
EXPERIMENT_KIND = "mlflow.experimentKind"


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI``, or a SQLite file in the ignored folder ``mlflow/``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{STORE / 'mlflow.db'}"


def experiment_name(profile: str, dataset: str) -> str:
    return f"hdkd-{profile}-{dataset}"


def _mlflow() -> Any:
    """The package, which takes seconds to import, and may not be there at all."""
    import mlflow

    if mlflow.__file__ is None:  # the folder of the store, which Python takes for a package
        raise ImportError("the package mlflow is not installed")
    return mlflow


def create_store(profile: str, titles: dict[str, str]) -> None:
    """Create the store, one experiment per dataset and in it the parent run of its sweep.

    Done once before the first parallel job: a new SQLite file opened by many processes at once
    breaks. ``titles`` maps dataset to its title.
    """
    mlflow = _mlflow()
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
        mlflow = _mlflow()
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


def deliver(profile: str, titles: dict[str, str], folders: list[Path]) -> int:
    """Give MLflow what it lacks of finished run folders, whether made out of its reach or in an outage.

    Runs get their own times. What MLflow has already stays, so that twice is harmless. Returns how many
    runs were new or not whole. Raises whatever MLflow raises.
    """
    mlflow = _mlflow()
    runs = [RunFolder(folder) for folder in folders]
    datasets = {run.summary["run"]["dataset"] for run in runs}
    create_store(profile, {name: title for name, title in titles.items() if name in datasets})
    client = mlflow.MlflowClient()
    known = {}
    for dataset in datasets:
        experiment = client.get_experiment_by_name(experiment_name(profile, dataset))
        for run in _all_runs(client, experiment.experiment_id):
            if "role" in run.data.tags:  # a training, not the run of its sweep
                known[run.info.run_id] = run
                known[run.data.tags.get(TRAINING_TAG)] = run
    lacking = 0
    for folder in runs:
        summary = folder.summary
        forget_abandoned(mlflow, folder.path / MLFLOW_NOTE, own=summary["mlflow_run"])
        training = training_of(RunKey(**summary["run"]), summary["provenance"])
        run = known.get(training) or known.get(summary["mlflow_run"] or training)
        if run is None or run.info.status != "FINISHED":
            _complete(mlflow, client, folder, run and run.info.run_id)
            lacking += 1
    return lacking


def forget_abandoned(mlflow: Any, note: Path, own: str | None = None) -> None:
    """Delete the run that ``note`` names, of a training that was killed and begun anew, and the note.

    Where that is the training's ``own`` run, only the note goes: it was killed on its last step.
    """
    if not note.exists():
        return
    named = note.read_text("utf-8")
    if named != own:
        with contextlib.suppress(mlflow.exceptions.MlflowException):  # it may be of another store
            mlflow.MlflowClient().delete_run(named)
    note.unlink()


def _all_runs(client: Any, experiment: str) -> Iterable[Any]:
    token = None
    while True:
        page = client.search_runs([experiment], max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _complete(mlflow: Any, client: Any, folder: RunFolder, run: str | None) -> None:
    """Make a run of MLflow whole from its run folder, or make a new one."""
    params, summary, table = folder.params, folder.summary, folder.metrics
    key, made = RunKey(**summary["run"]), summary["provenance"]
    start = round(datetime.fromisoformat(made["started"]).timestamp() * 1000)
    end = start + round(made["duration_seconds"] * 1000)
    if run is None:
        experiment = client.get_experiment_by_name(experiment_name(key.profile, key.dataset))
        tags = run_tags(key, params, made) | {"device": made["device"]}
        parent = _sweep_run(client, experiment.experiment_id)
        if parent:
            tags["mlflow.parentRunId"] = parent
        run = client.create_run(experiment.experiment_id, start, tags, key.name).info.run_id
    metrics = []
    for name in table.columns.drop("epoch"):
        logged = {metric.step for metric in client.get_metric_history(run, name)}
        rows = table[["epoch", name]].dropna()
        metrics += [
            (name, value, start + round((end - start) * epoch / len(table)), int(epoch))
            for epoch, value in rows.itertuples(index=False)
            if epoch not in logged
        ]
    recorded = client.get_run(run).data
    metrics += [
        (name, value, end, 0)
        for name, value in final_metrics(summary).items()
        if name not in recorded.metrics
    ]
    _log_metrics(mlflow, run, metrics)
    lacking = {n: str(v) for n, v in flatten(params).items() if n not in recorded.params}
    client.log_batch(run, params=[mlflow.entities.Param(*each) for each in lacking.items()])
    mlflow.set_tracking_uri(tracking_uri())
    with mlflow.start_run(run):
        _log_files(mlflow, folder)
    client.set_terminated(run, end_time=end)


def _log_metrics(mlflow: Any, run: str, values: list[tuple[str, float, int, int]]) -> None:
    """Log (name, value, milliseconds since 1970, step), as many at once as a request may carry."""
    metrics = [mlflow.entities.Metric(*each) for each in values]
    for first in range(0, len(metrics), BATCH):
        mlflow.MlflowClient().log_batch(run, metrics[first : first + BATCH])


def _log_files(mlflow: Any, folder: RunFolder) -> None:
    """The run folder, the confusion matrix and the model, into the active run."""
    mlflow.log_artifacts(str(folder.path), "run")
    matrix = folder.summary["final"]["confusion_matrix"]
    mlflow.log_dict({"classes": folder.params["classes"], "rows": matrix}, "confusion_matrix.json")
    log_model(mlflow, folder)


class Tracker:
    """One MLflow run. Every method is safe to call when tracking is off or has failed."""

    def __init__(self, run_id: str | None = None, alive: bool = False) -> None:
        self.run_id = run_id
        self._alive = alive
        self._logged_epochs = 0
        self._waiting: list[tuple[str, float, int, int]] = []
        self._sent = time.monotonic()
        self._spent = 0.0  # seconds waited for MLflow
        self._note: Path | None = None

    @classmethod
    def start(
        cls,
        key: RunKey,
        params: dict[str, Any],
        made: dict[str, Any],
        enabled: bool = True,
        run_id: str | None = None,
        note: Path | None = None,
    ) -> "Tracker":
        """Open a run with parameters and tags below the parent run of its sweep.

        With ``run_id`` it is that run, which a stopped training left; epochs that it already has are
        not logged again. A new run is noted in the file ``note`` until it ends, and takes the place of the one
        that is noted there, which was killed too early for anything to go on from.
        """
        tracker = cls(run_id, alive=enabled)
        tracker._note = note

        def open_run(mlflow: Any) -> None:
            mlflow.set_tracking_uri(tracking_uri())
            experiment = mlflow.set_experiment(experiment_name(key.profile, key.dataset))
            client = mlflow.MlflowClient()
            if run_id:
                mlflow.start_run(run_id)
                logged = client.get_metric_history(run_id, "train_loss")
                tracker._logged_epochs = max((metric.step for metric in logged), default=0)
                return
            if note:
                forget_abandoned(mlflow, note)
            parent = _sweep_run(client, experiment.experiment_id)
            tags = run_tags(key, params, made) | ({"mlflow.parentRunId": parent} if parent else {})
            tracker.run_id = mlflow.start_run(run_name=key.name, tags=tags).info.run_id
            if note:
                write_whole(note, tracker.run_id)
            mlflow.log_params(flatten(params))

        tracker._attempt(open_run)
        return tracker

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
        if waiting:
            self._attempt(lambda mlflow: _log_metrics(mlflow, self.run_id, waiting))
        self._sent = time.monotonic()

    def finish(self, folder: RunFolder) -> None:
        """Log final metrics, the run folder, the confusion matrix and the model, and close the run."""
        self._send()

        def log(mlflow: Any) -> None:
            mlflow.log_metrics(final_metrics(folder.summary))
            _log_files(mlflow, folder)
            mlflow.end_run()

        self._attempt(log)
        if self._note and self.run_id:
            self._note.unlink(missing_ok=True)

    def stop(self, status: str) -> None:
        """Close the run of a training that did not end: ``FAILED`` or ``KILLED``."""
        self._send()
        self._attempt(lambda mlflow: mlflow.end_run(status))

    def _attempt(self, action: Any) -> None:
        """Do something with MLflow, unless it has failed before or let us wait too long."""
        if not self._alive:
            return
        started = time.monotonic()
        try:
            mlflow = _mlflow()
            started = time.monotonic()
            action(mlflow)
        except Exception as error:  # whatever MLflow raises, training goes on
            self._alive = False
            warn(error)
        self._spent += time.monotonic() - started
        if self._alive and self._spent > PATIENCE:
            self._alive = False
            warn(TimeoutError(f"{self._spent:.0f} seconds waited for it"))


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
        TRAINING_TAG: training_of(key, made),
    }


def final_metrics(summary: dict[str, Any]) -> dict[str, float]:
    """The numbers of a summary by name, as MLflow shows them beside each other."""
    final, made = summary["final"], summary["provenance"]
    of = "final_validation" if summary.get("part") == "validation" else "final"
    metrics = {f"{of}_{name}": value for name, value in final.items() if isinstance(value, float)}
    for name, value in final["recall"].items():
        metrics[f"{of}_recall_{FORBIDDEN.sub('_', name)}"] = value
    if best := summary["best_epoch"]:
        metrics |= {"best_epoch_accuracy": best["accuracy"], "best_epoch": best["epoch"]}
    for name, value in (summary.get("validation") or {}).items():
        metrics[f"kept_validation_{name}"] = value
    for name, value in (summary.get("without_leaks") or {}).items():
        metrics[f"final_{name}_without_leaks"] = value
    return metrics | {
        **{n: made[n] for n in ("duration_seconds", "peak_memory_bytes") if n in made},
    }


def log_model(mlflow: Any, folder: RunFolder) -> None:
    """Log a servable model: encoded image files in, class and probabilities out."""
    import hdkd
    from hdkd.deploy import serving
    from hdkd.deploy.serving import signature

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


def warn(error: Exception) -> None:
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    credentials = urlparse(tracking_uri()).netloc.rpartition("@")[0]
    if credentials:
        reason = reason.replace(f"{credentials}@", "")
    print(
        f"warning: MLflow at {shown_uri()} failed ({reason}); going on without it: `hdkd deliver` gives it "
        "later what it misses",
        file=sys.stderr,
    )


def shown_uri() -> str:
    """The tracking URI without credentials."""
    parts = urlparse(tracking_uri())
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
