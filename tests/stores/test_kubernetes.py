"""The study in pods that share no folder, with S3 between them; what its jobs ask a cluster for."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient
from pods import GPU, VERSION, Cluster, Pod
from services import BUCKET, KEY, SECRET, Server, Store, empty_database, running

from hdkd.files import sha256
from hdkd.study import plan
from project import ROOT, Project
from waiting import until

pytestmark = pytest.mark.stores

STUDENT = "models/demo/students/phantom/student-mbcsa-s2/n16/seed0"
RESULTS = ("models/demo/**/model.safetensors", "models/demo/**/predictions.csv",
           "reports/demo/accuracy/*.csv")  # fmt: skip


def checksums(folder: Path) -> dict[str, str]:
    """Of what decides every number."""
    paths = [path for pattern in RESULTS for path in folder.glob(pattern)]
    return {path.relative_to(folder).as_posix(): sha256(path) for path in paths}


@dataclass
class Study:
    """A project in a git repository, whose jobs run in the pods of a cluster."""

    project: Project
    cluster: Cluster
    store: Store
    server: Server  # of MLflow
    volume: Path  # which all pods mount

    def clone(self, folder: Path) -> "Study":
        """The same files in a folder in which nothing has been built."""
        project = Project(folder, self.project.parameters)
        project.run("git", "init", "--quiet")
        project.run("git", "add", "--all")
        return Study(project, self.cluster, self.store, self.server, self.volume)

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen]:
        """Snakemake; all that it says goes to ``snakemake.log``."""
        options = [
            "--envvars", "MLFLOW_TRACKING_URI", "HDKD_CHECKPOINTS",
            "--kubernetes-persistent-volumes", f"hdkd-checkpoints:{self.volume}",
            "--workflow-profile", "profiles/kubernetes", "--jobs", "2",
            "--seconds-between-status-checks", "1",
        ]  # fmt: skip
        environment = self.project.environment(
            KUBECONFIG=str(self.cluster.config),
            MLFLOW_TRACKING_URI=self.server.uri,
            HDKD_CHECKPOINTS=str(self.volume),
            SNAKEMAKE_STORAGE_S3_ENDPOINT_URL=self.store.endpoint,
            SNAKEMAKE_STORAGE_S3_ACCESS_KEY=KEY,
            SNAKEMAKE_STORAGE_S3_SECRET_KEY=SECRET,
        )
        with (self.project.folder / "snakemake.log").open("w") as log:
            run = subprocess.Popen(
                [sys.executable, "-m", "snakemake", *options, *arguments],
                cwd=self.project.folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            yield run
        finally:
            run.kill()
            run.wait()

    def run(self, *arguments: str) -> int:
        """Snakemake's exit code."""
        with self.running(*arguments) as run:
            return run.wait(timeout=600)

    @property
    def said(self) -> str:
        return (self.project.folder / "snakemake.log").read_text()

    @property
    def stored(self) -> Path:
        """What the profile's prefix is on the disk of the store."""
        return self.store.folder / BUCKET / "study"

    def pods(self, rule: str) -> list[Pod]:
        """The pods of a rule, the oldest first."""
        asked = f"--allowed-rules {rule} "
        return [pod for pod in self.cluster.seen if asked in pod.container["args"][1]]

    def training(self) -> Pod | None:
        """A student's pod that trains, with a checkpoint on the volume; or nothing."""
        if not any(self.volume.rglob("n16/seed0/checkpoint.bin")):
            return None
        alive = [pod for pod in self.pods("train_student") if pod.process.poll() is None]
        return alive[0] if alive else None


@pytest.fixture(scope="module")
def begun(tmp_path_factory, tiny_parameters: dict, store: Store) -> Iterator[Study]:
    """A study of three runs, whose student trains for long enough to be disturbed."""
    folder = tmp_path_factory.mktemp("kubernetes")
    parameters = json.loads(json.dumps(tiny_parameters))
    parameters["datasets"]["phantom"]["subsets"] = [16]
    parameters["student"]["demo"] |= {"epochs": 400, "evaluate_every": 100}
    project = Project(folder / "project", parameters)
    with empty_database() as database:
        server = Server(database, project.environment(**store.variables()))
        with running(server), running(Cluster(folder / "cluster")) as cluster:
            yield Study(project, cluster, store, server, folder / "volume").clone(folder / "clone")


