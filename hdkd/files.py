"""Atomic writes, and the checksums of a folder's files.

A folder's checksums are in ``SHA256SUMS``, in the format of the command ``sha256sum --check``.
"""

import hashlib
import os
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

SUMS = "SHA256SUMS"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of ``path`` when the block ends.

    Readers see the old file, or none, until then; after an error nothing has changed.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes | str) -> None:
    """Replace ``path`` by ``content`` atomically; text is written as UTF-8."""
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path, names: Iterable[str]) -> None:
    """Note the checksums of the files ``names`` of ``folder``."""
    lines = (f"{sha256(folder / name)}  {name}\n" for name in names)
    write_whole(folder / SUMS, "".join(lines))


def read_sums(folder: Path) -> dict[str, str]:
    """Checksums by name, empty where none were noted."""
    try:
        text = (folder / SUMS).read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    lines = (line.partition("  ") for line in text.splitlines())
    return {name: digest for digest, _, name in lines}


def extract(archive: tarfile.TarFile, folder: Path, members: list[tarfile.TarInfo]) -> None:
    """Extract files whose names the caller has checked; owners and odd permissions stay behind.

    Python before 3.11.4 knows no filters: there the caller's check is all there is.
    """
    filters = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    archive.extractall(folder, members=members, **filters)
