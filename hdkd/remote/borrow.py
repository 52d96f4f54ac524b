"""What to train in a borrowed piece of time: the most valuable missing trainings that fit into it.

A thin layer over the workflow: it names targets, and Snakemake trains them. Every training knows when
the time ends (``HDKD_DEADLINE``), stops cleanly before it, and continues in the next piece.
"""

import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from hdkd.config import Settings
from hdkd.errors import RunError
from hdkd.report import cost, results
from hdkd.runs.evidence import counting, key_of, known
from hdkd.study import plan
from hdkd.study.plan import DEADLINE, RunKey
from hdkd.training.checkpoint import CHECKPOINT, epochs_in, is_locked

# Multiply-accumulates per second of a training, until a run on this machine has been measured.
FIRST_RATES = {"cuda": 4e12, "cpu": 2e10}
SETTLING_SECONDS = 20  # starting a job, and ending it


@dataclass(frozen=True)
class Job:
    """A missing training, what it is estimated to take on its own in seconds, and the teacher it needs."""

    run: RunKey
    seconds: float
    teacher: RunKey | None = None

    @property
    def begun(self) -> bool:
        return (self.run.folder / CHECKPOINT).exists()

    @property
    def running(self) -> bool:
        """Whether a process trains it now."""
        return self.begun and is_locked(self.run.folder)


def value_order(settings: Settings) -> list[RunKey]:
    """Every training of a study, the most valuable for the ledger first.

    Dataset by dataset the teacher, the tuning, then student and HDKD by subset with all seeds, because fewer than
    three decide no verdict; then the ablations of Tables 6 and 7, the rivals of Table 5, controls, and other
    distillations, each with its first seed before the others.
    """
    ordered = []
    for dataset in settings.study:
        ordered += plan.teacher_runs(settings, dataset)
        ordered += plan.tuning_runs(settings, dataset)
        ordered += plan.student_runs(settings, dataset)
    for runs in (plan.variant_runs, plan.baseline_runs, plan.control_runs, plan.point_runs):
        found = [run for dataset in settings.study for run in runs(settings, dataset)]
        first = {run.model: run.seed for run in reversed(found)}
        ordered += sorted(found, key=lambda run: run.seed != first[run.model])
    return list(dict.fromkeys(ordered))


def missing(settings: Settings, device: str) -> list[Job]:
    """The trainings that are neither finished here nor in the committed evidence, in order of value.

    Each with the time that what is left of it is estimated to take.

    Raises ``RunError`` where the data of a training have not been built.
    """
    folders = {name: plan.prepared(settings.profile, name) for name in settings.study}
    facts = {
        n: results.facts(settings, n) for n, f in folders.items() if (f / "split.json").exists()
    }
    images = {name: cost.images_of(settings, name, facts) for name in settings.study}
    for name in settings.study:
        if not images[name]:
            raise RunError(
                f"{folders[name]}/split.json is missing: build the data first (`snakemake --cores 4 data`)"
            )
    ordered = value_order(settings)
    # Others were made with other parameters.
    finished, _ = counting(settings, known(settings.profile))
    alike = [s for s in finished if (s["provenance"]["device"] == "cpu") == (device == "cpu")]
    rates = cost.Rates(settings, alike, facts)
    done = {key_of(summary) for summary in finished}
    jobs = []
    for run in ordered:
        if run not in done:
            rate = rates.of(run.role) or FIRST_RATES[device]
            seconds = cost.work(settings, run, images[run.dataset]) / rate
            training, _ = cost.length(settings, run, images[run.dataset])
            seconds *= 1 - epochs_in(run.folder / CHECKPOINT) / training.epochs
            teacher = None
            if run.role == "hdkd":
                teacher = plan.teacher_of(settings, run)
            jobs.append(Job(run, seconds + SETTLING_SECONDS, teacher))
    return jobs


def state(profile: str, jobs: list[Job], trainings: int) -> str:
    """``reduced: 12 of 54 trainings done, 2 running, 31.2 hours of training left``"""
    running, hours = sum(job.running for job in jobs), sum(job.seconds for job in jobs) / 3600
    done = trainings - len(jobs)
    return f"{profile}: {done} of {trainings} trainings done, {running} running, {hours:.1f} hours of training left"


def choose(jobs: list[Job], seconds: float, parallel: int) -> list[Job]:
    """The first jobs that can be begun within ``seconds`` on ``parallel`` places, the last ones in part.

    HDKD cannot be begun before its teacher is finished.
    """
    chosen: list[Job] = []
    free = [0.0] * parallel  # when each place is
    finished: dict[RunKey, float] = {}
    missing = {job.run for job in jobs}
    for job in jobs:
        ready = finished.get(job.teacher, math.inf) if job.teacher in missing else 0.0
        start = max(min(free), ready)
        if start < seconds:
            chosen.append(job)
            finished[job.run] = free[free.index(min(free))] = start + job.seconds
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
