"""A large file written piece by piece: in parallel, in order, and continued after a kill."""

import json
import os
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from hdkd.errors import UserError
from hdkd.files import write_atomic

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 2  # pieces for each thread that are at work or wait for those before them


class PieceFile:
    """A file of a header and pieces, which takes the place of ``path`` when it is finished.

    ``notes`` are those of the pieces that are there (see :func:`piecewise`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._data = path.with_name(f"{path.name}.unfinished")
        self._journal = path.with_name(f"{path.name}.journal")
        self._opened = ExitStack()
        self.notes: list[Any] = []

    def open(self, identity: str, header: bytes) -> None:
        """Continue what is there of the same ``identity``, or begin."""
        found = self._whole_pieces(identity, len(header))
        write_atomic(self._journal, "".join(map(_line, [identity, *found])))
        if not found:
            self._data.write_bytes(header)
        self._lines = self._opened.enter_context(
            self._journal.open("a", encoding="utf-8", buffering=1)
        )
        self._file = self._opened.enter_context(self._data.open("rb+"))
        self._file.truncate(len(header) + sum(piece["bytes"] for piece in found))
        self._file.seek(0, os.SEEK_END)
        self.notes = [piece["note"] for piece in found]

    def append(self, content: bytes, note: Any) -> None:
        """Write one more piece with a ``note`` that JSON can hold."""
        self._file.write(content)
        self._file.flush()
        line = {"bytes": len(content), "crc32": zlib.crc32(content), "note": note}
        self._lines.write(_line(line))
        self.notes.append(note)

    def finish(self, header: bytes) -> None:
        """Put the file in its place, with a ``header`` of the same length as the first one."""
        self._file.seek(0)
        self._file.write(header)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._data.replace(self.path)
        self.discard()

    def discard(self) -> None:
        """Leave nothing of what is unfinished."""
        self.close()
        self._data.unlink(missing_ok=True)
        self._journal.unlink(missing_ok=True)

    def close(self) -> None:
        """Leave the rest to another process."""
        self._opened.close()

    def _whole_pieces(self, identity: str, begin: int) -> list[dict[str, Any]]:
        """What the journal says of the pieces that are there as it says, up to the first other."""
        whole: list[dict[str, Any]] = []
        try:
            with self._journal.open(encoding="utf-8") as lines, self._data.open("rb") as data:
                if json.loads(next(lines, "null")) != identity:
                    return []
                data.seek(begin)
                for piece in map(json.loads, lines):
                    content = data.read(piece["bytes"])
                    if len(content) < piece["bytes"] or zlib.crc32(content) != piece["crc32"]:
                        break
                    whole.append(piece)
        except (FileNotFoundError, ValueError):  # a last line that a kill has cut off
            pass
        return whole


def _line(content: Any) -> str:
    return json.dumps(content) + "\n"


@contextmanager
def piecewise(path: Path, identity: str, header: bytes) -> Iterator[PieceFile]:
    """A :class:`PieceFile` that replaces ``path``, begun with ``header``.

    What a killed process has written is found again and continued. Beside the unfinished file a
    journal has one line of JSON for each piece: its length, its checksum, the caller's note. Its
    first line is the ``identity`` of what is written; where that is another, or a piece is not what
    the journal says, all from there on is written anew. After an error of the user or the disk
    nothing of it is left.
    """
    file = PieceFile(path)
    try:
        file.open(identity, header)
        yield file
    except (OSError, UserError):
        file.discard()
        raise
    finally:
        file.close()


def in_order(work: Callable[[T], R], items: Iterable[T], threads: int) -> Generator[R, None, None]:
    """``work`` on each of ``items`` in their order, by so many ``threads`` at once.

    No more than a few results wait at a time, whatever the number of items.
    """
    pool = ThreadPoolExecutor(threads)
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > AHEAD * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
