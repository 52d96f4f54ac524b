"""A run that is killed continues and ends as if it had not been."""

import copy
import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from subprocess import CompletedProcess

import mlflow
import pandas as pd
import pytest
import yaml

from hdkd.study import plan
from project import Project

EPOCHS = 40


@pytest.fixture(scope="module")
def command(built, tmp_path_factory) -> list[str]:
    """A run of HDKD long enough to be killed in."""
    parameters = built.parameters
    parameters["student"]["demo"] |= {"epochs": EPOCHS, "evaluate_every": 3}
    path = tmp_path_factory.mktemp("interruption") / "params.yaml"
    path.write_text(yaml.safe_dump(parameters))
    teacher = "models/demo/teacher/phantom/teacher-mbcsa-s2/nall/seed0"
    return [
        "hdkd", "train", "--params", str(path), "--dataset", "phantom", "--role", "hdkd",
        "--subset", "16", "--teacher", teacher, "--threads", "1", "--output",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> dict[str, str]:
    """A tracking store of these tests alone, as a variable."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{path}"}


@pytest.fixture(scope="module")
def undisturbed(built, store, command, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    built.run(*command, str(folder), **store)
    return folder


def interrupt(built, store, command, folder, after_epochs, *numbers) -> CompletedProcess:
    """Start a run, send the signals after so many more epochs, and wait for its end."""
    metrics = folder / "metrics.csv"
    process = subprocess.Popen(
        [*command, str(folder)], cwd=built.folder, env=built.environment(**store),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    seen = 0
    for line in process.stdout:
        seen += " epoch " in line and "/" in line
        if seen == after_epochs:
            for number in numbers:
                process.send_signal(number)
                time.sleep(0.05)
            break
    rest, errors = process.communicate()
    assert metrics.exists()
    return CompletedProcess(process.args, process.returncode, rest, errors)


def assert_same(run, expected) -> None:
    assert (run / "model.safetensors").read_bytes() == (expected / "model.safetensors").read_bytes()
    assert (run / "predictions.csv").read_bytes() == (expected / "predictions.csv").read_bytes()
    one, other = (
        pd.read_csv(folder / "metrics.csv").drop(columns="images_per_second")
        for folder in (run, expected)
    )
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    results = [json.loads((folder / "summary.json").read_text()) for folder in (run, expected)]
    for name in ("final", "validation", "kept", "epochs", "parameters", "data"):
        assert results[0][name] == results[1][name]


def test_a_training_killed_three_times_ends_with_the_same_run_folder(
    built, store, command, undisturbed, tmp_path
):
    folder = tmp_path / "run"
    for epochs in (3, 10, 1):
        interrupt(built, store, command, folder, epochs, signal.SIGKILL)
        assert (folder / "checkpoint.bin").exists()
    output = built.run(*command, str(folder), **store).stdout
    assert "continues after epoch" in output
    assert_same(folder, undisturbed)
    assert sorted(path.name for path in folder.iterdir()) == sorted(plan.RUN_FILES)
    run = json.loads((folder / "summary.json").read_text())["mlflow_run"]
    mlflow.set_tracking_uri(store["MLFLOW_TRACKING_URI"])
    history = mlflow.MlflowClient().get_metric_history(run, "train_loss")
    assert sorted(metric.step for metric in history) == list(range(1, EPOCHS + 1))
    assert mlflow.MlflowClient().get_run(run).info.status == "FINISHED"


def trainings_in_mlflow(store) -> pd.DataFrame:
    mlflow.set_tracking_uri(store["MLFLOW_TRACKING_URI"])
    runs = mlflow.search_runs(experiment_names=["hdkd-demo-phantom"])
    return runs[runs["tags.mlflow.parentRunId"].notna()]


def deliver(built, store, folder) -> None:
    """What the workflow's last step does with a finished run folder."""
    command = (
        "from pathlib import Path; from hdkd.tracking.mirror import deliver\n"
        f"deliver([Path({str(folder)!r})])"
    )
    built.run("python", "-c", command, **store)


def test_a_training_killed_before_its_first_checkpoint_stands_once_in_mlflow(
    built, store, command, tmp_path
):
    before = len(trainings_in_mlflow(store))
    folder = tmp_path / "run"
    interrupt(built, store, command, folder, 1, signal.SIGKILL)
    (folder / "checkpoint.bin").unlink(missing_ok=True)  # as if it had been killed a moment earlier
    assert len(trainings_in_mlflow(store)) == before + 1
    built.run(*command, str(folder), **store)
    runs = trainings_in_mlflow(store)
    assert len(runs) == before + 1
    assert json.loads((folder / "summary.json").read_text())["mlflow_run"] in set(runs["run_id"])
    assert sorted(path.name for path in folder.iterdir()) == sorted(plan.RUN_FILES)


def test_it_stands_once_too_where_mlflow_was_out_of_reach_the_second_time(
    built, store, command, tmp_path
):
    before = len(trainings_in_mlflow(store))
    folder = tmp_path / "run"
    interrupt(built, store, command, folder, 1, signal.SIGKILL)
    (folder / "checkpoint.bin").unlink(missing_ok=True)
    built.run(*command, str(folder), "--no-tracking")
    assert len(trainings_in_mlflow(store)) == before + 1
    deliver(built, store, folder)
    runs = trainings_in_mlflow(store)
    assert len(runs) == before + 1
    assert "FINISHED" in set(runs["status"])
    assert sorted(path.name for path in folder.iterdir()) == sorted(plan.RUN_FILES)


def test_a_finished_training_whose_note_was_left_keeps_its_run(built, store, undisturbed, tmp_path):
    folder = shutil.copytree(undisturbed, tmp_path / "run")
    own = json.loads((folder / "summary.json").read_text())["mlflow_run"]
    (folder / "mlflow_run.txt").write_text(own)  # killed after its summary was written
    deliver(built, store, folder)
    assert own in set(trainings_in_mlflow(store)["run_id"])
    assert not (folder / "mlflow_run.txt").exists()


def test_what_was_made_with_other_settings_is_not_thrown_away(built, store, command, tmp_path):
    folder = tmp_path / "run"
    interrupt(built, store, command, folder, 3, signal.SIGKILL)
    before = (folder / "checkpoint.bin").read_bytes()
    parameters = yaml.safe_load(Path(command[3]).read_text())
    parameters["student"]["demo"]["lr"] = 0.0007
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(parameters))
    changed = [*command[:3], str(other), *command[4:], str(folder)]
    result = built.run(*changed, check=False, **store)
    assert result.returncode == 2
    assert "checkpoint.bin was made with training.lr 0.004 instead of 0.0007" in result.stderr
    assert (folder / "checkpoint.bin").read_bytes() == before
    assert "continues" not in built.run(*changed, "--restart", **store).stdout
    assert json.loads((folder / "params.json").read_text())["training"]["lr"] == 0.0007


