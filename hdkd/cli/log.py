"""Everything that a command prints in one file; errors and warnings on the terminal as well."""

import io
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TextIO

from typing_extensions import override

from hdkd.errors import UserError


class Tee(io.TextIOBase):
    """A stream that writes to ``terminal`` and to ``file``.

    ``isatty`` is false, so that no progress bars are drawn on it.
    """

    encoding = "utf-8"

    def __init__(self, terminal: TextIO, file: TextIO) -> None:
        self.terminal = terminal
        self.file = file

    @override
    def write(self, text: str) -> int:
        self.terminal.write(text)
        with suppress(OSError):  # a full disk must not hide the error that says so
            self.file.write(text)
        return len(text)

    @override
    def flush(self) -> None:
        self.terminal.flush()

    @override
    def fileno(self) -> int:
        return self.terminal.fileno()


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Write what is printed meanwhile to ``path``, and what goes to stderr to stderr as well.

    A traceback that ends the block goes to ``path``, too. Raises ``UserError`` where it cannot be
    written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w", encoding="utf-8", buffering=1)
    except OSError as error:
        reason = f"the log {path} cannot be written ({error.strerror})"
        raise UserError(f"{reason}: name another file with --log") from None
    try:
        with redirect_stdout(file), redirect_stderr(Tee(sys.stderr, file)):
            yield
    except BaseException:
        with suppress(OSError):
            traceback.print_exc(file=file)
        raise
    finally:
        with suppress(OSError):
            file.close()
