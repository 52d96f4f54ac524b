"""The study on a real SLURM of two nodes: jobs that are cancelled, cut off or lose their node."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from slurm import Slurm, output, states, until

from hdkd.files import sha256
from project import Project, parameters, tiny

pytestmark = pytest.mark.cluster

# This SLURM keeps no accounts, and its jobs are short.
OPTIONS = [
    "--workflow-profile", "profiles/slurm", "--slurm-status-command", "squeue",
    "--slurm-init-seconds-before-status-checks", "3", "--seconds-between-status-checks", "2",
    "--latency-wait", "5",
]  # fmt: skip
STUDENT = "models/demo/students/phantom/student-mbcsa-s2/n16/seed0"


def study(folder: Path, epochs: int) -> Project:
    """A tiny study whose students train for so many epochs."""
    chosen = tiny(parameters())
    chosen["teacher"]["demo"]["epochs"] = epochs
    chosen["student"]["demo"] |= {"epochs": epochs, "epochs_on_all": 2}
    return Project(folder, chosen)


def on_cluster(project: Project, *arguments: str, **variables: str) -> subprocess.Popen:
    """Snakemake that submits jobs; all that it says goes to ``snakemake.log``."""
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", *OPTIONS, *arguments],
        cwd=project.folder, env=project.environment(**variables),
        stdout=(project.folder / "snakemake.log").open("w"), stderr=subprocess.STDOUT,
    )  # fmt: skip


def said(project: Project) -> str:
    return (project.folder / "snakemake.log").read_text()


def jobs(*options: str) -> dict[str, str]:
    """What SLURM's running jobs do (rule and wildcards), by their numbers."""
    command = ["squeue", "--noheader", "--states=RUNNING", "--format=%A %k", *options]
    return dict(line.split(maxsplit=1) for line in output(*command).splitlines())


def job_in_training(folder: Path, *options: str) -> str | None:
    """A running job whose training has a checkpoint, or nothing."""
    begun = set()
    for path in folder.glob("models/demo/**/checkpoint.bin"):
        *_, group, dataset, model, subset, seed, _ = path.parts
        role, _, variant = model.partition("-")
        wildcards = [group, dataset, role, f"-{variant}", subset[1:], seed.removeprefix("seed")]
        begun.add("_".join(wildcards))
    found = [job for job, what in jobs(*options).items() if what.endswith(tuple(begun))]
    return found[0] if begun and found else None


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
    run = on_cluster(project, "all")
    until(lambda: job_in_training(project.folder), 180, said(project))
    cancelled = job_in_training(project.folder)
    subprocess.run(["scancel", cancelled], check=True)
    until(lambda: cancelled not in jobs(), 60, "the job is not cancelled")
    until(lambda: job_in_training(project.folder, "--nodelist=n2"), 180, said(project))
    lost = job_in_training(project.folder, "--nodelist=n2")
    slurm.kill_node("n2")
    until(lambda: states()["n2"].startswith("down"), 60, "SLURM does not miss the node")
    slurm.start_node("n2")
    assert run.wait(timeout=900) == 0, said(project)[-4000:]
    text = said(project)
    print("\n".join(line for line in text.splitlines() if "restart" in line or "steps (" in line))
    assert "Trying to restart" in text
    assert lost != cancelled
    logs = "".join(path.read_text() for path in project.folder.glob("logs/models/**/*.log"))
    assert logs.count("continues after epoch") >= 2, "both go on from their checkpoints"

    alone = study(tmp_path / "alone", epochs=600)
    alone.snakemake("all")
    assert results(project) == results(alone)
    assert project.planned_rules() == set()


def test_a_training_that_its_time_limit_ends_goes_on(slurm: Slurm, tmp_path: Path):
    project = study(tmp_path / "cluster", epochs=6000)
    limit = ["--set-resources", "train_student:runtime=1"]
    run = on_cluster(project, *limit, "--", f"{STUDENT}/summary.json")
    assert run.wait(timeout=600) == 0, said(project)[-4000:]
    assert "Trying to restart" in said(project)
    log = (project.folder / f"logs/{STUDENT}.log").read_text()
    print(*re.findall("continues after epoch .*", log), sep="\n")
    assert "continues after epoch" in log
    rows = (project.folder / STUDENT / "metrics.csv").read_text().splitlines()
    assert len(rows) == 4001


def test_nodes_train_on_their_gpus_at_the_same_time_and_a_broken_one_is_an_error(
    slurm: Slurm, tmp_path: Path
):
    """The GPUs here are none, which a training must not pass over in silence."""
    project = study(tmp_path / "cluster", epochs=2)
    parameters = project.parameters
    parameters["sweep"]["shared"]["seeds"] = [0, 1]
    project.write(parameters)
    project.snakemake("data")
    gpus = ["--set-resources", "train_student:gpu=1", "--retries", "0", "--keep-going"]
    targets = [f"{STUDENT[:-1]}{seed}/summary.json" for seed in (0, 1)]
    run = on_cluster(project, *gpus, "--", *targets)
    most = 0
    while run.poll() is None:
        most = max(most, len(jobs()))
        time.sleep(0.2)
    assert most == 2
    assert run.returncode == 1
    log = (project.folder / f"logs/{STUDENT}.log").read_text()
    assert re.search("error: .*GPU", log), log
