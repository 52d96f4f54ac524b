"""What a folder or archive of one's own holds now, so that a change of it is acquired again.

That is told by content: images that were only moved, copied or touched are the same. What was read
is noted with names, sizes and times, and read again only where these differ.
"""

import hashlib
import json
import os
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO

import pandas as pd

from hdkd.config import Local
from hdkd.data.acquire import sources
from hdkd.errors import DataError
from hdkd.files import write_json
from hdkd.progress import progress


def content(name: str, source: Local, raw: Path, noted: Path) -> str | None:
    """SHA-256 over paths and contents of the images of dataset ``name``, in a folder or archive.

    It is that of the manifest in the folder ``raw`` after they are acquired. Where ``source`` is
    not on this machine, it is that of the images acquired before, which is said, and ``None``
    without any. Of what cannot be read, and will not be acquired, it is the reason. ``noted`` is a
    file for what was read.
    """
    named = sources.local_source(source)
    place = Path(named).expanduser() if named else None
    if place and place.exists():
        return _content(place, raw, noted)
    if not (manifest := raw / "manifest.csv").exists():
        return None
    missing = f"{named} is not there" if named else "no folder or archive is named"
    before = len(pd.read_csv(manifest))
    print(
        f"dataset {name}: {missing}; the {before} images acquired before are used", file=sys.stderr
    )
    return sources.content_hash(manifest)


def _content(place: Path, raw: Path, noted: Path) -> str:
    try:
        if raw.resolve().is_relative_to(place.resolve()):
            return f"{place} contains {raw}"
        state = _state(place)
        with suppress(OSError, ValueError, KeyError):
            return str(json.loads(noted.read_text("utf-8"))[state])
        found = _folder(place) if place.is_dir() else _archive(place)
    except Exception as error:  # of any library; acquisition says it with the way out
        return f"{place} cannot be read: {error}"
    with suppress(OSError):
        noted.parent.mkdir(parents=True, exist_ok=True)
        write_json(noted, {state: found})
    return found


def _state(place: Path) -> str:
    """Where it is, and names, sizes and times of its files."""
    hasher = hashlib.sha256(os.fsencode(place.resolve()))
    for path in _files(place) if place.is_dir() else [place]:
        stat = path.stat()
        # The second time changes even where an older file takes the place of another.
        hasher.update(os.fsencode(path))
        hasher.update(f" {stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns}\n".encode())
    return hasher.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for path in sources.paths_below(folder):
        if not sources.is_ignored(path.relative_to(folder)) and path.is_file():
            yield path


def _folder(place: Path) -> str:
    table = sources.list_files(place)
    digests = dict(zip(table["path"], table["sha256"], strict=True))
    return _hash({p: d for p, d in digests.items() if not sources.is_ignored(PurePosixPath(p))})


def _archive(place: Path) -> str:
    digests, size = {}, 0
    limit = max(sources.MIN_SUSPICIOUS_SIZE, sources.MAX_EXPANSION * place.stat().st_size)
    for name, file in progress(_members(place), "checksums"):
        hasher = hashlib.sha256()
        while piece := file.read(2**20):
            hasher.update(piece)
            size += len(piece)
            if size > limit:
                raise DataError("it grows as no archive of images does")
        digests[PurePosixPath(name).as_posix()] = hasher.hexdigest()
    return _hash(digests)


def _members(place: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each file in a zip or tar."""
    if zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            for member in archive.infolist():
                name = PurePosixPath(member.filename)
                if not (member.is_dir() or sources.is_ignored(name)):
                    with archive.open(member) as file:
                        yield member.filename, file
        return
    with tarfile.open(place) as archive:
        for entry in archive:
            if not sources.is_ignored(PurePosixPath(entry.name)):
                content = archive.extractfile(entry)
                if content:
                    yield entry.name, content


def _hash(digests: dict[str, str]) -> str:
    """As :func:`hdkd.data.acquire.sources.content_hash` has it."""
    hasher = hashlib.sha256()
    for path in sorted(digests):
        hasher.update(f"{digests[path]}  {path}\n".encode(errors="surrogateescape"))
    return hasher.hexdigest()
