"""Atomic writes, and the checksums of a folder's files.

A folder's checksums are in ``SHA256SUMS``, in the format of the command ``sha256sum --check``.
"""

import ast
import hashlib
import json
import os
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHECKSUMS = "SHA256SUMS"


def literal(path: Path, name: str) -> Any:
    """What a Python file assigns to ``name``, without running it; ``None`` where it does not.

    Raises ``ValueError`` for what is no literal.
    """
    for statement in ast.parse(path.read_text("utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            return ast.literal_eval(statement.value)
    return None


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


def write_atomic(path: Path, content: bytes | str) -> None:
    """Replace ``path`` by ``content`` atomically; text is written as UTF-8."""
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, content: Any) -> None:
    """Replace ``path`` by ``content`` as indented JSON, atomically."""
    write_atomic(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """The checksum of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path, names: Iterable[str]) -> None:
    """Note the checksums of the files ``names`` of ``folder``."""
    lines = (f"{sha256(folder / name)}  {name}\n" for name in names)
    write_atomic(folder / CHECKSUMS, "".join(lines))


def read_checksums(folder: Path) -> dict[str, str]:
    """Checksums by name, empty where none were noted."""
    try:
        text = (folder / CHECKSUMS).read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    lines = (line.partition("  ") for line in text.splitlines())
    return {name: digest for digest, _, name in lines}


def extract(archive: tarfile.TarFile, folder: Path, members: list[tarfile.TarInfo]) -> None:
    """Extract files whose names the caller has checked; owners and odd permissions stay behind.

    Python before 3.11.4 knows no filters: there the caller's check is all there is.
    """
    if hasattr(tarfile, "data_filter"):
        archive.extractall(folder, members, filter="data")
    else:
        archive.extractall(folder, members)
