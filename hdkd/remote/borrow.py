"""What to train in a borrowed piece of time: the most valuable missing runs that fit into it.

A thin layer over the workflow: it names targets, and Snakemake trains them. Every run knows when
the time ends (``HDKD_DEADLINE``), stops cleanly before it, and resumes in the next piece.
"""

import math
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from hdkd.config import Settings
from hdkd.errors import RunError, UnfinishedError
from hdkd.remote.bundle import write_bundle
from hdkd.report.tables import cost, results
from hdkd.runs.evidence import finished_summaries, with_current_parameters
from hdkd.runs.tuning import tuned_roles
from hdkd.study import plan
from hdkd.study.key import RunKey
from hdkd.study.plan import DEADLINE
from hdkd.training.checkpoint import checkpoint_of, epochs_in, is_locked
from hdkd.training.job import choose_device

# Multiply-accumulates per second of training, until a run on such a device has been measured.
FIRST_RATES = {"cuda": 4e12, "cpu": 2e10}
STARTING_SECONDS = 20  # of a run, and of ending it
PATIENCE = 20  # seconds for Snakemake to end by itself once no job is left
SHELLS = ("bash", "sh", "tee")  # around a training: they end with it, and have its log until then


@dataclass(frozen=True)
class MissingRun:
    """A missing run, the seconds that it is estimated to take, and the teacher that it needs."""

    run: RunKey
    seconds: float
    teacher: RunKey | None = None

    @property
    def progress(self) -> str:
        """``running`` while a process trains it, else ``begun``, or empty without a checkpoint."""
        if not checkpoint_of(self.run.folder).exists():
            return ""
        return "running" if is_locked(self.run.folder) else "begun"


def value_order(settings: Settings) -> list[RunKey]:
    """Every run of a study, the most valuable for the ledger first.

    Dataset by dataset the teacher, the tuning, then student and HDKD by subset with all seeds,
    because fewer than three decide no verdict; then the ablations of Tables 6 and 7, the baselines
    of Table 5, controls, other distillations and methods, each with its first seed before others.
    """
    ordered = []
    for dataset in settings.study:
        ordered += plan.teacher_runs(settings, dataset)
        ordered += plan.tuning_runs(settings, dataset)
        ordered += plan.student_runs(settings, dataset)
    for runs in (
        plan.variant_runs, plan.baseline_runs, plan.control_runs, plan.point_runs, plan.method_runs,
    ):  # fmt: skip
        found = [run for dataset in settings.study for run in runs(settings, dataset)]
        first = {run.model: run.seed for run in reversed(found)}
        ordered += sorted(found, key=lambda run: run.seed != first[run.model])
    return list(dict.fromkeys(ordered))


def check_data(settings: Settings) -> None:
    """Raise ``RunError`` where a dataset of the study has not been built.

    Runs that are restored before it would count as made from older data, and be trained again.
    """
    for name in settings.study:
        path = plan.prepared_folder(settings.profile, name) / "split.csv"
        if not path.exists():
            raise _no_data(path, settings)


def _no_data(path: Path, settings: Settings) -> RunError:
    return RunError(
        f"{path} is missing: build the data first (`snakemake --cores 4 data --config "
        f"profile={settings.profile}`)"
    )


def missing(settings: Settings, device: str) -> list[MissingRun]:
    """The runs neither finished here nor in the committed evidence, in order of value.

    The estimate of an unfinished run is of its remaining epochs. Raises ``RunError`` where the data
    of a run have not been built.
    """
    facts, images = {}, {}
    for name in settings.study:
        path = plan.prepared_folder(settings.profile, name) / "split.json"
        if path.exists():
            facts[name] = results.facts(settings, name)
        images[name] = cost.images_of(settings, name, facts)
        if not images[name]:
            raise _no_data(path, settings)
    finished, _ = with_current_parameters(settings, finished_summaries(settings.profile))
    measured = [s for s in finished if (s.provenance.device == "cpu") == (device == "cpu")]
    rates = cost.Rates(settings, measured, facts)
    done = {summary.run for summary in finished}
    missing_runs = []
    for run in value_order(settings):
        if run not in done:
            rate = rates.of(run.role) or FIRST_RATES[device]
            seconds = cost.work(settings, run, images[run.dataset]) / rate
            training, _ = cost.length(settings, run, images[run.dataset])
            seconds *= 1 - epochs_in(checkpoint_of(run.folder)) / training.epochs
            teacher = plan.teacher_of(settings, run) if run.is_taught else None
            seconds += max(rates.startup, STARTING_SECONDS)
            missing_runs.append(MissingRun(run, seconds, teacher))
    return missing_runs


