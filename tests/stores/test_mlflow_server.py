"""Runs on an MLflow server with PostgreSQL and S3 behind it, each of which may be away."""

import json
import math
import re
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run
from services import SECRET, PostgreSQL, Server, Store, running

from hdkd.config import resolve
from hdkd.runs.folder import RunFolder
from hdkd.study import plan
from project import ROOT, Project

pytestmark = pytest.mark.stores

WRITERS = 8


@pytest.fixture
def project(tiny_parameters: dict, tmp_path: Path) -> Project:
    """A study of a teacher and eight students, not yet trained."""
    parameters = json.loads(json.dumps(tiny_parameters))
    parameters["datasets"]["phantom"]["subsets"] = [16]
    parameters["sweep"]["shared"]["seeds"] = list(range(WRITERS))
    parameters["student"]["demo"] |= {"epochs": 150, "evaluate_every": 50}
    return Project(tmp_path / "project", parameters)


def students(project: Project) -> list[Path]:
    """The run folders of the students alone."""
    runs = plan.student_runs(resolve(project.parameters), "phantom")
    return [project.folder / run.folder for run in runs if run.role == "student"]


def runs_by_name(uri: str) -> dict[str, Run]:
    """Every run of a network that the server knows, by its name."""
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("hdkd-demo-phantom")
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    return {run.info.run_name: run for run in found if "role" in run.data.tags}


def name_of(folder: Path) -> str:
    """What MLflow calls the run of a run folder."""
    return RunFolder(folder).params.run.name


def numbers(uri: str, run: Run) -> dict[str, list[tuple[int, float]]]:
    """Steps and values of each metric of a run."""
    client = MlflowClient(uri)
    return {
        name: sorted((m.step, m.value) for m in client.get_metric_history(run.info.run_id, name))
        for name in run.data.metrics
    }


def assert_whole(uri: str, folder: Path, run: Run) -> None:
    """A finished run with each number of its folder once, and its files."""
    assert run.info.status == "FINISHED"
    table = pd.read_csv(folder / "metrics.csv")
    found = numbers(uri, run)
    for name in table.columns.drop("epoch"):
        rows = table[table[name].notna()]
        assert [step for step, _ in found[name]] == rows["epoch"].tolist(), name
        assert math.isclose(found[name][-1][1], rows[name].iloc[-1], rel_tol=1e-9)
    files = MlflowClient(uri).list_artifacts(run.info.run_id, "run")
    assert {Path(each.path).name for each in files} >= set(plan.RUN_FILES)


@pytest.mark.parametrize("away", ["server", "database"])
def test_eight_runs_at_once_lose_nothing_while_something_is_away(
    project: Project, server: Server, database: PostgreSQL, away: str
):
    project.snakemake("data", "teacher", MLFLOW_TRACKING_URI=server.uri)
    folders = students(project)
    assert len(folders) == WRITERS
    targets = [f"{folder.relative_to(project.folder)}/summary.json" for folder in folders]
    training = subprocess.Popen(
        ["snakemake", "--cores", str(WRITERS), "--", *targets], cwd=project.folder,
        env=project.environment(MLFLOW_TRACKING_URI=server.uri),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not all((folder / "metrics.csv").exists() for folder in folders):
            assert training.poll() is None
            time.sleep(0.1)
        gone = {"server": server, "database": database}[away]
        gone.stop()
        time.sleep(8)
        gone.start()
        assert training.wait(timeout=300) == 0
    finally:
        training.kill()
    logs = [path.read_text() for path in project.folder.glob("logs/models/demo/students/**/*.log")]
    noticed = sum("warning: MLflow" in log for log in logs)
    print(f"{noticed} of {WRITERS} runs noticed that the {away} was away")
    assert noticed
    project.run("hdkd", "deliver", MLFLOW_TRACKING_URI=server.uri)
    found = runs_by_name(server.uri)
    for folder in folders:
        assert_whole(server.uri, folder, found[name_of(folder)])


def test_one_command_moves_a_study_from_sqlite_to_the_server(project: Project, server: Server):
    project.snakemake("students")
    sqlite = f"sqlite:///{project.folder}/mlflow/mlflow.db"
    before = runs_by_name(sqlite)
    assert len(before) == 2 * WRITERS + 1
    project.run("hdkd", "deliver", MLFLOW_TRACKING_URI=server.uri)
    after = runs_by_name(server.uri)
    assert before.keys() == after.keys()
    for name, run in before.items():
        assert numbers(sqlite, run) == numbers(server.uri, after[name]), name


@pytest.mark.parametrize("fault", ["wrong secret", "dead store"])
def test_a_store_that_takes_no_files_costs_no_run(
    project: Project, database: PostgreSQL, store: Store, fault: str
):
    """The run says so once; its files follow as soon as the store takes them."""
    variables = store.variables("another" if fault == "wrong secret" else SECRET)
    with running(Server(database, project.environment(**variables))) as server:
        if fault == "dead store":
            store.stop()
        try:
            result = project.snakemake("teacher", MLFLOW_TRACKING_URI=server.uri)
        finally:
            if fault == "dead store":
                store.start()
    assert (result.stdout + result.stderr).count("warning: MLflow") == 1
    with running(Server(database, project.environment(**store.variables()))) as server:
        project.run("hdkd", "deliver", MLFLOW_TRACKING_URI=server.uri)
        [folder] = project.folder.glob("models/demo/teacher/phantom/*/nall/seed0")
        assert_whole(server.uri, folder, runs_by_name(server.uri)[name_of(folder)])


def compose_setting(name: str) -> str:
    """A variable of the MLflow server in ``deploy/compose.yaml``, with the example's values."""
    services = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]
    example = (ROOT / "deploy" / ".env.example").read_text()
    values = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    value = services["mlflow"]["environment"][name]
    return re.sub(r"\$\{(\w+):\?\}", lambda found: values[found[1]], value)


def status_for(server: Server, host: str) -> int:
    """What the server answers to a list of experiments for which it is called ``host``."""
    address = f"{server.uri}/api/2.0/mlflow/experiments/search?max_results=1"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers={"Host": host})) as got:
            return got.status
    except urllib.error.HTTPError as error:
        return error.code


def test_the_server_answers_to_no_name_but_those_that_the_compose_file_gives_it(
    project: Project, database: PostgreSQL
):
    name = "MLFLOW_SERVER_ALLOWED_HOSTS"
    allowed = compose_setting(name)
    with running(Server(database, project.environment(**{name: allowed}))) as server:
        assert status_for(server, allowed) == 200
        assert status_for(server, "elsewhere.example.org") == 403
        assert status_for(server, f"127.0.0.1:{server.port}") == 403