@pytest.fixture(scope="module")
def study(begun: Study) -> Study:
    """The whole study, in which the node of a training was lost."""
    with begun.running("all") as run:
        until(lambda: begun.training() or run.poll() is not None, 300, "nothing trains")
        assert run.poll() is None, begun.said[-4000:]
        begun.training().lose()
        assert run.wait(timeout=600) == 0, begun.said[-4000:]
    return begun


def test_a_run_whose_node_is_lost_continues_from_the_volume_in_another_pod(study: Study):
    lost, again = study.pods("train_student")
    log = (study.stored / "logs" / f"{STUDENT}.log").read_text()
    [line] = re.findall(r"continues after epoch \d+", log)
    print(line)
    assert (lost.gone, again.gone) == (True, False)
    assert not any(study.volume.rglob("checkpoint.bin")), "removed at its end"


def test_numbers_are_those_of_one_machine(study: Study, tmp_path: Path):
    alone = Project(tmp_path / "alone", study.project.parameters)
    alone.snakemake("students", "reports/demo/accuracy/phantom.csv")
    found = checksums(study.stored)
    assert len(found) == 3 + 3 + 1
    assert found == checksums(alone.folder)


def test_a_folder_in_which_nothing_was_built_has_nothing_to_do(study: Study, tmp_path: Path):
    clone = study.clone(tmp_path / "clone")
    assert clone.run("--dry-run", "all") == 0
    assert "Nothing to be done" in clone.said


def test_changed_code_runs_its_steps_again_in_any_folder(study: Study, tmp_path: Path):
    clone = study.clone(tmp_path / "clone")
    with (clone.project.folder / "hdkd" / "report" / "page.html").open("a") as file:
        file.write("<!-- changed -->")
    assert clone.run("--dry-run", "all") == 0, clone.said
    planned = set(re.findall(r"^(\w+) +1$", clone.said.partition("Job stats:")[2], re.MULTILINE))
    assert planned == {"stamp", "page", "all"}


def test_mlflow_has_each_run_with_its_files(study: Study):
    client = MlflowClient(study.server.uri)
    experiment = client.get_experiment_by_name("hdkd-demo-phantom")
    found = client.search_runs([experiment.experiment_id])
    runs = [run for run in found if "role" in run.data.tags]
    assert sorted(run.data.tags["role"] for run in runs) == ["hdkd", "student", "teacher"]
    for run in runs:
        assert run.info.status == "FINISHED"
        files = client.list_artifacts(run.info.run_id, "run")
        assert {Path(each.path).name for each in files} >= set(plan.RUN_FILES)


def test_jobs_ask_for_memory_and_disk_and_have_secrets_by_reference_only(study: Study):
    """The schema has been looked at when they came."""
    for pod in study.cluster.seen:
        resources = pod.container["resources"]
        assert pod.container["image"] == "registry.example.org/hdkd:cpu"
        assert pod.container["workingDir"] == "/workdir"
        assert resources["requests"]["ephemeral-storage"] == "20000M"
        assert resources["limits"]["memory"] == resources["requests"]["memory"]
        assert int(resources["limits"].get(GPU, 0)) == 0
        assert SECRET not in json.dumps(pod.job)
    [prepare], trained = study.pods("prepare"), study.pods("train_student")
    memory = [p.container["resources"]["requests"]["memory"] for p in (prepare, *trained)]
    assert memory == ["8000M", "4000M", "8000M"], "twice as much at the second try"


def test_a_job_that_fails_says_why_in_the_store_and_the_same_command_goes_on(
    study: Study, tmp_path: Path
):
    """The plugin asks for the log of an earlier container, which a cluster refuses, and stops."""
    clone = study.clone(tmp_path / "clone")
    target = ["--forcerun", "train_student", "--", f"{STUDENT}/summary.json"]
    gpu = ["--set-resources", "train_student:gpu=1"]
    assert clone.run(*gpu, *target) == 1
    resources = study.pods("train_student")[-1].container["resources"]
    assert resources["requests"][GPU] == resources["limits"][GPU] == "1"
    log = (study.stored / "logs" / f"{STUDENT}.log").read_text()
    assert "error: this job was given a GPU (NVIDIA_VISIBLE_DEVICES=GPU-none)" in log
    before = len(study.cluster.seen)
    assert clone.run("--", f"{STUDENT}/summary.json") == 0
    assert len(study.cluster.seen) == before + 1


def test_the_claim_for_checkpoints_is_valid():
    claim = yaml.safe_load((ROOT / "deploy" / "checkpoints.yaml").read_text())
    import kubernetes_validate  # of the services' environment, not of the ordinary one

    kubernetes_validate.validate(claim, VERSION, strict=True)