def of_group(settings: Settings, missing_runs: list[MissingRun], group: str) -> list[MissingRun]:
    """Those of one of ``GROUPS``, and the teachers and trials that they need."""
    own = [each for each in missing_runs if each.run.group == group]
    tuned = {each.run.dataset for each in own if plan.is_tuned(settings, each.run)}
    own += [e for e in missing_runs if e.run.group == "tuning" and e.run.dataset in tuned]
    wanted = {each.run for each in own} | {each.teacher for each in own}
    return [each for each in missing_runs if each.run in wanted]


def waits(settings: Settings, run: RunKey) -> bool:
    """Whether settings were chosen without a run's network, whose trials are not all finished.

    Once they are, ``handover.complete_choices`` chooses anew.
    """
    path = plan.tuned_settings(settings.profile, run.dataset)
    return plan.is_tuned(settings, run) and path.exists() and run.role not in tuned_roles(path)


def choose(missing_runs: list[MissingRun], seconds: float, parallel: int) -> list[MissingRun]:
    """The first to start within ``seconds`` on ``parallel`` places, the last ones in part.

    HDKD cannot start before its teacher is finished.
    """
    chosen: list[MissingRun] = []
    free_at = [0.0] * parallel  # by place
    finished_at: dict[RunKey | None, float] = {each.run: math.inf for each in missing_runs}
    for each in missing_runs:
        start = max(min(free_at), finished_at.get(each.teacher, 0.0))
        if start < seconds:
            chosen.append(each)
            finished_at[each.run] = free_at[free_at.index(min(free_at))] = start + each.seconds
    return chosen


