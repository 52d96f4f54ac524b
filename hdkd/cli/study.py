"""A study: its profile, its runs, the methods that it can compare, and what MLflow lacks of it."""

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
@click.option("--dataset", help="whose images to count with (the study's first)")
def methods(settings: "Settings", dataset: str | None) -> None:
    """List the methods of distillation: origin, source, costs."""
    import textwrap

    from hdkd.config import LEFT_OUT
    from hdkd.config import methods as described
    from hdkd.report.additions import additions
    from hdkd.study.names import NETWORKS

    found = {name: additions(settings, dataset or settings.study[0], name) for name in NETWORKS}
    for name, about in described().items():
        licence = f" ({about.licence})" if about.licence else ""
        lines = [f"{name}: {about.title}", *textwrap.wrap(about.origin, 92)]
        lines.append(f"source: {about.source}{licence}")
        if about.published:
            lines.append(f"weights: {about.published}")
        for network in about.networks:
            adds = found[network][name]
            lines.append(
                f"{NETWORKS[network]}: {adds.parameters:,} parameters more, {adds.exported:,} of "
                f"them in the student; a step takes {adds.ratio:.2f} times as long as alone, "
                "measured now"
            )
        print("\n    ".join(lines), end="\n\n")
    print("Not here:")
    for title, reason in LEFT_OUT.items():
        print(textwrap.fill(f"{title}: {reason}", 96, subsequent_indent="    "))


@click.command()
@with_settings
def deliver(settings: "Settings") -> None:
    """Sync finished runs, report and models to MLflow."""
    from hdkd.report import steps

    runs, reports, models = steps.deliver(settings)
    print(f"new to MLflow, or incomplete there: {runs} runs, {reports} reports, {models} models")
