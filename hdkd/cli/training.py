"""One training, and the choice of settings by trials."""

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hdkd.cli.data import prepared_folder, prepared_option
from hdkd.cli.options import dataset, path, require, with_settings
from hdkd.errors import UnfinishedError
from hdkd.study.names import BASELINES, GROUPS, ROLES

if TYPE_CHECKING:
    from hdkd.config import Settings
    from hdkd.study.plan import RunKey


@click.command()
@with_settings
@dataset
@click.option(
    "--role",
    required=True,
    type=click.Choice([*ROLES, *BASELINES]),
    metavar="ROLE",
    help=f"{', '.join(ROLES)}, or a rival: {', '.join(BASELINES)}",
)
@click.option(
    "--subset",
    default="all",
    help="number of training images, balanced over classes, or all",
)
@click.option("--seed", type=int, default=0, help="of subset, initial weights and batches")
@click.option(
    "--block", type=click.Choice(["mbcsa", "mbconv"]), help="instead of the parameters' block"
)
@click.option("--stem-stride", type=click.Choice([2, 4]), help="instead of the parameters' stride")
@click.option(
    "--point", default="", help="distillation, control or trial, by its name in the parameters"
)
@click.option("--group", type=click.Choice(GROUPS), default="students", help="of the study")
@prepared_option
@path("--recipes", "SMOTE recipes to add to the training images")
@path("--teacher", "run folder of the teacher, for hdkd")
@path("--tuned", "settings that `hdkd tune` has chosen")
@path("--output", "run folder (below models/)")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto")
@click.option("--threads", type=int, help="CPU threads (torch's own choice)")
@click.option(
    "--time-budget",
    type=float,
    metavar="MINUTES",
    help="stop cleanly after the last epoch that fits; the same command continues later",
)
@click.option("--restart", is_flag=True, help="begin anew, whatever is unfinished")
@click.option("--no-tracking", is_flag=True, help="do not log to MLflow")
def train(settings: "Settings", dataset: str, **options: Any) -> None:
    """Train a teacher, a student or HDKD and leave a run folder."""
    ends = deadline(options["time_budget"])
    signal.signal(signal.SIGTERM, stop)
    from hdkd.tracking.live import Live
    from hdkd.training.job import Job
    from hdkd.training.train import run

    settings.dataset(dataset)
    key = run_key(settings, dataset, options)
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


@click.command()
@with_settings
@dataset
@path("--output", "file (models/PROFILE/tuning/DATASET/chosen.json)")
def tune(settings: "Settings", dataset: str, output: Path | None) -> None:
    """Choose settings by the trials on the validation images."""
    from hdkd.study import plan
    from hdkd.training.tune import choose

    settings.dataset(dataset)
    choose(settings, dataset, output or plan.tuned_settings(settings.profile, dataset))


def deadline(budget: float | None) -> float | None:
    """When a training has to stop, a reading of ``time.monotonic``; ``None`` where it need not.

    After ``budget`` minutes, or with its workflow.
    """
    from hdkd.study.plan import DEADLINE

    if budget is not None:
        return time.monotonic() + 60 * budget
    if DEADLINE in os.environ:
        return time.monotonic() + float(os.environ[DEADLINE]) - time.time()
    return None


def run_key(settings: "Settings", dataset: str, options: dict[str, Any]) -> "RunKey":
    """Which training the options name."""
    from hdkd.study.plan import RunKey

    network = settings.network(options["block"], options["stem_stride"])
    architecture: dict[str, Any] = {}
    if options["role"] not in BASELINES:
        architecture = {"block": network.block, "stem_stride": network.stem_stride}
    return RunKey(
        profile=settings.profile,
        dataset=dataset,
        **{name: options[name] for name in ("group", "role", "subset", "seed", "point")},
        **architecture,
    )


def stop(*_: object) -> None:
    """Answer to SIGTERM, which clusters send: what is saved is enough to continue, so leave."""
    raise UnfinishedError("stopped by SIGTERM")
