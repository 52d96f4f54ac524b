"""The study on a real SLURM of two nodes: jobs that are cancelled, cut off or lose their node."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from slurm import Slurm, output, states

from hdkd.files import sha256
from project import Project, parameters, tiny
from waiting import until

pytestmark = pytest.mark.cluster

# This SLURM keeps no accounts, and its jobs are short.
OPTIONS = [
    "--workflow-profile", "profiles/slurm", "--slurm-status-command", "squeue",
    "--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "5",
]  # fmt: skip
STUDENT = "models/demo/students/phantom/student-mbcsa-s2/n16/seed0"
ENDED_BY_TIME = 75  # seconds at least that a run has to take, of which SLURM gives it sixty
# Its second attempt has time enough, however busy the machine is.
MINUTES = "train_student:runtime=1 if attempt == 1 else 30"


def study(folder: Path, epochs: int) -> Project:
    """A teacher, students and HDKD on two sizes, which train for so many epochs."""
    chosen = tiny(parameters())
    chosen["ablations"]["demo"] |= {"variants": [], "distillation": None}
    chosen["baselines"]["demo"] = {"models": []}
    chosen["teacher"]["demo"]["epochs"] = epochs
    chosen["student"]["demo"] |= {"epochs": epochs, "epoch_images": 16}
    return Project(folder, chosen)


@contextmanager
def on_cluster(project: Project, *arguments: str) -> Iterator[subprocess.Popen]:
    """Snakemake that submits jobs; all that it says goes to ``snakemake.log``."""
    with (project.folder / "snakemake.log").open("w") as log:
        run = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *OPTIONS, *arguments],
            cwd=project.folder, env=project.environment(), stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        yield run
    finally:
        if run.poll() is None:
            run.kill()
            subprocess.run(["scancel", "--user", "root"], check=False)
            print(said(project)[-4000:])


def said(project: Project) -> str:
    return (project.folder / "snakemake.log").read_text()


def jobs(*options: str) -> dict[str, str]:
    """What SLURM's running jobs do (rule and wildcards), by their numbers."""
    command = ["squeue", "--noheader", "--states=RUNNING", "--format=%A %k", *options]
    return dict(line.split(maxsplit=1) for line in output(*command).splitlines())


def run_in_training(project: Project, *options: str, but: Path | None = None) -> tuple | None:
    """The number of a running job and its run folder, which has a checkpoint; or nothing."""
    running = jobs(*options)
    for path in project.folder.glob("models/demo/**/checkpoint.bin"):
        *_, group, dataset, model, subset, seed, _ = path.parts
        role, dash, variant = model.partition("-")
        wildcards = [group, dataset, role, dash + variant, subset[1:], seed.removeprefix("seed")]
        for number, what in running.items():
            if what.endswith("_".join(wildcards)) and path.parent != but:
                return number, path.parent
    return None


def log_of(project: Project, run: Path) -> str:
    """What the run's last job has said."""
    path = project.folder / "logs" / run.relative_to(project.folder)
    return path.with_name(f"{path.name}.log").read_text()


def results(project: Project) -> dict[str, str]:
    """Checksums of what decides every number: weights and predictions, and the tables."""
    paths = [
        *project.folder.glob("models/demo/**/model.safetensors"),
        *project.folder.glob("models/demo/**/predictions.csv"),
        *project.folder.glob("reports/demo/accuracy/*.csv"),
    ]
    return {path.relative_to(project.folder).as_posix(): sha256(path) for path in paths}


def test_a_study_survives_a_cancelled_job_and_a_lost_node_and_has_the_same_numbers(
    slurm: Slurm, tmp_path: Path
):
    project = study(tmp_path / "cluster", epochs=600)
    with on_cluster(project, "all") as run:
        number, cancelled = until(lambda: run_in_training(project), 240, "nothing trains")
        subprocess.run(["scancel", number], check=True)
        until(lambda: number not in jobs(), 60, "the job is not cancelled")
        _, lost = until(
            lambda: run_in_training(project, "--nodelist=n2", but=cancelled),
            240,
            "nothing else trains on n2",
        )
        slurm.kill_node("n2")
        until(lambda: states()["n2"].startswith("down"), 60, "SLURM does not miss the node")
        slurm.start_node("n2")
        assert run.wait(timeout=1200) == 0, said(project)[-4000:]
    for each in (cancelled, lost):
        [line] = re.findall("continues after epoch .*", log_of(project, each))
        print(each.relative_to(project.folder), line)

    alone = study(tmp_path / "alone", epochs=600)
    alone.snakemake("all")
    assert results(project) == results(alone)
    assert project.planned_rules() == set()


def test_a_run_that_its_time_limit_ends_continues(slurm: Slurm, tmp_path: Path):
    project = study(tmp_path / "cluster", epochs=50)
    project.snakemake(f"{STUDENT}/summary.json")
    table = pd.read_csv(project.folder / STUDENT / "metrics.csv")
    epochs = int(ENDED_BY_TIME * table["images_per_second"].iloc[10:].max() / 16)
    project = study(tmp_path / "long", epochs)
    limit = ["--set-resources", MINUTES]
    with on_cluster(project, *limit, "--", f"{STUDENT}/summary.json") as run:
        assert run.wait(timeout=1800) == 0, said(project)[-4000:]
    [line] = re.findall("continues after epoch .*", log_of(project, project.folder / STUDENT))
    print(line, "of", epochs)
    rows = (project.folder / STUDENT / "metrics.csv").read_text().splitlines()
    assert len(rows) == epochs + 1


def test_two_jobs_get_a_gpu_each_at_the_same_time_and_one_that_is_none_is_an_error(
    slurm: Slurm, tmp_path: Path
):
    project = study(tmp_path / "cluster", epochs=2)
    parameters = project.parameters
    parameters["sweep"]["shared"]["seeds"] = [0, 1]
    project.write(parameters)
    project.snakemake("data")
    gpus = ["--set-resources", "train_student:gpu=1", "--retries", "0", "--keep-going"]
    targets = [f"{STUDENT[:-1]}{seed}/summary.json" for seed in (0, 1)]
    most = 0
    with on_cluster(project, *gpus, "--", *targets) as run:
        while run.poll() is None:
            most = max(most, len(jobs()))
            time.sleep(0.2)
    assert most == 2
    assert run.returncode == 1
    for target in targets:
        log = log_of(project, (project.folder / target).parent)
        assert re.search("error: .*GPU", log), log
