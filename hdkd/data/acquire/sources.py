"""Where images come from: generated, Kaggle, MedMNIST, or a local archive or folder.

Whatever the source, acquisition leaves ``files/`` in the public layout and ``manifest.csv`` with
the size and SHA-256 of every file; nothing later cares where they came from.

pooch would fetch by checksum, but Kaggle publishes none, and most of this module is about archives
that people bring: what is in them is checked before anything is unpacked.
"""

import hashlib
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pandas as pd

from hdkd.config import Dataset, Generated, Kaggle, Local, MedMNIST, plain
from hdkd.data.acquire import medmnist, phantom
from hdkd.errors import DataError, first_few, is_disk_error
from hdkd.files import extract, replacing, sha256
from hdkd.progress import progress

IGNORED = {".DS_Store", "Thumbs.db", "desktop.ini"}
# Images are compressed already: an archive that grows more than this is not one of images.
MAX_EXPANSION = 100
MIN_SUSPICIOUS_SIZE = 2**30
AT_ONCE = 4096  # files that wait for their checksums: each takes a kilobyte meanwhile


def acquire(name: str, dataset: Dataset, folder: Path) -> None:
    """Bring the files of dataset ``name`` into ``folder/files`` and list them in ``manifest.csv``.

    Raises ``DataError`` when the source is missing, is neither a folder, zip nor tar, has members
    or links that leave its folder, would not fit on the disk, or cannot be downloaded. An earlier
    copy stays until the new one is complete.
    """
    partial = folder / "files.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    source = dataset.source
    if isinstance(source, Generated):
        phantom.write(partial, plain(dataset.classes), source.size, source.seed)
    elif isinstance(source, MedMNIST):
        medmnist.write(name, source, partial)
    else:
        _copy(_locate(name, source), partial)
    _check_names(name, partial)
    table = list_files(partial)
    files = folder / "files"
    shutil.rmtree(files, ignore_errors=True)
    partial.rename(files)
    with replacing(folder / "manifest.csv") as listed:
        table.to_csv(listed, index=False)


def content_hash(manifest: Path) -> str:
    """SHA-256 over paths and contents of all files in ``manifest.csv``, whatever their order."""
    table = pd.read_csv(manifest, keep_default_na=False).sort_values("path")
    hasher = hashlib.sha256()
    for digest, path in zip(table["sha256"], table["path"], strict=True):
        hasher.update(f"{digest}  {path}\n".encode())
    return hasher.hexdigest()


def local_source(source: Kaggle | Local | MedMNIST) -> str | None:
    """The archive or folder on this machine that the environment or the parameters name, if any."""
    return os.environ.get(source.variable) or (source.path if isinstance(source, Local) else None)


def _locate(name: str, source: Kaggle | Local) -> Path:
    variable = source.variable
    if place := local_source(source):
        path = Path(place).expanduser()
        if not path.exists():
            key = f"the variable {variable}" if os.environ.get(variable) else "source.path"
            raise DataError(f"dataset {name}: {path} does not exist: correct {key}")
        return path
    if isinstance(source, Local):
        raise DataError(
            f"dataset {name}: name your folder or archive in datasets.{name}.source.path "
            f"or in the environment variable {variable}"
        )
    return _download(name, source)


def _download(name: str, source: Kaggle) -> Path:
    handle = f"{source.handle}/versions/{source.version}"
    try:
        import kagglehub
    except ImportError:
        raise DataError(
            f"dataset {name}: name its archive in {source.variable}; without the package kagglehub "
            "it is not downloaded"
        ) from None
    try:
        return Path(kagglehub.dataset_download(handle))
    except Exception as error:  # kagglehub raises whatever its HTTP library does
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(
            f"dataset {name}: the download of {handle} failed ({reason}): try again with a "
            f"network, or download it yourself and name the archive in {source.variable}"
        ) from None


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        _copy_folder(source, target)
    elif zipfile.is_zipfile(source):
        _extract_zip(source, target)
    elif tarfile.is_tarfile(source):
        _extract_tar(source, target)
    else:
        raise DataError(f"{source} is neither a folder nor a readable zip or tar archive")


