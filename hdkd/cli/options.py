"""Options that many commands have."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from hdkd.errors import DataError

Command = Callable[..., None]


def _default_params() -> Path:
    from hdkd.config import default_params

    return default_params()


def path(flag: str, text: str, default: Path | None = None) -> Callable[[Command], Command]:
    """An option that takes the path of a file or folder."""
    kind = click.Path(path_type=Path)
    return click.option(flag, type=kind, metavar="PATH", help=text, default=default)


params = click.option(
    "--params",
    type=click.Path(path_type=Path),
    metavar="FILE",
    envvar="HDKD_PARAMS",
    default=_default_params,
    help="parameter file (the variable HDKD_PARAMS, params.yaml, or the package's own)",
)
profile = click.option("--profile", help="profile instead of the parameter file's own")
dataset = click.option("--dataset", required=True, help="name below datasets in the parameters")


def with_settings(command: Command) -> Command:
    """Give a command ``--params`` and ``--profile``, and what they choose as ``settings``."""

    @params
    @profile
    @wraps(command)
    def loading(params: Path, profile: str | None, **options: Any) -> None:
        from hdkd import config

        command(settings=config.load(params, profile), **options)

    return loading


def require(path: Path, command: str) -> Path:
    """``path``, or a ``DataError`` that names the command which makes it."""
    if not path.exists():
        raise DataError(f"{path} is missing: run `hdkd {command}` first")
    return path


def warn(reasons: list[str]) -> None:
    """Print warnings, a sentence each."""
    for reason in reasons:
        print(f"warning: {reason}", file=sys.stderr)
