"""Where images come from: generated, Kaggle, or a local archive or folder.

Whatever the source, acquisition leaves ``files/`` in the public layout and ``manifest.csv`` with the
size and SHA-256 of every file; nothing later cares where they came from.
"""

import hashlib
import os
import shutil
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from hdkd.data import phantom
from hdkd.errors import DataError

IGNORED = {".DS_Store", "Thumbs.db", "desktop.ini"}


def acquire(name: str, dataset: dict[str, Any], folder: Path) -> None:
    """Bring the files of dataset ``name`` into ``folder/files`` and list them in ``manifest.csv``.

    Raises ``DataError`` when the source is missing, is neither a folder, zip nor tar, has members
    that would leave its folder, or cannot be downloaded. An earlier copy stays until the new one
    is whole.
    """
    partial = folder / "files.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    source = dataset["source"]
    if source["kind"] == "generated":
        phantom.write(partial, dataset["classes"], source["size"], source["seed"])
    else:
        _copy(_locate(name, source), partial)
    files = folder / "files"
    shutil.rmtree(files, ignore_errors=True)
    partial.rename(files)
    list_files(files).to_csv(folder / "manifest.csv", index=False)


def content_hash(manifest: Path) -> str:
    """SHA-256 over paths and contents of all files in ``manifest.csv``, independent of their order."""
    table = pd.read_csv(manifest, keep_default_na=False).sort_values("path")
    lines = (f"{row.sha256}  {row.path}\n" for row in table.itertuples())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _locate(name: str, source: dict[str, Any]) -> Path:
    variable = source["variable"]
    given = os.environ.get(variable) or source.get("path")
    if given:
        path = Path(given).expanduser()
        if not path.exists():
            key = f"the variable {variable}" if os.environ.get(variable) else "source.path"
            raise DataError(f"dataset {name}: {path} does not exist: correct {key}")
        return path
    if source["kind"] == "local":
        raise DataError(
            f"dataset {name}: name your folder or archive in datasets.{name}.source.path "
            f"or in the environment variable {variable}"
        )
    return _download(name, source)


def _download(name: str, source: dict[str, Any]) -> Path:
    import kagglehub

    handle = f"{source['handle']}/versions/{source['version']}"
    try:
        return Path(kagglehub.dataset_download(handle))
    except Exception as error:  # kagglehub raises whatever its HTTP library does
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(
            f"dataset {name}: the download of {handle} failed ({reason}): try again with a network, "
            f"or download it by hand and name the archive in {source['variable']}"
        ) from None


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            destination = target / path.relative_to(source)
            if _is_ignored(path.relative_to(source)):
                continue
            if path.is_dir():  # empty class folders, too, so that they are noticed
                destination.mkdir(parents=True, exist_ok=True)
            elif path.is_file():
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, destination)
    elif zipfile.is_zipfile(source):
        _extract_zip(source, target)
    elif tarfile.is_tarfile(source):
        _extract_tar(source, target)
    else:
        raise DataError(f"{source} is neither a folder nor a readable zip or tar archive")


def _is_ignored(path: PurePosixPath | Path) -> bool:
    return path.name in IGNORED or any(part in ("__MACOSX", ".git") for part in path.parts)


def _check_member(archive: Path, member: str) -> None:
    path = PurePosixPath(member.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise DataError(
            f"{archive} has a member that would be written outside its folder, {member!r}: "
            "nothing was extracted; do not use this archive"
        )


def _extract_zip(source: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            for member in members:
                _check_member(source, member.filename)
            for member in members:
                if not _is_ignored(PurePosixPath(member.filename)):
                    archive.extract(member, target)
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise DataError(f"{source} is damaged or encrypted: {error}") from None


def _extract_tar(source: Path, target: Path) -> None:
    try:
        with tarfile.open(source) as archive:
            members = archive.getmembers()
            for member in members:
                _check_member(source, member.name)
                if not (member.isfile() or member.isdir()):
                    raise DataError(
                        f"{source} has a link or device, {member.name!r}: archives of images need none"
                    )
            chosen = [m for m in members if m.isfile() and not _is_ignored(PurePosixPath(m.name))]
            archive.extractall(target, members=chosen, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{source} is damaged: {error}") from None


def list_files(files: Path) -> pd.DataFrame:
    """Path, size in bytes and SHA-256 of every file below ``files``, by path."""
    paths = sorted(path for path in files.rglob("*") if path.is_file())
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(lambda p: hashlib.sha256(p.read_bytes()).hexdigest(), paths))
    return pd.DataFrame(
        {
            "path": [path.relative_to(files).as_posix() for path in paths],
            "bytes": [path.stat().st_size for path in paths],
            "sha256": digests,
        }
    )
