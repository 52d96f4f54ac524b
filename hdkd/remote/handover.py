"""What a study that is made piece by piece keeps in git, so that any clone can go on with it.

Beside the evidence (:mod:`hdkd.runs.evidence`), ``reports/<profile>/needed/`` has a bundle for each
run that others build on: teachers with their weights, and trials whose choice has not been
made; ``reports/<profile>/chosen/`` has the choices. What no missing run needs is removed, but for
the sweep's teachers: whoever adds a method or a seed has to teach with the same weights.
"""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from hdkd.config import Settings
from hdkd.errors import RunError
from hdkd.remote import bundle
from hdkd.runs import evidence
from hdkd.runs.folder import RunFolder
from hdkd.runs.tuning import choose, has_same_trials, tuned_roles
from hdkd.study import plan
from hdkd.study.key import RunKey

PART_MEBIBYTES = 32


def keep(settings: Settings) -> None:
    """Keep what a study's missing runs need, and later ones would, of the run folders here."""
    report = plan.report_folder(settings.profile)
    complete_choices(settings)
    for dataset in settings.study:
        chosen = plan.tuned_settings(settings.profile, dataset)
        if chosen.exists():
            (report / "chosen").mkdir(parents=True, exist_ok=True)
            shutil.copyfile(chosen, report / "chosen" / f"{dataset}.json")
    teachers = [run for name in settings.study for run in plan.teacher_runs(settings, name)]
    needed = {_name(run): run for run in (*teachers, *needed_runs(settings))}
    for name, run in needed.items():
        # A teacher that has lost its weights must not take the place of the one that is kept.
        has_weights = run.role != "teacher" or (run.folder / bundle.WEIGHTS).exists()
        if plan.is_finished(run.folder) and has_weights:
            folder = report / "needed" / name
            bundle.write_bundle(settings.profile, [run], folder, PART_MEBIBYTES, outbound=True)
    for folder in (report / "needed").glob("*"):
        if folder.name not in needed:
            shutil.rmtree(folder)


def restore(settings: Settings) -> list[str]:
    """Put what :func:`keep` kept in its place, where it is missing and of these settings.

    Returns the choices and run folders that were put there.
    """
    report, now = plan.report_folder(settings.profile), time.time()
    restored = []
    for dataset in settings.study:
        chosen = plan.tuned_settings(settings.profile, dataset)
        kept, tuning = report / "chosen" / f"{dataset}.json", settings.tuning(dataset)
        fits = tuning and kept.exists() and has_same_trials(kept, tuning, dataset)
        if fits and bundle.copy_missing(kept, chosen):
            restored.append(chosen.as_posix())
    restored += complete_choices(settings)
    for run in needed_runs(settings):
        folder = report / "needed" / _name(run)
        if folder.exists() and not plan.is_finished(run.folder):
            for name in bundle.unpack_bundle(folder, now)[1]:
                RunFolder(Path(name)).mark_restored()
                restored.append(name)
    return list(dict.fromkeys(restored))


def complete_choices(settings: Settings) -> list[str]:
    """Choose anew where there have been more trials since, or elsewhere.

    All trials have to be finished, here or in the committed evidence. Returns the choices.
    """
    done, made = finished(settings), []
    for dataset in settings.study:
        tuning = settings.tuning(dataset)
        if not tuning:
            continue
        trials = plan.tuning_runs(settings, dataset)
        chosen = plan.tuned_settings(settings.profile, dataset)
        is_whole = tuned_roles(chosen) == {run.role for run in trials}
        if done.issuperset(trials) and not (is_whole and has_same_trials(chosen, tuning, dataset)):
            choose(settings, dataset, chosen)
            made.append(chosen.as_posix())
    return made


def needed_runs(settings: Settings) -> list[RunKey]:
    """Finished runs that a missing one builds on: teachers, and trials until the choice is made."""
    done = finished(settings)
    needed = []
    for dataset in settings.study:
        missing = [run for run in plan.all_runs(settings, dataset) if run not in done]
        needed += [plan.teacher_of(settings, run) for run in missing if run.is_taught]
        if not (plan.tuned_settings(settings.profile, dataset)).exists():
            needed += plan.tuning_runs(settings, dataset)
    return [run for run in dict.fromkeys(needed) if run in done]


def finished(settings: Settings) -> set[RunKey]:
    """The runs that are finished with a study's settings, here or in the committed evidence."""
    counted, _ = evidence.with_current_parameters(
        settings, evidence.finished_summaries(settings.profile)
    )
    return {summary.run for summary in counted}


def gather(project: Path, now: float) -> list[str]:
    """Copy the finished run folders and the choices of another checkout that are not here.

    They get the time ``now``.
    Returns the run folders. Raises ``RunError`` where one is damaged.
    """
    placed = []
    for models in sorted((project / "models").glob("*/")):
        for chosen in models.glob("tuning/*/chosen.json"):
            bundle.copy_missing(chosen, chosen.relative_to(project))
        restored = {
            summary.run: folder.is_restored
            for folder, summary in evidence.finished_folders(models.name, project)
            if not plan.is_finished(summary.run.folder)
        }
        if runs := [*restored]:
            with tempfile.TemporaryDirectory() as temporary:
                carried = Path(temporary)
                bundle.write_bundle(models.name, runs, carried, PART_MEBIBYTES, root=project)
                placed += bundle.unpack_bundle(carried, now)[1]
        for run, is_restored in restored.items():
            if is_restored:  # there to be built on, with a record of its own elsewhere
                RunFolder(run.folder).mark_restored()
    return placed


def commit(profiles: Iterable[str], message: str) -> bool:
    """Commit the reports of ``profiles`` and the ledger only; whether there was anything new.

    Raises ``RunError`` with what git says where it refuses.
    """
    paths = [plan.report_folder(profile).as_posix() for profile in profiles]
    paths += [path.as_posix() for path in plan.LEDGER]
    _git("add", "--", *paths)
    if not _git("status", "--porcelain", "--", *paths):
        return False
    _git("commit", "--quiet", "--message", message, "--", *paths)
    return True


def _git(*command: str) -> str:
    done = subprocess.run(["git", *command], capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if not line.startswith("hint:")]
        reason = " ".join(said) or "it says nothing"
        raise RunError(f"git {command[0]} fails: {reason}")
    return done.stdout


def _name(run: RunKey) -> str:
    return "-".join(run.folder.parts[2:])
