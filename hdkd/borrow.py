"""What to train in a borrowed piece of time: the most valuable missing trainings that fit into it.

A thin layer over the workflow: it names targets, and Snakemake trains them. Every training knows when
the time ends (``HDKD_DEADLINE``), stops cleanly before it, and continues in the next piece.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from hdkd import plan
from hdkd.config import Settings
from hdkd.errors import RunError
from hdkd.plan import DEADLINE, RunKey
from hdkd.report.results import macs
from hdkd.training.run_folder import RunFolder

# Multiply-accumulates per second of a training, until a run on this machine has been measured.
FIRST_RATES = {"cuda": 4e12, "cpu": 2e10}
SETTLING_SECONDS = 20  # starting a job, and ending it


@dataclass(frozen=True)
class Job:
    """A missing training and what it is estimated to take on its own, in seconds."""

    run: RunKey
    seconds: float

    @property
    def begun(self) -> bool:
        return (self.run.folder / "checkpoint.bin").exists()


def value_order(settings: Settings) -> list[RunKey]:
    """Every training of a study, the most valuable for the ledger first.

    Dataset by dataset the teacher, then student and HDKD by subset; then the ablations of Tables 6
    and 7, the rivals of Table 5, further seeds, and other distillations.
    """
    datasets = settings.study
    seed = settings.seeds[0]
    ordered = []
    for dataset in datasets:
        ordered += plan.teacher_runs(settings, dataset)
        ordered += [r for r in plan.student_runs(settings, dataset) if r.seed == seed]
    for runs in (plan.variant_runs, plan.baseline_runs, plan.student_runs, plan.point_runs):
        ordered += [run for dataset in datasets for run in runs(settings, dataset)]
    return list(dict.fromkeys(ordered))


def training_macs(settings: Settings, run: RunKey) -> float:
    """Multiply-accumulates of a whole training: a backward pass costs twice a forward one."""
    images = training_images(settings, run)
    classes = len(settings.dataset(run.dataset)["classes"] or "00")
    step = 3 * macs(settings, run, classes)
    if run.role == "hdkd":
        teacher = plan.teacher_of(settings, run.dataset, run.block, run.stem_stride)
        step += macs(settings, teacher, classes)
    epochs = settings.training(run.role, run.subset, run.dataset).epochs
    return float(epochs * images * step)


def training_images(settings: Settings, run: RunKey) -> int:
    """Images of an epoch, with SMOTE's for a teacher."""
    if run.subset != "all":
        return int(run.subset)
    folder = plan.prepared(settings.profile, run.dataset)
    split = folder / "split.csv"
    if not split.exists():
        raise RunError(f"{split} is missing: build the data first (`snakemake --cores 4 data`)")
    images = int((pd.read_csv(split, usecols=["part"])["part"] == "train").sum())
    recipes = folder / "smote.csv"
    if run.role == "teacher" and recipes.exists():
        images += len(pd.read_csv(recipes, usecols=["label"]))
    return images


def measured_rate(settings: Settings, device: str) -> float:
    """Multiply-accumulates per second of the finished trainings of this profile on such a device."""
    rates = []
    for run in value_order(settings):
        if not plan.is_finished(run.folder):
            continue
        made = RunFolder(run.folder).summary["provenance"]
        if (made["device"] == "cpu") == (device == "cpu"):
            rates.append(training_macs(settings, run) / made["duration_seconds"])
    return float(np.median(rates)) if rates else FIRST_RATES[device]


def missing(settings: Settings, device: str) -> list[Job]:
    """The trainings that are not finished, in order of value, each with its estimated time."""
    rate = measured_rate(settings, device)
    return [
        Job(run, training_macs(settings, run) / rate + SETTLING_SECONDS)
        for run in value_order(settings)
        if not plan.is_finished(run.folder)
    ]


def choose(jobs: list[Job], seconds: float, parallel: int) -> list[Job]:
    """The first jobs that fill ``seconds`` on ``parallel`` places, the last one perhaps in part."""
    chosen: list[Job] = []
    room = seconds * parallel
    for job in jobs:
        if room <= 0:
            break
        chosen.append(job)
        room -= job.seconds
    return chosen


def train(jobs: list[Job], profile: str, seconds: float, parallel: int, cores: int) -> list[Job]:
    """Have Snakemake train ``jobs`` for ``seconds``; returns those that are not finished then.

    Raises ``RunError`` naming a training that failed for another reason than time.
    """
    environment = {**os.environ, DEADLINE: str(time.time() + seconds - SETTLING_SECONDS)}
    targets = [(job.run.folder / "summary.json").as_posix() for job in jobs]
    binary = Path(sys.executable).with_name("snakemake")
    command = [
        str(binary) if binary.exists() else "snakemake",
        "--cores", str(cores), "--scheduler", "greedy", "--keep-going",
        "--resources", f"gpu={parallel}",
        "--config", f"profile={profile}", "--", *targets,
    ]  # fmt: skip
    code = subprocess.run(command, env=environment).returncode
    left = [job for job in jobs if not plan.is_finished(job.run.folder)]
    for job in left:
        reason = failure(job.run)
        if reason:
            raise RunError(f"the training {job.run.name} failed: {reason}")
    if code and not left:
        raise RunError(f"Snakemake ended with the code {code}: its messages stand above")
    return left


def failure(run: RunKey) -> str | None:
    """Why a training failed, by the last line of its log; ``None`` for one that ran out of time."""
    log = Path("logs") / run.folder.with_name(f"{run.folder.name}.log")
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    last = lines[-1] if lines else ""
    if last.startswith("error: "):
        return last.removeprefix("error: ")
    return last if any(line.startswith("Traceback") for line in lines) else None
