"""The group ``hdkd``: which module has which command, and ``--log``."""

import os
from importlib import import_module
from pathlib import Path

import click
from typing_extensions import override

from hdkd.cli.log import logging_to

# The module of each command, in sections; steps in the order in which a study calls them.
SECTIONS = {
    "A trained model": {"predict": "models", "serve": "models", "export": "models"},
    "About a study": {"profile": "study", "runs": "study", "methods": "study"},
    "Steps of a study, which Snakemake runs": {
        "acquire": "data",
        "prepare": "data",
        "split": "data",
        "smote": "data",
        "train": "training",
        "tune": "training",
        "compare": "report",
        "tables": "report",
        "figures": "report",
        "page": "report",
    },
    "A study on several machines, or in pieces": {
        "walltimes": "pieces",
        "borrow": "pieces",
        "pack": "pieces",
        "import-runs": "pieces",
        "deliver": "study",
    },
}
MODULES = {name: module for commands in SECTIONS.values() for name, module in commands.items()}


class LazyGroup(click.Group):
    """Commands of the modules beside this one, imported when one of them is asked for."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(MODULES)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in MODULES:
            return None
        module = import_module(f"{__package__}.{MODULES[cmd_name]}")
        return getattr(module, cmd_name.replace("-", "_"))

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in SECTIONS.items():
            commands = ((name, self.get_command(ctx, name)) for name in names)
            room = formatter.width - 6 - max(map(len, names))
            rows = [(name, each.get_short_help_str(room)) for name, each in commands if each]
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(
    cls=LazyGroup,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--log",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="file for all that the command prints; errors and warnings go to the terminal, too",
)
@click.pass_context
def hdkd(context: click.Context, log: Path | None) -> None:
    """Hybrid data-efficient knowledge distillation for small sets of medical images.

    `snakemake --cores 4 all` runs the steps of a study in their order; each can be typed by hand.
    """
    if log and os.environ.get("RANK", "0") == "0":  # of processes of one run, the first has it
        context.obj.enter_context(logging_to(log))
