"""A study made in pieces, or on other machines: walltimes, borrow, pack, import."""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hdkd.cli.options import params, path, profile, warn, with_settings
from hdkd.errors import ParameterError
from hdkd.study.names import GROUPS

if TYPE_CHECKING:
    from hdkd.config import Settings

SIZE = click.FloatRange(min=0, min_open=True)


@click.command()
@with_settings
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    default="cuda",
    help="what the nodes train on (cuda)",
)
def walltimes(settings: "Settings", device: str) -> None:
    """Estimate walltimes of the rules that train, for a cluster."""
    from hdkd.remote.walltimes import walltimes as estimated

    limits = [f"{rule}:runtime={minutes}" for rule, minutes in estimated(settings, device).items()]
    print(" ".join(["--set-resources", *limits] if limits else []))


@click.command()
@profile
@click.option("--minutes", type=click.FloatRange(min=0), default=0, help="how long to train")
@click.option(
    "--parallel", type=click.IntRange(min=1), help="runs at once (1 on a GPU, else one per core)"
)
@click.option("--cores", type=click.IntRange(min=1), default=os.cpu_count(), help="CPU cores (all)")
@click.option("--group", type=click.Choice(GROUPS), help="only those of one group, such as methods")
@click.option("--list", "listing", is_flag=True, help="print what would be trained, and stop")
@click.option("--state", is_flag=True, help="print the last line of that, and stop")
@path("--bundle", "folder to leave the run folders in, to carry home")
@click.option("--part-mebibytes", type=SIZE, default=16, help="size of the bundle's parts (16)")
@click.option(
    "--bundle-mebibytes",
    type=SIZE,
    default=math.inf,
    help="limit for all parts together (none); unfinished runs are dropped first",
)
def borrow(
    profile: str | None,
    minutes: float,
    parallel: int | None,
    cores: int,
    group: str | None,
    listing: bool,
    state: bool,
    bundle: Path | None,
    **mebibytes: float,
) -> None:
    """Train the most valuable missing runs in a piece of time."""
    from tabulate import tabulate

    from hdkd import config
    from hdkd.remote import borrow as borrowing
    from hdkd.remote import handover

    settings = config.load(Path("params.yaml"), profile)  # as Snakemake does
    if not (listing or state):
        if not minutes:
            raise ParameterError(
                "--minutes is missing: name how long to train, or --list or --state"
            )
        borrowing.check_data(settings)
        for name in handover.restore(settings):
            print(f"{name}: from the committed evidence")
    piece = borrowing.Piece(settings, 60 * minutes, parallel, cores, group)
    if state:
        return print(piece.state)
    headers = ["run", "minutes", "", ""]
    print(tabulate(piece.rows(), headers=headers, disable_numparse=True))
    print(piece.state, flush=True)
    if listing or not piece.chosen:
        return
    failed = piece.train()
    count = len(piece.chosen)
    print(f"{count - len(piece.unfinished())} of {count} chosen runs are finished")
    if bundle:
        for line in piece.bundle(bundle, **mebibytes):
            print(line)
    if failed:
        raise failed


@click.command()
@params
@profile
@click.option(
    "--dataset", "datasets", multiple=True, help="only this (all of the study); repeat it"
)
@path("--output", "folder (carried)", Path("carried"))
@click.option("--transfer-mebibytes", type=SIZE, default=60, help="largest folder to carry (60)")
@path("--machine", "`pip freeze` of that machine: wheels come along")
@click.option("--python", default="3.12", help="that machine's Python (3.12)")
def pack(
    params: Path,
    profile: str | None,
    datasets: tuple[str, ...],
    output: Path,
    transfer_mebibytes: float,
    machine: Path | None,
    python: str,
) -> None:
    """Pack what has to travel to an offline machine."""
    from hdkd import config
    from hdkd.remote import pack as packing

    settings = config.load(params, profile)
    chosen = list(datasets or settings.study)
    sizes = packing.pack(
        params, settings.profile, chosen, output, transfer_mebibytes, machine, python
    )
    for number, size in enumerate(sizes, start=1):
        print(f"{output / str(number)}: {size / 2**20:.1f} MiB")
    if machine and (differing := packing.other_versions(machine.read_text("utf-8"))):
        print(f"that machine has other versions: {'; '.join(differing)}")
        print("a run that was begun with another version of torch cannot be resumed there, or here")
    print(f"carry these and {output}/offline.sh; there: bash offline.sh MINUTES")


@click.command()
@params
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--files-only", is_flag=True, help="put run folders in place, and leave all else")
@click.option("--commit", is_flag=True, help="commit what the reports have then")
def import_runs(params: Path, sources: tuple[Path, ...], files_only: bool, commit: bool) -> None:
    """Take over run folders of bundles or other checkouts."""
    from hdkd.remote import handover, importing

    if files_only and commit:
        raise click.UsageError("--files-only leaves the reports as they are: nothing to --commit")
    taken = importing.import_runs(sources, keep=not files_only)
    for advice in taken.advice:
        print(advice)
    for name in taken.placed:
        print(f"{name}: {'finished' if name in taken.finished else 'to be continued'}")
    if files_only:
        return print(f"{len(taken.placed)} new run folders")
    renewed = importing.refresh(params, taken.profiles)
    warn(renewed.warnings)
    print(f"{len(taken.placed)} new run folders, {renewed.registered} new runs in MLflow")
    print("\n".join([*renewed.states, renewed.headline]))
    if commit:
        message = f"Evidence of {'; '.join(renewed.states)}"
        new = handover.commit(renewed.profiles, message)
        print("committed" if new else "nothing new to commit")
