"""A tracking server that is away, goes away or never answers: runs end, and nothing is lost."""

import json
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from hdkd.config import resolve
from hdkd.study import plan
from project import Project
from waiting import answers, free_port, until

EPOCHS = 30
RUN = "models/demo/students/phantom/student-mbcsa-s2/n16/seed0"
TRAIN = [
    "hdkd", "train", "--dataset", "phantom", "--role", "student",
    "--subset", "16", "--threads", "1",
]  # fmt: skip


class Server:
    """An MLflow server that can be started and stopped, with one store."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.environment = folder, environment
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                "mlflow", "server", "--workers", "1",
                "--host", "127.0.0.1", "--port", str(self.port),
                "--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db",
                "--artifacts-destination", str(self.folder / "artifacts"),
            ],
            env=self.environment | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        until(lambda: answers(f"{self.uri}/health"), 60, "the server does not start")

    def stop(self) -> None:
        subprocess.run(["pkill", "-KILL", "-s", str(self.process.pid)], check=False)
        self.process.wait()

    @contextmanager
    def running(self):
        self.start()
        try:
            yield
        finally:
            self.stop()


@pytest.fixture
def project(built, tmp_path):
    """A copy of the built project, whose student is trained anew and for longer."""
    copy = tmp_path / "project"
    subprocess.run(["cp", "-r", str(built.folder), str(copy)], check=True)
    project = Project.existing(copy)
    parameters = built.parameters
    parameters["student"]["demo"] |= {"epochs": EPOCHS, "evaluate_every": 3}
    parameters["sweep"]["shared"]["seeds"] = [0]
    project.write(parameters)
    for run in plan.all_runs(resolve(parameters), "phantom"):
        shutil.rmtree(copy / run.folder)
    return project


@pytest.fixture
def server(project, tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    return Server(folder, project.environment())


def logged(uri: str) -> tuple[list, dict[str, list[int]]]:
    """The runs that the server knows, and the steps of each metric of the first."""
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("hdkd-demo-phantom")
    runs = [r for r in client.search_runs([experiment.experiment_id]) if "role" in r.data.tags]
    names = [
        n
        for n in runs[0].data.metrics
        if n.startswith(("train_", "validation_", "learning", "images"))
    ]
    identifier = runs[0].info.run_id
    return runs, {n: [m.step for m in client.get_metric_history(identifier, n)] for n in names}


def assert_whole(project, uri: str) -> None:
    """One run, finished, with each number of the run folder once."""
    runs, steps = logged(uri)
    assert [run.info.status for run in runs] == ["FINISHED"]
    table = pd.read_csv(project.folder / RUN / "metrics.csv")
    expected = {
        name: table["epoch"][table[name].notna()].tolist() for name in table.columns.drop("epoch")
    }
    assert {name: sorted(values) for name, values in steps.items()} == expected
    summary = json.loads((project.folder / RUN / "summary.json").read_text())
    assert runs[0].data.metrics["final_accuracy"] == summary["final"]["accuracy"]
    artifacts = mlflow.MlflowClient(uri).list_artifacts(runs[0].info.run_id, "run")
    assert {Path(each.path).name for each in artifacts} >= set(plan.RUN_FILES)


def test_a_server_that_goes_away_in_the_middle_gets_the_rest_later(project, server):
    variables = {"MLFLOW_TRACKING_URI": server.uri}
    with server.running():
        training = subprocess.Popen(
            TRAIN, cwd=project.folder, env=project.environment(**variables),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        for line in training.stdout:
            if " epoch 3/" in line:
                break
    _, errors = training.communicate()
    assert training.returncode == 0
    assert errors.count("warning: MLflow at") == 1
    assert "`hdkd deliver` gives it later what it misses" in errors
    with server.running():
        assert "1 runs, 1 reports, 0 models" in project.run("hdkd", "deliver", **variables).stdout
        assert_whole(project, server.uri)
        assert "0 runs, 0 reports, 0 models" in project.run("hdkd", "deliver", **variables).stdout
        assert_whole(project, server.uri)


@pytest.mark.slow
def test_a_server_that_is_back_before_the_end_misses_nothing(project, server, tmp_path):
    variables = {"MLFLOW_TRACKING_URI": server.uri}
    parameters = project.parameters
    parameters["student"]["demo"] |= {"epochs": 5000, "evaluate_every": 2500}
    project.write(parameters)
    printed = tmp_path / "printed"
    with server.running(), printed.open("w") as file:
        training = subprocess.Popen(
            TRAIN, cwd=project.folder, env=project.environment(**variables),
            stdout=file, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        while " epoch 100/" not in printed.read_text():
            time.sleep(0.1)
    assert training.stderr.readline().startswith("warning: MLflow at")
    training.send_signal(signal.SIGSTOP)  # so that it is not over before the server is back
    with server.running():
        training.send_signal(signal.SIGCONT)
        _, errors = training.communicate()
        assert training.returncode == 0
        assert "warning" not in errors
        assert_whole(project, server.uri)


def test_a_report_that_was_written_in_an_outage_is_delivered_later_once(built, tmp_path):
    copy = tmp_path / "project"
    subprocess.run(["cp", "-r", str(built.folder), str(copy)], check=True)
    project = Project.existing(copy)
    folder = tmp_path / "server"
    folder.mkdir()
    server = Server(folder, project.environment())
    variables = {"MLFLOW_TRACKING_URI": server.uri}
    page = project.run("hdkd", "page", **variables)
    assert page.stderr.count("warning: MLflow at") == 1
    with server.running():
        assert "10 runs, 1 reports, 1 models" in project.run("hdkd", "deliver", **variables).stdout
        assert "0 runs, 0 reports, 0 models" in project.run("hdkd", "deliver", **variables).stdout
        project.run("hdkd", "page", **variables)  # another page: the hour is in it
        client = mlflow.MlflowClient(server.uri)
        experiment = client.get_experiment_by_name("hdkd-demo-phantom")
        (sweep,) = client.search_runs([experiment.experiment_id], "tags.`hdkd.sweep` = 'true'")
        names = {file.path for file in client.list_artifacts(sweep.info.run_id, "report")}
        assert "report/report.html" in names
        assert sweep.data.metrics
        for name in sweep.data.metrics:
            assert len(client.get_metric_history(sweep.info.run_id, name)) == 1, name


def test_a_server_that_is_away_from_the_start_gets_everything_later(project, server):
    variables = {"MLFLOW_TRACKING_URI": server.uri}
    result = project.run(*TRAIN, **variables)
    assert result.stderr.count("warning: MLflow at") == 1
    refused = project.run("hdkd", "deliver", check=False, **variables)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: MLflow at {server.uri} is out of reach")
    assert "Traceback" not in refused.stderr
    with server.running():
        project.run("hdkd", "deliver", **variables)
        assert_whole(project, server.uri)


def test_a_server_that_never_answers_costs_a_bounded_time(project):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        result = project.run(*TRAIN, MLFLOW_TRACKING_URI=uri, MLFLOW_HTTP_REQUEST_TIMEOUT="2")
    assert result.stderr.count("warning: MLflow at") == 1
    # Two attempts of two seconds and a pause between them, once; the rest is the training itself.
    assert time.monotonic() - started < 45


def test_eight_trainings_at_once_lose_nothing_in_one_sqlite_file(project, tmp_path):
    variables = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/shared.db"}
    runs = [
        subprocess.Popen(
            [*TRAIN, "--seed", str(seed), "--output", str(tmp_path / f"run-{seed}")],
            cwd=project.folder, env=project.environment(**variables),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for seed in range(8)
    ]  # fmt: skip
    errors = [training.communicate()[1] for training in runs]
    assert [training.returncode for training in runs] == [0] * 8
    assert not [text for text in errors if "warning" in text]
    client = mlflow.MlflowClient(variables["MLFLOW_TRACKING_URI"])
    experiment = client.get_experiment_by_name("hdkd-demo-phantom")
    runs = [r for r in client.search_runs([experiment.experiment_id]) if "role" in r.data.tags]
    assert sorted(run.data.tags["seed"] for run in runs) == list("01234567")
    for run in runs:
        assert run.info.status == "FINISHED"
        history = client.get_metric_history(run.info.run_id, "train_loss")
        assert sorted(metric.step for metric in history) == list(range(1, EPOCHS + 1))