class Piece:
    """A piece of ``seconds`` on a machine: a study's missing runs, and those ``chosen`` for it.

    ``parallel`` runs train at once, by default 1 on a GPU, else one per core. Of a ``group`` only
    its own are ``wanted``, and what they need.
    """

    def __init__(
        self,
        settings: Settings,
        seconds: float,
        parallel: int | None,
        cores: int,
        group: str | None = None,
    ) -> None:
        device = choose_device("auto")
        self.settings, self.seconds, self.cores = settings, seconds, cores
        self.parallel = parallel or (1 if device == "cuda" else cores)
        self.missing = missing(settings, device)
        self.wanted = of_group(settings, self.missing, group) if group else self.missing
        ready = [each for each in self.wanted if not waits(settings, each.run)]
        self.chosen = choose(ready, seconds, self.parallel)
        self.started = time.time()

    @property
    def state(self) -> str:
        """As in ``reduced: 12 of 54 runs done, 2 running, 31.2 hours of training left``."""
        running = sum(each.progress == "running" for each in self.missing)
        hours = sum(each.seconds for each in self.missing) / 3600
        count = len(value_order(self.settings))
        return (
            f"{self.settings.profile}: {count - len(self.missing)} of {count} runs "
            f"done, {running} running, {hours:.1f} hours of training left"
        )

    def rows(self) -> list[list[str]]:
        """Run folder, minutes, whether chosen, and progress of each wanted run."""
        chosen = {each.run for each in self.chosen}
        return [
            [
                each.run.folder.as_posix(),
                f"{each.seconds / 60:.1f}",
                "chosen" if each.run in chosen else "later",
                each.progress,
            ]
            for each in self.wanted
        ]

    def unfinished(self) -> list[RunKey]:
        """The chosen runs that are not finished, or were before, with other settings."""
        return [
            each.run
            for each in self.chosen
            if not is_recent(each.run.folder / plan.RUN_FILES[-1], self.started)
        ]

    def train(self) -> RunError | UnfinishedError | None:
        """Have Snakemake train what is chosen until the time is over, or SIGTERM comes.

        Returns, rather than raises, that a run failed for another reason than time, or the SIGTERM:
        what the others have left is bundled all the same.
        """
        started = self.started = time.time()
        ends = started + self.seconds - STARTING_SECONDS
        targets = [(each.run.folder / "summary.json").as_posix() for each in self.chosen]
        # Folders that were brought here have nothing by which Snakemake sees other settings.
        outdated = [
            target
            for target, each in zip(targets, self.chosen, strict=True)
            if plan.is_finished(each.run.folder)
        ]
        binary = Path(sys.executable).with_name("snakemake")
        command = [
            str(binary) if binary.exists() else "snakemake",
            "--cores", str(self.cores), "--scheduler", "greedy", "--keep-going",
            "--resources", f"run={self.parallel}", f"gpu={self.parallel}",
            *(["--forcerun", *outdated] if outdated else []),
            "--config", f"profile={self.settings.profile}", "--", *targets,
        ]  # fmt: skip
        # Jobs call `hdkd`, which lies beside this Python even where nobody has activated it.
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        environment = {**os.environ, DEADLINE: str(ends), "PATH": programs}
        code, stopped = run_until_sigterm(command, environment)
        unfinished = self.unfinished()
        for run in unfinished:
            if reason := failure(run, started):
                return RunError(f"the run {run.name} failed: {reason}")
        if stopped and unfinished:
            return UnfinishedError("stopped by SIGTERM")
        if code and not any(is_recent(log_of(run), started) for run in unfinished):
            return RunError(f"Snakemake ended with the code {code}: see its output above")
        return None

    def bundle(self, output: Path, part_mebibytes: float, bundle_mebibytes: float) -> list[str]:
        """Bundle the run folders of those chosen, if any; returns lines that say what is in it."""
        runs = [each.run for each in self.chosen]
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


def run_until_sigterm(command: list[str], environment: dict[str, str]) -> tuple[int, bool]:
    """Run Snakemake to its end; returns its exit code, and whether SIGTERM came before.

    SIGTERM is passed on to Snakemake, which starts no further run, and to its trainings, which
    leave checkpoints. Snakemake can hang on it, and is killed where no training is left.
    """
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    try:
        with psutil.Popen(command, env=environment) as snakemake:
            told: set[psutil.Process] = set()
            idle = 0
            while True:
                try:
                    return snakemake.wait(timeout=1), bool(received)
                except psutil.TimeoutExpired:
                    if received:
                        idle = 0 if pass_on_sigterm(snakemake, told) else idle + 1
                    if idle > PATIENCE:
                        snakemake.kill()
    finally:
        signal.signal(signal.SIGTERM, before)


def pass_on_sigterm(snakemake: psutil.Process, told: set[psutil.Process]) -> bool:
    """Tell Snakemake and its jobs, but for those already ``told``; whether there are any jobs."""
    with suppress(psutil.NoSuchProcess):
        jobs = snakemake.children(recursive=True)
        for process in [snakemake, *jobs]:
            with suppress(psutil.NoSuchProcess):
                if process not in told and process.name() not in SHELLS:
                    told.add(process)
                    process.terminate()
        return bool(jobs)
    return False


def log_of(run: RunKey) -> Path:
    """The log that the workflow writes of a run."""
    return Path("logs") / run.folder.with_name(f"{run.folder.name}.log")


def is_recent(path: Path, since: float) -> bool:
    """Whether a file was written ``since`` then, a reading of ``time.time``."""
    return path.exists() and path.stat().st_mtime >= since


def failure(run: RunKey, since: float) -> str | None:
    """Why a run failed ``since`` then, by the last line of its log; ``None`` if only time ended."""
    log = log_of(run)
    lines = log.read_text("utf-8").splitlines() if is_recent(log, since) else []
    last = lines[-1] if lines else ""
    if last.startswith("error: "):
        return last.removeprefix("error: ")
    return last if any(line.startswith("Traceback") for line in lines) else None
