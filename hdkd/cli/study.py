"""A study: its profile, its runs, and those that MLflow missed."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdkd.cli.options import path, with_settings
from hdkd.study.names import GROUPS

if TYPE_CHECKING:
    from hdkd.config import Settings


@click.command()
@with_settings
def profile(settings: "Settings") -> None:
    """Print the profile that the parameters choose."""
    print(settings.profile)


@click.command()
@with_settings
@click.option("--group", type=click.Choice(GROUPS), help="only those of one group")
@path("--output", "file to write them to, instead of printing them")
def runs(settings: "Settings", group: str | None, output: Path | None) -> None:
    """List the run folder of every run of the study."""
    from hdkd.study import plan

    groups = [group] if group else GROUPS
    every = [run for name in groups for run in plan.group_runs(settings, name)]
    text = "".join(f"{run.folder.as_posix()}\n" for run in every)
    if output:
        output.write_text(text, "utf-8")
    else:
        print(text, end="")


@click.command()
@with_settings
def deliver(settings: "Settings") -> None:
    """Give MLflow what it missed of finished runs."""
    from hdkd.tracking import study

    print(f"{study.deliver(settings)} runs were new to MLflow, or incomplete there")
