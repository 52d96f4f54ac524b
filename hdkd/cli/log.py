"""Everything that a command prints in one file; errors and warnings on the terminal as well."""

import os
import subprocess
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

from hdkd.errors import UserError


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Write what is printed meanwhile to ``path``, and what goes to stderr to stderr as well.

    That holds for the whole process and its children, libraries in C included. A traceback that
    ends the block goes to ``path``, too. Raises ``UserError`` where it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
    except OSError as error:
        reason = f"the log {path} cannot be written ({error.strerror})"
        raise UserError(f"{reason}: name another file with --log") from None
    terminal = os.dup(1), os.dup(2)
    # It has to outlive our last sentence: where signals go to our group, where SLURM sends them to
    # every process of a job, where the terminal has gone.
    tee = subprocess.Popen(
        ["sh", "-c", 'trap "" TERM PIPE; exec tee -a "$0"', path],
        stdin=subprocess.PIPE, stdout=terminal[1], stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    assert tee.stdin  # as asked for
    os.dup2(file.fileno(), 1)
    os.dup2(tee.stdin.fileno(), 2)
    tee.stdin.close()
    try:
        with (
            os.fdopen(os.dup(2), "w", 1, encoding="utf-8", errors="backslashreplace") as errors,
            redirect_stdout(file),
            redirect_stderr(errors),
        ):
            yield
    except BaseException:
        with suppress(OSError):  # a full disk must not hide the error that says so
            traceback.print_exc(file=file)
        raise
    finally:
        for number, original in enumerate(terminal, start=1):
            os.dup2(original, number)
            os.close(original)
        tee.wait()
        with suppress(OSError):
            file.close()
