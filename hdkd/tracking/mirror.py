"""One run in MLflow: what it lacks there of the run folder is added.

What MLflow has already stays, so that any process may do this at any time, as often as it likes.
"""

import contextlib
import shutil
import tempfile
import time
import warnings
from collections.abc import Container, Iterable
from datetime import datetime
from functools import cache, partial
from pathlib import Path

from hdkd.files import write_atomic
from hdkd.runs.folder import RunFolder, flatten
from hdkd.runs.records import Origin, identity
from hdkd.study.plan import RUN_FILES, is_finished
from hdkd.tracking import served, store, values

NOTE = "mlflow_run.txt"  # in the folder of an unfinished run: its identifier in MLflow
WEIGHTS = "model.safetensors"
BATCH = 1000  # metrics that one request may carry
RUNNING, FINISHED = "RUNNING", "FINISHED"


def deliver(folders: Iterable[Path]) -> int:
    """Give MLflow what it lacks of finished run folders, made out of its reach or in an outage.

    Runs get their own times. Returns how many runs were new or incomplete. Raises ``RunError`` for
    a damaged run folder, and whatever MLflow raises.
    """
    # Asked for at once: one search for each of thousands of runs takes minutes.
    finished = cache(partial(store.tags_of_finished_runs, values.TRAINING_TAG))
    delivered = 0
    for folder in map(RunFolder, folders):
        summary = folder.summary
        run, origin = summary.run, summary.provenance
        is_there = identity(run, origin) in finished(run.profile, run.dataset)
        if not is_there or (folder.path / NOTE).exists():
            delivered += Mirror(folder, origin).update(FINISHED)
    return delivered


class Mirror:
    """The MLflow run of a run folder that was begun with ``origin``; created where there is none.

    Where the folder names another one, which was killed before the run was begun anew, that is
    deleted. Every method raises whatever MLflow raises.
    """

    def __init__(self, folder: RunFolder, origin: Origin) -> None:
        self._folder, self._origin = folder, origin
        self._params = folder.params
        run = self._params.run
        self._start = round(datetime.fromisoformat(origin.started).timestamp() * 1000)
        self._logged: dict[str, set[int]] = {}  # epochs by metric, as far as they were asked for
        self._experiment = store.experiment(run.profile, run.dataset, self._params.data.title)
        self._mlflow = store.connect()
        self._client = self._mlflow.MlflowClient()
        self._note = folder.path / NOTE
        found = self._find()
        self._forget_abandoned(found)
        self.run, self._status = found or (self._create(), RUNNING)

    def update(self, status: str) -> bool:
        """Bring the run to the state of the folder and to ``status``; whether it was unfinished.

        ``status`` is one of MLflow's: ``RUNNING``, or how the run has ended. ``FINISHED`` needs a
        finished run folder.
        """
        was_unfinished = self._status != FINISHED
        if was_unfinished:
            end = round(time.time() * 1000)
            if status == FINISHED:
                seconds = self._folder.summary.provenance.duration_seconds
                end = self._start + round(seconds * 1000)
            self._log_epochs(end)
            if status == FINISHED:
                self._log_result(end)
            self._set_status(status, end)
        if status == FINISHED:
            self._note.unlink(missing_ok=True)
        return was_unfinished

    def _find(self) -> tuple[str, str] | None:
        """The identifier in MLflow and the status there."""
        training = identity(self._params.run, self._origin)
        found = store.find_run(self._experiment, values.TRAINING_TAG, training)
        return (found.info.run_id, found.info.status) if found else None

    def _create(self) -> str:
        tags = values.tags(self._params, self._origin)
        tags["mlflow.parentRunId"] = self._experiment.sweep
        created = self._client.create_run(
            self._experiment.identifier, self._start, tags, self._params.run.name
        )
        run = created.info.run_id
        if not is_finished(self._folder.path):
            write_atomic(self._note, run)
        self._log_params(run, known={})
        return run

    def _forget_abandoned(self, own: tuple[str, str] | None) -> None:
        if not self._note.exists():
            return
        noted = self._note.read_text("utf-8")
        if own is None or noted != own[0]:
            with contextlib.suppress(self._mlflow.exceptions.MlflowException):  # of another store
                self._client.delete_run(noted)
            self._note.unlink()

    def _set_status(self, status: str, end: int) -> None:
        if status == RUNNING:
            if self._status != RUNNING:  # it was stopped and resumes
                self._client.update_run(self.run, status)
        else:
            self._client.set_terminated(self.run, status, end)
        self._status = status

    def _log_epochs(self, end: int) -> None:
        """Log the epochs that are missing there, spread evenly until ``end`` (ms since 1970)."""
        if not (self._folder.path / "metrics.csv").exists():
            return  # before the first epoch
        table = self._folder.metrics
        step = (end - self._start) / len(table)
        metrics = []
        for name in table.columns.drop("epoch"):
            if name not in self._logged:
                history = self._client.get_metric_history(self.run, name)
                self._logged[name] = {metric.step for metric in history}
            rows = table.loc[~table["epoch"].isin(self._logged[name]), ["epoch", name]].dropna()
            metrics += [
                (name, float(value), self._start + round(epoch * step), int(epoch))
                for epoch, value in rows.itertuples(index=False)
            ]
        self._log_metrics(metrics)
        for name, _, _, epoch in metrics:
            self._logged[name].add(epoch)

    def _log_result(self, end: int) -> None:
        """Log parameters, final metrics, the run folder, the confusion matrix and the model."""
        recorded = self._client.get_run(self.run).data
        self._log_params(self.run, recorded.params)
        summary = self._folder.summary
        final = values.final_metrics(summary).items()
        self._log_metrics([(n, v, end, 0) for n, v in final if n not in recorded.metrics])
        matrix = {"classes": self._params.classes, "rows": summary.final.confusion_matrix}
        self._client.log_dict(self.run, matrix, "confusion_matrix.json")
        with tempfile.TemporaryDirectory() as temporary:
            copy = Path(temporary) / "run"  # without what only an unfinished run needs
            copy.mkdir()
            for name in RUN_FILES:
                if (self._folder.path / name).exists():  # some travel without their weights
                    shutil.copyfile(self._folder.path / name, copy / name)
            self._client.log_artifacts(self.run, str(copy), "run")
            if (copy / WEIGHTS).exists() and not self._has_model():
                self._log_model(copy)

    def _has_model(self) -> bool:
        """Whether the run has a model there; one that a kill has left half made is deleted."""
        models = self._client.search_logged_models(
            [self._experiment.identifier], f"source_run_id = '{self.run}'"
        )
        for model in models:
            if model.status != "READY":
                self._client.delete_logged_model(model.model_id)
        return any(model.status == "READY" for model in models)

    def _log_model(self, folder: Path) -> None:
        # The signature says all; an example would make every run load its model again.
        warnings.filterwarnings("ignore", message=".*input example was not provided")
        served.log("model", folder, self.run)

    def _log_params(self, run: str, known: Container[str]) -> None:
        params = [
            self._mlflow.entities.Param(name, str(value))
            for name, value in flatten(self._params.content()).items()
            if name not in known
        ]
        self._client.log_batch(run, params=params)

    def _log_metrics(self, metrics: list[tuple[str, float, int, int]]) -> None:
        """Log (name, value, ms since 1970, step), as many at once as a request may carry."""
        entities = [self._mlflow.entities.Metric(*each) for each in metrics]
        for first in range(0, len(entities), BATCH):
            self._client.log_batch(self.run, entities[first : first + BATCH])
