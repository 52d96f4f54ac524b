"""One run, and the choice of settings by trials."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hdkd.cli.data import prepared_folder, prepared_option
from hdkd.cli.options import dataset, path, require, with_settings
from hdkd.errors import UnfinishedError, UserError
from hdkd.study.names import BASELINES, GROUPS, ROLES

if TYPE_CHECKING:
    from hdkd.config import Settings
    from hdkd.study.key import RunKey


def subset(context: click.Context, option: click.Parameter, given: str) -> str:
    """A positive number or ``all``, as Click checks it."""
    if given == "all":
        return given
    if not (given.isdecimal() and int(given) > 0):
        raise click.BadParameter(f"{given!r} is neither a number of images nor all")
    return str(int(given))


@click.command()
@with_settings
@dataset
@click.option(
    "--role",
    required=True,
    type=click.Choice([*ROLES, *BASELINES]),
    metavar="ROLE",
    help=f"{', '.join(ROLES)}, or a baseline: {', '.join(BASELINES)}",
)
@click.option(
    "--subset",
    default="all",
    callback=subset,
    help="number of training images, balanced over classes, or all",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    help="seed of subset, initial weights and batches",
)
@click.option(
    "--block", type=click.Choice(["mbcsa", "mbconv"]), help="instead of the parameters' block"
)
@click.option("--stem-stride", type=click.Choice([2, 4]), help="instead of the parameters' stride")
@click.option("--method", default="", help="how a hybrid or vit is taught: see `hdkd methods`")
@click.option(
    "--point",
    default="",
    help="distillation, control, trial or strength, by its name in the parameters",
)
@click.option(
    "--group", type=click.Choice(GROUPS), help="group that the run belongs to (by its role)"
)
@prepared_option
@path("--recipes", "SMOTE recipes to add to the training images")
@path("--teacher", "run folder of the teacher, for whatever is taught")
@path("--tuned", "settings that `hdkd tune` has chosen")
@path("--output", "run folder (below models/)")
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    help="auto: a GPU where there is one (auto)",
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads (torch's own choice)")
@click.option(
    "--time-budget",
    type=float,
    metavar="MINUTES",
    help="stop cleanly after the last epoch that fits; the same command continues later",
)
@click.option("--restart", is_flag=True, help="start over, whatever is there")
@click.option("--no-tracking", is_flag=True, help="do not log to MLflow")
def train(settings: "Settings", dataset: str, **options: Any) -> None:
    """Train a teacher, a student or HDKD and leave a run folder."""
    ends = deadline(options["time_budget"])
    signal.signal(signal.SIGTERM, stop)
    from hdkd.study.plan import run_key
    from hdkd.tracking.live import Live
    from hdkd.training.job import Job
    from hdkd.training.train import run

    settings.dataset(dataset)
    chosen = {name: options[name] for name in ("role", "subset", "seed", "point")}
    chosen["group"] = options["group"] or group_of(options["role"])
    key = run_key(settings, dataset, **chosen, variant=(options["block"], options["stem_stride"]))
    key = replace(key, method=method_of(options["role"], options["method"]))
    if reason := misfit(key, options):
        raise click.UsageError(reason)
    folder = prepared_folder(settings, dataset, options["prepared"])
    require(folder / "split.csv", "split")
    for name, command in (("recipes", "smote"), ("tuned", "tune")):
        if options[name]:
            require(options[name], command)
    files = {name: options[name] for name in ("recipes", "teacher", "tuned")}
    output = options["output"] or key.folder
    job = Job(settings, key, folder, output, **files, device=options["device"])
    observer = None if options["no_tracking"] else Live()
    run(job, observer, options["threads"], ends, options["restart"])


def misfit(key: "RunKey", options: dict[str, Any]) -> str | None:
    """Why options do not fit the run that they name; ``None`` where they do."""
    from hdkd.config.study import TRIAL

    if not key.block and (options["block"] or options["stem_stride"]):
        return f"--block and --stem-stride are not for a {key.role}"
    if options["teacher"] and not key.is_taught:
        return f"--teacher must be left out: nothing teaches {key.model}"
    is_trial = bool(TRIAL.fullmatch(key.point))
    if is_trial != (key.group == "tuning"):
        return "--group tuning needs --point with a trial, as trial0, and a trial needs that group"
    if is_trial and options["tuned"]:
        return "--tuned must be left out: a trial has settings of its own"
    if key.point and key.role not in (roles := roles_at(key)):
        return f"--point {key.point} is for {' or '.join(roles)}, not for a {key.role}"
    return None


def roles_at(key: "RunKey") -> tuple[str, ...]:
    """The roles that a run at the point of ``key`` may have."""
    from hdkd.config.study import CONTROL, STRENGTH, TRIAL

    if TRIAL.fullmatch(key.point):
        return ("student", "hdkd", *BASELINES)
    if key.point.startswith("same_") and CONTROL.fullmatch(key.point):
        return ("student",)
    if CONTROL.fullmatch(key.point):
        return ("teacher", "hdkd")
    return ("hybrid", "vit") if STRENGTH.fullmatch(key.point) else ("hdkd",)


def group_of(role: str) -> str:
    """The group of runs in which a study has most of a role."""
    if role in BASELINES:
        return "baselines"
    return {"teacher": "teacher", "hybrid": "methods", "vit": "methods"}.get(role, "students")


def method_of(role: str, method: str) -> str:
    """The method that teaches a hybrid or vit, which need one. Raises ``UsageError`` for others."""
    from hdkd.config import methods

    fitting = [name for name, about in methods().items() if role in about.networks]
    if method not in (fitting or [""]):
        what = f"one of {', '.join(fitting)}" if fitting else "left out"
        raise click.UsageError(f"--method of a {role} must be {what}, not {method or 'missing'}")
    return method


@click.command()
@with_settings
@dataset
@path("--output", "file (models/PROFILE/tuning/DATASET/chosen.json)")
def tune(settings: "Settings", dataset: str, output: Path | None) -> None:
    """Choose settings by the trials on the validation images."""
    from hdkd.runs.tuning import choose
    from hdkd.study import plan

    settings.dataset(dataset)
    choose(settings, dataset, output or plan.tuned_settings(settings.profile, dataset))


def deadline(budget: float | None) -> float | None:
    """The reading of ``time.monotonic`` at which to stop; ``None`` where there is none.

    It is ``budget`` minutes from now, or the time that the workflow's environment names. Raises
    ``UnfinishedError`` where that is over, ``UserError`` where it is no time.
    """
    from hdkd.study.plan import DEADLINE

    if budget is not None:
        return time.monotonic() + 60 * budget
    if DEADLINE in os.environ:
        try:
            left = float(os.environ[DEADLINE]) - time.time()
        except ValueError:
            raise UserError(
                f"{DEADLINE} must be a time in seconds since 1970, not {os.environ[DEADLINE]!r}"
            ) from None
        if left <= 0:
            raise UnfinishedError("the time was over before it began")
        return time.monotonic() + left
    return None


def stop(*_: object) -> None:
    """Stop on SIGTERM, which clusters send, once; the checkpoint is enough to resume."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise UnfinishedError("stopped by SIGTERM")
