"""MLflow: the runs that it missed."""

from typing import TYPE_CHECKING

import click

from hdkd.cli.options import with_settings

if TYPE_CHECKING:
    from hdkd.config import Settings


@click.command()
@with_settings
def deliver(settings: "Settings") -> None:
    """Give MLflow what it missed of finished trainings."""
    from hdkd.tracking import study

    print(f"{study.deliver(settings)} runs were new to MLflow or not whole")