def test_it_continues_where_the_teacher_is_spelled_otherwise_and_a_switch_changes_no_number(
    built, store, command, undisturbed, tmp_path
):
    folder = tmp_path / "run"
    interrupt(built, store, command, folder, 3, signal.SIGKILL)
    parameters = yaml.safe_load(Path(command[3]).read_text())
    engine = parameters["engine"]["shared"]
    engine["cuda_graph"] = not engine["cuda_graph"]
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(parameters))
    teacher = command.index("--teacher") + 1
    changed = [*command[:3], str(other), *command[4:], str(folder)]
    changed[teacher] = str(built.folder / command[teacher])
    assert "continues after epoch" in built.run(*changed, **store).stdout
    weights = [(f / "model.safetensors").read_bytes() for f in (folder, undisturbed)]
    assert weights[0] == weights[1]


def test_sigterm_stops_with_a_code_of_its_own_and_without_a_traceback(
    built, store, command, tmp_path
):
    folder = tmp_path / "run"
    metrics = folder / "metrics.csv"
    # Clusters send it to all processes, and what started the run passes it on.
    process = interrupt(built, store, command, folder, 2, signal.SIGTERM, signal.SIGTERM)
    assert process.returncode == 75
    assert "Traceback" not in process.stderr
    assert 2 <= len(pd.read_csv(metrics)) < EPOCHS
    assert (folder / "checkpoint.bin").exists()


def test_a_time_budget_is_kept_and_used(built, store, command, undisturbed, tmp_path):
    folder = tmp_path / "run"
    started = time.monotonic()
    result = built.run(*command, str(folder), "--time-budget", "0.0001", check=False, **store)
    assert result.returncode == 75
    assert result.stderr.splitlines()[-1].endswith(
        f"the time budget ends after epoch 1 of {EPOCHS}; the same command continues it"
    )
    assert time.monotonic() - started < 120
    built.run(*command, str(folder), **store)
    assert_same(folder, undisturbed)


def test_snakemake_continues_a_training_that_was_stopped_with_sigterm(tmp_path, tiny_parameters):
    parameters = copy.deepcopy(tiny_parameters)
    parameters["student"]["demo"] |= {"epochs": 400, "evaluate_every": 100}
    project = Project(tmp_path / "project", parameters)
    run = "models/demo/students/phantom/student-mbcsa-s2/n16/seed0"
    workflow = subprocess.Popen(
        ["snakemake", "--cores", "1", "--retries", "1", f"{run}/summary.json"],
        cwd=project.folder, env=project.environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (project.folder / run / "checkpoint.bin").exists():
        assert workflow.poll() is None
        time.sleep(0.05)
    pattern = f"bin/hdkd --log .* train .*--output {run}"
    subprocess.run(["pkill", "-TERM", "-s", str(workflow.pid), "-f", pattern], check=True)
    errors = workflow.communicate()[1]
    assert workflow.returncode == 0, errors
    assert "stopped by SIGTERM; the same command continues it" in errors
    assert "continues after epoch" in (project.folder / f"logs/{run}.log").read_text()
    assert len(pd.read_csv(project.folder / run / "metrics.csv")) == 400


def test_a_stopped_teacher_is_not_continued_with_another_arithmetic_of_smote(built, tmp_path):
    parameters = built.parameters
    paths = {}
    for arithmetic in ("exact", "wrapped"):
        parameters["smote"]["shared"]["arithmetic"] = arithmetic
        paths[arithmetic] = tmp_path / f"{arithmetic}.yaml"
        paths[arithmetic].write_text(yaml.safe_dump(parameters))

    def train(arithmetic: str, *more: str) -> subprocess.CompletedProcess:
        return built.run(
            "hdkd", "train", "--params", str(paths[arithmetic]), "--dataset", "phantom",
            "--role", "teacher", "--recipes", "data/prepared/demo/phantom/smote.csv",
            "--no-tracking", "--output", str(tmp_path / "run"), *more, check=False,
        )  # fmt: skip

    assert train("exact", "--time-budget", "0").returncode == 75
    result = train("wrapped")
    assert result.returncode == 2
    assert "data.arithmetic exact instead of wrapped" in result.stderr
