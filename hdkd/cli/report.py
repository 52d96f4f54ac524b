"""The ledger, tables, figures and page."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdkd.cli.options import dataset, params, path, require, warn, with_settings

if TYPE_CHECKING:
    from hdkd.config import Settings


@click.command()
@params
@path("--output", "folder (reports)", Path("reports"))
def compare(params: Path, output: Path) -> None:
    """Write the ledger: the paper's numbers beside ours."""
    from hdkd import config
    from hdkd.paper import ledger

    table, left_out = ledger.write_ledger(config.read(params), output)
    print(ledger.markdown(table, left_out))


@click.command()
@with_settings
@path("--output", "folder (reports/PROFILE)")
def tables(settings: "Settings", output: Path | None) -> None:
    """Write the tables of a profile, from its run folders."""
    from hdkd.report import steps
    from hdkd.study import plan

    warn(steps.tables(settings, output or plan.report_folder(settings.profile)))


@click.command()
@with_settings
@dataset
@path("--output", "folder (reports/PROFILE/figures/DATASET)")
def figures(settings: "Settings", dataset: str, output: Path | None) -> None:
    """Draw the figures of a dataset, from its run folders."""
    from hdkd.report import steps
    from hdkd.study import plan

    folder = plan.report_folder(settings.profile) / "figures" / dataset
    steps.figures(settings, dataset, output or folder)


@click.command()
@with_settings
@path("--output", "folder of tables and figures (reports/PROFILE)")
@path("--ledger", "what `hdkd compare` wrote (reports/ledger.csv)")
def page(settings: "Settings", output: Path | None, ledger: Path | None) -> None:
    """Write the report, one self-contained HTML page."""
    from hdkd.report import steps
    from hdkd.study import plan

    ledger = require(ledger or plan.LEDGER[0], "compare")
    steps.page(settings, output or plan.report_folder(settings.profile), ledger)
