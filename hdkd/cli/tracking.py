"""MLflow: its store, and the runs that it missed."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdkd.cli.options import path, with_settings

if TYPE_CHECKING:
    from hdkd.config import Settings


@click.command()
@with_settings
@path("--output", "file to note the tracking URI in")
def track(settings: "Settings", output: Path | None) -> None:
    """Create the MLflow store, its experiments and sweeps."""
    from hdkd.tracking import study

    uri = study.create(settings)
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(f"{uri}\n")


@click.command()
@with_settings
def deliver(settings: "Settings") -> None:
    """Give MLflow what it missed of finished trainings."""
    from hdkd.tracking import study

    print(f"{study.deliver(settings)} runs were new to MLflow or not whole")
