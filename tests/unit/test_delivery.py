"""Delivering many runs to MLflow, killed at any moment and called again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hdkd.runs.folder import RunFolder
from hdkd.study.key import RunKey
from hdkd.tracking import mirror, store, values
from project import ROOT
from small import ORIGIN, PROVENANCE, params_of, summary_of

SEEDS = 3
EPOCHS = 2
# Delivers, and dies when this has been called so often.
DYING = """
import os, sys
from pathlib import Path
from hdkd.tracking import mirror
CLIENT = mirror.store.connect().MlflowClient
kind, name, calls = {place}, {name!r}, []
whole = getattr(kind, name)
def dying(*arguments, **options):
    calls.append(name)
    if len(calls) == {count}:
        os._exit(9)
    return whole(*arguments, **options)
setattr(kind, name, dying)
mirror.deliver(map(Path, sys.argv[1:]))
"""


def finished_runs(place: Path) -> list[Path]:
    """Run folders of as many seeds, with weights."""
    folders = []
    for seed in range(SEEDS):
        key = RunKey("demo", "noise", "students", "student", "all", seed)
        folder = RunFolder(place / str(seed))
        folder.start(params_of("student", run=key))
        for epoch in range(1, EPOCHS + 1):
            folder.append_metrics({"epoch": epoch, "train_loss": 1 / epoch})
        (folder.path / "predictions.csv").write_text("")
        (folder.path / "model.safetensors").write_text("")
        folder.write_summary(summary_of(key, provenance=PROVENANCE | ORIGIN))
        folders.append(folder.path)
    return folders


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "moment"),
    [
        ("a run that is half created", ("mirror.Mirror", "_log_params", 3)),
        ("a run without its model", ("mirror.Mirror", "_log_model", 2)),
        ("a model without its files", ("CLIENT", "log_model_artifacts", 2)),
        # Those before are of the sweep, and two of the first run: MLflow's own, and ours.
        ("a run with all but its end", ("CLIENT", "set_terminated", 4)),
    ],
)
def test_a_killed_delivery_is_continued_and_adds_nothing_twice(monkeypatch, tmp_path, what, moment):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    folders = finished_runs(tmp_path)
    place, name, count = moment
    dying = DYING.format(place=place, name=name, count=count)
    command = [sys.executable, "-c", dying, *map(str, folders)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 9

    assert mirror.deliver(folders) == SEEDS - 1, "the first had been delivered"
    assert mirror.deliver(folders) == 0

    mlflow = store.connect()
    client = mlflow.MlflowClient()
    experiment = store.find_experiment("demo", "noise").identifier
    runs = client.search_runs([experiment], f"tags.`{values.TRAINING_TAG}` LIKE '%'")
    assert sorted(run.data.tags["seed"] for run in runs) == [*map(str, range(SEEDS))]
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "train_loss")
        assert [metric.step for metric in history] == [1, 2]
    models = client.search_logged_models([experiment])
    assert sorted(model.source_run_id for model in models) == sorted(r.info.run_id for r in runs)
    assert {str(model.status) for model in models} == {"READY"}
