"""A study: its profile, its runs, and those that MLflow missed."""

from typing import TYPE_CHECKING

import click

from hdkd.cli.options import with_settings
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
def runs(settings: "Settings", group: str | None) -> None:
    """Print the run folder of every training of the study."""
    from hdkd.study import plan

    for name in [group] if group else GROUPS:
        for run in plan.group_runs(settings, name):
            print(run.folder.as_posix())


@click.command()
@with_settings
def deliver(settings: "Settings") -> None:
    """Give MLflow what it missed of finished trainings."""
    from hdkd.tracking import study

    print(f"{study.deliver(settings)} runs were new to MLflow, or incomplete there")
