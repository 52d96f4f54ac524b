"""The command line: one module per topic, imported when a command of it is called or listed.

A command parses, calls one function of the rooms below, and prints. What takes long to import is
imported inside the commands, so that ``hdkd --help`` answers at once.
"""

import errno
import gc
import io
import os
import sys
from contextlib import ExitStack

import click

from hdkd.cli.group import hdkd
from hdkd.errors import UnfinishedError, UserError, disk_error_message, is_disk_error
from hdkd.tracking import ENVIRONMENT

# What the extra `pipeline` brings, as Python imports it; training and prediction do without.
PIPELINE = {
    "dvc", "imblearn", "jinja2", "kagglehub", "matplotlib", "mlflow", "packaging", "psutil",
    "ptflops", "snakemake",
}  # fmt: skip
# What the extras of these names bring.
ONNX = {"onnx", "onnxruntime", "onnxscript"}
SERVE = {"fastapi", "markdown_it", "uvicorn"}
# What is wrong with a path that was named, or that something else should have made.
WRONG_PATH = {
    errno.ENOENT: "is not there: make it first, or name another",
    errno.ENOTDIR: "lies below a file instead of a folder: name another",
    errno.EISDIR: "is a folder instead of a file: name another",
    errno.EEXIST: "is there already, and is no folder: name another",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    2 after a user error, which is one sentence on stderr; 75 where the same command continues what
    has stopped; 130 after an interruption.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if isinstance(sys.stdout, io.TextIOWrapper):  # file names need not be UTF-8
        sys.stdout.reconfigure(errors="backslashreplace")
    with ExitStack() as outputs:  # what --log opens, which has the last sentence, too
        return _run(sys.argv[1:] if arguments is None else arguments, outputs)


def console() -> None:
    """The command ``hdkd``."""
    # Importing torch makes a million objects that stay: by default the collector goes through them
    # again and again, for a second.
    gc.set_threshold(200_000, 50, 50)
    sys.exit(main())


def _run(arguments: list[str], outputs: ExitStack) -> int:
    try:
        with hdkd.make_context("hdkd", arguments, obj=outputs) as context:
            hdkd.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as ended:  # after --help
        return ended.exit_code
    except BrokenPipeError:  # whoever read our output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except UnfinishedError as stopped:
        print(f"{stopped}; the same command continues it", file=sys.stderr)
        return 75
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        message = _message(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        return 2
    return 0


def _message(error: Exception) -> str | None:
    """What a user has to know of an error; ``None`` where it is one of the program."""
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return _missing(str(error.name).partition(".")[0])
    if isinstance(error, OSError) and is_disk_error(error):
        return disk_error_message(error)
    if isinstance(error, OSError) and error.filename and error.errno in WRONG_PATH:
        return f"{os.fsdecode(error.filename)} {WRONG_PATH[error.errno]}"
    return None


def _missing(package: str) -> str | None:
    """Which extra brings a package that is not installed; ``None`` where none does."""
    for extra, packages in (("pipeline", PIPELINE), ("onnx", ONNX), ("serve", SERVE)):
        if package in packages:
            return f"this needs {package}: pip install 'hdkd[{extra}]'"
    return None


def _usage(error: click.ClickException) -> str:
    """What click says of a wrong option, as one sentence with the way out."""
    message = (
        " ".join(error.format_message().split())
        .rstrip(".?")
        .replace(". Did you mean", "; did you mean")
    )
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "hdkd"
    return f"{message[0].lower()}{message[1:]}: see `{path} --help`"