def _copy_folder(source: Path, target: Path) -> None:
    if target.resolve().is_relative_to(source.resolve()):
        raise DataError(
            f"{source} contains {target.parent}, where its copy would be: name the folder of the "
            "images"
        )
    paths = [p for p in paths_below(source) if not is_ignored(p.relative_to(source))]
    leaving = [
        path.relative_to(source).as_posix()
        for path in paths
        if path.is_symlink()
        and not (path.is_file() and path.resolve().is_relative_to(source.resolve()))
    ]
    if leaving:
        raise DataError(
            f"{source} has links to folders, to nothing or out of it ({first_few(leaving)}): put "
            "the images themselves there"
        )
    _check_room(source, sum(path.stat().st_size for path in paths if path.is_file()), target)
    for path in progress(paths, "copying"):
        destination = target / path.relative_to(source)
        if path.is_dir():  # empty class folders, too, so that they are noticed
            destination.mkdir(parents=True, exist_ok=True)
        elif path.is_file():
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, destination)


def paths_below(folder: Path) -> list[Path]:
    """Everything in a folder and in those below it; links to folders are not followed.

    Raises ``OSError`` where one of them cannot be read, unlike ``Path.rglob``, which skips it.
    """
    found = []
    for place, folders, files in os.walk(folder, onerror=_raise):
        found += [Path(place) / name for name in (*folders, *files)]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


def is_ignored(path: PurePosixPath | Path) -> bool:
    """What systems and programs add to folders and archives, such as hidden folders."""
    return (
        path.name in IGNORED
        or path.name.startswith("._")
        or "__MACOSX" in path.parts
        or any(part.startswith(".") and part != ".." for part in path.parts[:-1])
    )


def _check_room(source: Path, size: int, target: Path) -> None:
    """Refuse what would fill the disk, before the first byte of it is written."""
    packed = source.stat().st_size
    if source.is_file() and size > max(MIN_SUSPICIOUS_SIZE, MAX_EXPANSION * packed):
        raise DataError(
            f"{source} would grow from {packed / 2**20:.1f} MiB to {size / 2**20:.0f} MiB, as no "
            "archive of images does: nothing was extracted; do not use it"
        )
    free = shutil.disk_usage(target).free
    if size > free:
        raise DataError(
            f"{source} needs {size / 2**20:.0f} MiB in {target.parent}, where "
            f"{free / 2**20:.0f} MiB are free: make room and start again"
        )


def _check_names(name: str, folder: Path) -> None:
    """Refuse names that cannot be written into tables, which are UTF-8."""
    paths = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*"))]
    odd = [repr(path) for path in paths if path.encode(errors="ignore").decode() != path]
    if odd:
        raise DataError(
            f"dataset {name}: names that are not UTF-8: {first_few(odd)}: rename these files"
        )


def _check_member(archive: Path, member: str) -> None:
    path = PurePosixPath(member.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
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
            chosen = [m for m in members if not is_ignored(PurePosixPath(m.filename))]
            _check_room(source, sum(member.file_size for member in chosen), target)
            for member in progress(chosen, "extracting"):
                archive.extract(member, target)
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        RuntimeError,
        NotImplementedError,
    ) as error:
        raise DataError(f"{source} is damaged or encrypted: {error}") from None


def _extract_tar(source: Path, target: Path) -> None:
    try:
        with tarfile.open(source) as archive:
            members = archive.getmembers()
            for member in members:
                _check_member(source, member.name)
                if not (member.isfile() or member.isdir()):
                    raise DataError(
                        f"{source} has a link or device, {member.name!r}: archives of images "
                        "need none"
                    )
            chosen = [m for m in members if m.isfile() and not is_ignored(PurePosixPath(m.name))]
            _check_room(source, sum(member.size for member in chosen), target)
            extract(archive, target, chosen)
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        if isinstance(error, OSError) and is_disk_error(error):
            raise
        raise DataError(f"{source} is damaged: {error}") from None


def list_files(files: Path) -> pd.DataFrame:
    """Path, size in bytes and SHA-256 of every file below ``files``, by path."""
    paths = sorted(path for path in files.rglob("*") if path.is_file())
    digests: list[str] = []
    with ThreadPoolExecutor() as pool:
        for start in progress(range(0, len(paths), AT_ONCE), "checksums"):
            digests += pool.map(sha256, paths[start : start + AT_ONCE])
    return pd.DataFrame(
        {
            "path": [path.relative_to(files).as_posix() for path in paths],
            "bytes": [path.stat().st_size for path in paths],
            "sha256": digests,
        }
    )
