"""Run folders as a bundle of small files, to bring home from a machine without a network.

A bundle is a folder: ``manifest.json`` and the parts of one compressed archive, each small enough
to be carried. Weights travel in half precision, which is how a teacher teaches wherever it is; an
unfinished run travels as its checkpoint, so that it can be resumed elsewhere.
"""

import gzip
import hashlib
import io
import json
import math
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import Any

from hdkd.errors import RunError
from hdkd.files import CHECKSUMS, extract, sha256, write_json
from hdkd.runs.folder import RunFolder
from hdkd.runs.weights import in_half_precision
from hdkd.study import plan
from hdkd.study.key import RunKey
from hdkd.study.plan import RUN_FILES
from hdkd.training.checkpoint import CHECKPOINT, checkpoint_of, epochs_in, is_locked, settings_in

MEBIBYTE = 2**20
WEIGHTS = "model.safetensors"


def write_bundle(
    profile: str,
    runs: list[RunKey],
    output: Path,
    part_mebibytes: float,
    *,
    root: Path = Path(),
    outbound: bool = False,
    mebibytes: float = math.inf,
) -> dict[str, Any]:
    """Put run folders below ``root``, and what is known of their data, into the folder ``output``.

    Returns the manifest: the parts with their checksums, the runs, finished or not, and those left
    behind because the bundle would have more than ``mebibytes``: finished ones come first, and in
    their order. Runs that have not been started are left out. ``outbound``, to a machine that
    trains the others, finished runs other than teachers travel without weights and predictions.
    Raises ``RunError`` when there is nothing to bundle.
    """
    finished = [run for run in runs if plan.is_finished(root / run.folder)]
    others = [run for run in runs if run not in finished]
    unfinished = [run for run in others if checkpoint_of(root / run.folder).exists()]
    if not finished and not unfinished:
        raise RunError(f"there is no run of the profile {profile} to bundle")
    left_behind: list[RunKey] = []
    room = mebibytes * MEBIBYTE
    archive = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=archive, mode="wb", compresslevel=6, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for run in [*finished, *unfinished]:
            contents = contents_of(run, root / run.folder, outbound)
            size = sum(map(len, contents.values()))
            if size > room:
                left_behind.append(run)
                continue
            room -= size
            for name, content in contents.items():
                add(tar, (run.folder / name).as_posix(), content)
        for dataset in sorted({run.dataset for run in runs}):
            for name in ("facts.json", "split.json"):
                path = plan.prepared_folder(profile, dataset) / name
                if (root / path).exists():
                    add(tar, path.as_posix(), (root / path).read_bytes())
    output.mkdir(parents=True, exist_ok=True)
    for old in output.glob("runs.tar.gz.*"):
        old.unlink()
    parts = write_parts(archive.getvalue(), output / "runs.tar.gz", part_mebibytes)
    manifest = {
        "profile": profile,
        "parts": [{"name": part.name, "sha256": sha256(part)} for part in parts],
        "finished": [run.folder.as_posix() for run in finished if run not in left_behind],
        "unfinished": [run.folder.as_posix() for run in unfinished if run not in left_behind],
        "left": [run.folder.as_posix() for run in left_behind],
    }
    write_json(output / "manifest.json", manifest)
    return manifest


def write_parts(content: bytes, path: Path, mebibytes: float) -> list[Path]:
    """Write ``content`` in parts of at most ``mebibytes``: ``path`` with .000, .001, … added."""
    size = int(mebibytes * MEBIBYTE)
    parts: list[Path] = []
    for start in range(0, len(content), size):
        parts.append(path.with_name(f"{path.name}.{len(parts):03d}"))
        parts[-1].write_bytes(content[start : start + size])
    return parts


def contents_of(run: RunKey, folder: Path, outbound: bool) -> dict[str, bytes]:
    """What travels of a run folder, by name (see :func:`write_bundle`)."""
    if not plan.is_finished(folder):
        return {CHECKPOINT: checkpoint_of(folder).read_bytes()}
    light = outbound and run.role != "teacher"
    names = ("params.json", "metrics.csv", "summary.json", CHECKSUMS) if light else RUN_FILES
    # Some are here without their weights already.
    there = [name for name in names if (folder / name).exists()]
    contents = {name: (folder / name).read_bytes() for name in there}
    if weights := contents.get(WEIGHTS):
        contents[WEIGHTS] = in_half_precision(weights)
        old, new = (hashlib.sha256(w).hexdigest().encode() for w in (weights, contents[WEIGHTS]))
        contents[CHECKSUMS] = contents[CHECKSUMS].replace(old, new)
    return contents


