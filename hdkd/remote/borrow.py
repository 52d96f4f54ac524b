"""What to train in a borrowed piece of time: the most valuable missing trainings that fit into it.

A thin layer over the workflow: it names targets, and Snakemake trains them. Every training knows
when the time ends (``HDKD_DEADLINE``), stops cleanly before it, and continues in the next piece.
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
from hdkd.remote.bundle import write_bundle
from hdkd.report import cost, results
from hdkd.runs.evidence import counting, key_of, known
from hdkd.study import plan
from hdkd.study.plan import DEADLINE, RunKey
from hdkd.training.checkpoint import CHECKPOINT, epochs_in, is_locked
from hdkd.training.job import choose_device

# Multiply-accumulates per second of a training, until a run on this machine has been measured.
FIRST_RATES = {"cuda": 4e12, "cpu": 2e10}
SETTLING_SECONDS = 20  # starting a job, and ending it


@dataclass(frozen=True)
class Job:
    """A missing training, what it is estimated to take in seconds, and the teacher it needs."""

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

    Dataset by dataset the teacher, the tuning, then student and HDKD by subset with all seeds,
    because fewer than three decide no verdict; then the ablations of Tables 6 and 7, the rivals of
    Table 5, controls, and other distillations, each with its first seed before the others.
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
    """The trainings neither finished here nor in the committed evidence, in order of value.

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
                f"{folders[name]}/split.json is missing: build the data first "
                "(`snakemake --cores 4 data`)"
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


def choose(jobs: list[Job], seconds: float, parallel: int) -> list[Job]:
    """The first jobs to begin within ``seconds`` on ``parallel`` places, the last ones in part.

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


@dataclass(frozen=True)
class Piece:
    """A piece of ``seconds`` on a machine: a study's missing trainings, and those chosen."""

    settings: Settings
    seconds: float
    parallel: int
    cores: int
    missing: list[Job]
    chosen: list[Job]

    @classmethod
    def plan(cls, settings: Settings, seconds: float, parallel: int | None, cores: int) -> "Piece":
        """Choose for ``cores`` CPU cores, and ``parallel`` trainings at once, or as many as fit."""
        device = choose_device("auto")
        parallel = parallel or (1 if device == "cuda" else cores)
        jobs = missing(settings, device)
        return cls(settings, seconds, parallel, cores, jobs, choose(jobs, seconds, parallel))

    @property
    def state(self) -> str:
        """``reduced: 12 of 54 trainings done, 2 running, 31.2 hours of training left``"""
        running = sum(job.running for job in self.missing)
        hours = sum(job.seconds for job in self.missing) / 3600
        trainings = len(value_order(self.settings))
        return (
            f"{self.settings.profile}: {trainings - len(self.missing)} of {trainings} trainings "
            f"done, {running} running, {hours:.1f} hours of training left"
        )

    def rows(self) -> list[list[str]]:
        """Run folder, minutes, whether chosen and whether begun, of each missing training."""
        return [
            [
                job.run.folder.as_posix(),
                f"{job.seconds / 60:.1f}",
                "chosen" if job in self.chosen else "later",
                "running" if job.running else "begun" if job.begun else "",
            ]
            for job in self.missing
        ]

    def left(self) -> list[Job]:
        """The chosen trainings that are not finished."""
        return [job for job in self.chosen if not plan.is_finished(job.run.folder)]

    def train(self) -> RunError | None:
        """Have Snakemake train what is chosen until the time is over.

        Returns, rather than raises, that a training failed for another reason than time: what the
        others have made is bundled all the same.
        """
        ends = time.time() + self.seconds - SETTLING_SECONDS
        targets = [(job.run.folder / "summary.json").as_posix() for job in self.chosen]
        binary = Path(sys.executable).with_name("snakemake")
        command = [
            str(binary) if binary.exists() else "snakemake",
            "--cores", str(self.cores), "--scheduler", "greedy", "--keep-going",
            "--resources", f"gpu={self.parallel}",
            "--config", f"profile={self.settings.profile}", "--", *targets,
        ]  # fmt: skip
        code = subprocess.run(command, env={**os.environ, DEADLINE: str(ends)}).returncode
        for job in self.left():
            if reason := failure(job.run):
                return RunError(f"the training {job.run.name} failed: {reason}")
        if code and not self.left():
            return RunError(f"Snakemake ended with the code {code}: its messages stand above")
        return None

    def bundle(self, output: Path, part_mebibytes: float, bundle_mebibytes: float) -> list[str]:
        """Bundle what the chosen trainings have left, if anything; returns what is in it, by line."""
        runs = [job.run for job in self.chosen]
        if not any(run.folder.exists() for run in runs):
            return []
        manifest = write_bundle(
            self.settings.profile, runs, output, part_mebibytes, mebibytes=bundle_mebibytes
        )
        return [
            f"{output}: {len(manifest['finished'])} finished and "
            f"{len(manifest['unfinished'])} unfinished runs in {len(manifest['parts'])} parts",
            *(
                f"{name} stays behind: the bundle would be larger than it may be"
                for name in manifest["left"]
            ),
        ]


def failure(run: RunKey) -> str | None:
    """Why a training failed, by the last line of its log; ``None`` for one that ran out of time."""
    log = Path("logs") / run.folder.with_name(f"{run.folder.name}.log")
    lines = log.read_text("utf-8").splitlines() if log.exists() else []
    last = lines[-1] if lines else ""
    if last.startswith("error: "):
        return last.removeprefix("error: ")
    return last if any(line.startswith("Traceback") for line in lines) else None
