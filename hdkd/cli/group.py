"""The group ``hdkd``: which module has which command, and ``--log``."""

from importlib import import_module
from pathlib import Path
from typing import Any

import click

from hdkd.cli.log import logging_to

# In the order in which a study calls them.
MODULES = {
    "profile": "study",
    "runs": "study",
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
    "deliver": "tracking",
    "borrow": "pieces",
    "pack": "pieces",
    "import-runs": "pieces",
    "export": "models",
    "predict": "models",
}


class LazyGroup(click.Group):
    """Commands of the modules beside this one, imported when one of them is asked for."""

    def __init__(self, *arguments: Any, modules: dict[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.modules:
            return None
        module = import_module(f"{__package__}.{self.modules[cmd_name]}")
        return getattr(module, cmd_name.replace("-", "_"))


@click.group(
    cls=LazyGroup,
    modules=MODULES,
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

    `snakemake --cores 4 all` runs these commands in their order; each can be typed by hand.
    """
    if log:
        context.obj.enter_context(logging_to(log))