def unpack_bundle(bundle: Path, now: float | None = None) -> tuple[dict[str, Any], list[str]]:
    """Put the run folders of a bundle in their places, with the time ``now``.

    Returns the manifest and the run folders that are new; one that is there already, finished or
    with no fewer epochs behind it, stays as it is. Raises ``RunError`` when a part is missing or
    damaged, when a finished run is there with other results, or when a run trains here now.
    """
    try:
        manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
        content = b"".join(_checked(bundle, p["name"], p["sha256"]) for p in manifest["parts"])
    except FileNotFoundError as error:
        raise RunError(f"{error.filename} is missing: bring the whole bundle") from None
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{bundle / 'manifest.json'} is damaged: bring the bundle again") from None
    placed = []
    # Newer than the data, so that Snakemake takes runs as made from them, and none newer than
    # another, as if a teacher had been trained after its students.
    now = now or time.time()
    with tempfile.TemporaryDirectory(dir=Path(), prefix=".bundle-") as temporary:
        unpacked = Path(temporary)
        _extract(content, unpacked, bundle)
        for name in [*manifest["finished"], *manifest["unfinished"]]:
            source, target = unpacked / _run_folder(name, bundle), Path(name)
            if name in manifest["finished"]:
                wanted = _is_new(name, source, target, bundle)
            else:  # it may have been resumed here, or elsewhere, since then
                epochs = [epochs_in(source / CHECKPOINT), epochs_in(checkpoint_of(target))]
                wanted = not plan.is_finished(target) and epochs[0] > epochs[1]
            if not wanted:
                continue
            _check_replaceable(name, source, target, name in manifest["finished"])
            shutil.rmtree(target, ignore_errors=True)
            checkpoint_of(target).unlink(missing_ok=True)  # may lie elsewhere
            if name in manifest["unfinished"]:
                source, target = source / CHECKPOINT, checkpoint_of(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)  # models/ may be on another disk
            for path in [target, *target.glob("*")]:
                os.utime(path, (now, now))
            placed.append(name)
        for path in sorted((unpacked / "data" / "prepared").rglob("*.json")):
            copy_missing(path, path.relative_to(unpacked))
    return manifest, placed


def _is_new(name: str, source: Path, target: Path, bundle: Path) -> bool:
    """Whether a finished run is not there yet."""
    record = RunFolder(source).summary
    if record.run.folder.as_posix() != name:
        raise RunError(f"{bundle}: {name} has the summary of another run")
    if not plan.is_finished(target):
        return True
    if RunFolder(target).summary != record:
        raise RunError(
            f"{name} is there already, with other results: move it away, or leave this bundle out"
        )
    return False


def _check_replaceable(name: str, source: Path, target: Path, finished: bool) -> None:
    """Raise ``RunError`` where what is unfinished in ``target`` may not be replaced."""
    if _has_other_settings(source, target, finished):
        raise RunError(
            f"{name} is begun here with other settings or data: move it away, or leave this "
            "bundle out"
        )
    if is_locked(target):
        raise RunError(f"{name} trains here now: stop it or wait for its end, and import again")


def _has_other_settings(source: Path, target: Path, finished: bool) -> bool:
    """Whether what is unfinished in ``target`` would not become what is in ``source``."""
    begun = checkpoint_of(target)
    if not begun.exists() or plan.is_finished(target):
        return False
    if not finished:
        return settings_in(begun) not in (None, settings_in(source / CHECKPOINT))
    if not (target / "params.json").exists():
        return False
    made, here = (RunFolder(folder).params for folder in (source, target))
    same = (made.training, made.model, made.distillation) == (
        here.training, here.model, here.distillation
    )  # fmt: skip
    return not (same and made.data.is_same(here.data))


def copy_missing(source: Path, target: Path) -> bool:
    """Copy a file to where there is none, with the folders above it; whether that was so."""
    if target.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return True


def add_to_dvc(bundle: Path, profile: str) -> str:
    """Have DVC version an unpacked bundle, so that its weights travel with the project.

    It is put into ``data/runs/<profile>/``, beside the places that stages of ``dvc.yaml`` own,
    because a stage is versioned when it is complete, and a study in pieces is not. Returns a
    sentence that says what to do next, empty outside a DVC repository.
    """
    folder = Path("data") / "runs" / profile
    if not Path(".dvc").exists() or bundle.resolve().is_relative_to(folder.resolve()):
        return ""
    manifest = (bundle / "manifest.json").read_bytes()
    target = folder / hashlib.sha256(manifest).hexdigest()[:12]
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".bundle-") as temporary:
            copy = Path(temporary) / "bundle"
            for name in ["manifest.json", *(p["name"] for p in json.loads(manifest)["parts"])]:
                copy_missing(bundle / name, copy / name)
            copy.rename(target)
    added = subprocess.run(
        [sys.executable, "-m", "dvc", "add", "--quiet", folder.as_posix()],
        capture_output=True,
        text=True,
        check=False,
    )
    if added.returncode:
        reason = (added.stderr.strip().splitlines() or ["it says nothing"])[-1]
        return (
            f"warning: DVC does not version {folder} ({reason}); `dvc add {folder}` does it later"
        )
    return f"{folder}.dvc: commit it; `dvc push` shares the weights"


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file to an archive, without times or owners: the same content gives the same bytes."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _checked(bundle: Path, name: str, digest: str) -> bytes:
    path = bundle / name
    if Path(name).name != name:
        raise RunError(f"{bundle} has a part outside its folder, {name!r}: do not use this bundle")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise RunError(f"{path} is damaged (its checksum is wrong): bring it again")
    return content


def _inside(name: str, bundle: Path) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.parts[:1] not in (("models",), ("data",)):
        raise RunError(f"{bundle} has a member that would be written outside its folder, {name!r}")
    return name


def _run_folder(name: str, bundle: Path) -> str:
    """``name``, which is that of a run folder: what is there may be replaced."""
    try:
        own = RunKey.of_folder(Path(_inside(name, bundle))).folder.as_posix()
    except ValueError:
        own = ""
    if own != name:
        raise RunError(f"{bundle} has {name!r} for a run folder: do not use this bundle")
    return name


def _extract(content: bytes, target: Path, bundle: Path) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
            members = tar.getmembers()
            for member in members:
                _inside(member.name, bundle)
                if not member.isfile():
                    raise RunError(
                        f"{bundle} has a link or device, {member.name!r}: do not use this bundle"
                    )
            extract(tar, target, members)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise RunError(f"{bundle} is damaged: {error}") from None
