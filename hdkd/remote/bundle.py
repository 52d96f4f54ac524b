"""Run folders as a bundle of small files, to bring home from a machine without a network.

A bundle is a folder: ``manifest.json`` and the parts of one compressed archive, each small enough to be
carried. Weights travel in half precision, which is how a teacher teaches wherever it is; a training that was
not finished travels as its checkpoint, so that it can go on elsewhere.
"""

import gzip
import hashlib
import io
import json
import math
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from hdkd.errors import RunError
from hdkd.files import SUMS, extract
from hdkd.runs.folder import RunFolder
from hdkd.runs.weights import in_half_precision
from hdkd.study import plan
from hdkd.study.plan import RUN_FILES, RunKey
from hdkd.training.checkpoint import CHECKPOINT, epochs_in

MEBIBYTE = 2**20
WEIGHTS = "model.safetensors"


def write_bundle(
    profile: str,
    runs: list[RunKey],
    output: Path,
    part_mebibytes: float,
    root: Path = Path(),
    outward: bool = False,
    mebibytes: float = math.inf,
) -> dict[str, Any]:
    """Put the run folders of ``runs``, and what is known of their data, into the folder ``output``.

    Returns the manifest: the parts with their checksums, the runs, finished or not, and those left behind
    because the bundle would have more than ``mebibytes``: finished ones come first, and in their order.
    Runs that have not begun are left out. ``outward``, to a machine that is to train the others, finished
    runs travel without weights and predictions, but for teachers. Raises ``RunError`` when there is
    nothing to bundle.
    """
    finished = [run for run in runs if plan.is_finished(root / run.folder)]
    others = [run for run in runs if run not in finished]
    unfinished = [run for run in others if (root / run.folder / CHECKPOINT).exists()]
    if not finished and not unfinished:
        raise RunError(f"there is no run of the profile {profile} to bundle")
    left: list[RunKey] = []
    room = mebibytes * MEBIBYTE
    archive = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=archive, mode="wb", compresslevel=6, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for run in [*finished, *unfinished]:
            contents = contents_of(run, root / run.folder, outward)
            size = sum(map(len, contents.values()))
            if size > room:
                left.append(run)
                continue
            room -= size
            for name, content in contents.items():
                add(tar, (run.folder / name).as_posix(), content)
        for dataset in sorted({run.dataset for run in runs}):
            for name in ("facts.json", "split.json"):
                path = plan.prepared(profile, dataset) / name
                if (root / path).exists():
                    add(tar, path.as_posix(), (root / path).read_bytes())
    output.mkdir(parents=True, exist_ok=True)
    for old in output.glob("runs.tar.gz.*"):
        old.unlink()
    content, size = archive.getvalue(), int(part_mebibytes * MEBIBYTE)
    parts = []
    for number, start in enumerate(range(0, len(content), size)):
        name, part = f"runs.tar.gz.{number:03d}", content[start : start + size]
        (output / name).write_bytes(part)
        parts.append({"name": name, "sha256": hashlib.sha256(part).hexdigest()})
    manifest = {
        "profile": profile,
        "parts": parts,
        "finished": [run.folder.as_posix() for run in finished if run not in left],
        "unfinished": [run.folder.as_posix() for run in unfinished if run not in left],
        "left": [run.folder.as_posix() for run in left],
    }
    (output / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
    return manifest


def contents_of(run: RunKey, folder: Path, outward: bool) -> dict[str, bytes]:
    """What travels of a run folder, by name (see :func:`write_bundle`)."""
    if not plan.is_finished(folder):
        return {CHECKPOINT: (folder / CHECKPOINT).read_bytes()}
    names = RUN_FILES
    if outward and run.role != "teacher":
        names = ("params.json", "metrics.csv", "summary.json", SUMS)
    contents = {name: (folder / name).read_bytes() for name in names}
    if weights := contents.get(WEIGHTS):
        half = contents[WEIGHTS] = in_half_precision(weights)
        contents[SUMS] = contents[SUMS].replace(_digest(weights), _digest(half))
    return contents


def unpack_bundle(bundle: Path, root: Path = Path()) -> tuple[dict[str, Any], list[str]]:
    """Put the run folders of a bundle in their places below ``root``.

    Returns the manifest and the run folders that are new; one that is there already, finished or with
    no fewer epochs behind it, stays as it is. Raises ``RunError`` when a part is missing or damaged, or
    when a finished run is there with other results.
    """
    try:
        manifest = json.loads((bundle / "manifest.json").read_text("utf-8"))
        content = b"".join(_checked(bundle, p["name"], p["sha256"]) for p in manifest["parts"])
    except FileNotFoundError as error:
        raise RunError(f"{error.filename} is missing: bring the whole bundle") from None
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{bundle / 'manifest.json'} is damaged: bring the bundle again") from None
    placed = []
    with tempfile.TemporaryDirectory(dir=_made(root), prefix=".bundle-") as temporary:
        fresh = Path(temporary)
        _extract(content, fresh, bundle)
        for name in [*manifest["finished"], *manifest["unfinished"]]:
            source, target = fresh / _inside(name, bundle), root / name
            if name in manifest["finished"]:
                record = RunFolder(source).record
                if record.run.folder.as_posix() != name:
                    raise RunError(f"{bundle}: {name} has the summary of another run")
                if plan.is_finished(target):
                    if RunFolder(target).record != record:
                        raise RunError(
                            f"{name} is there already, with other results: move it away, or leave "
                            "this bundle out"
                        )
                    continue
            elif plan.is_finished(target) or epochs_in(target / CHECKPOINT) >= epochs_in(
                source / CHECKPOINT
            ):
                continue  # has gone on here, or elsewhere, in the meantime
            shutil.rmtree(target, ignore_errors=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
            for path in target.iterdir():
                path.touch()  # newer than the data, so that Snakemake takes it as made from them
            placed.append(name)
        prepared = fresh / "data" / "prepared"
        for path in sorted(prepared.rglob("*.json")):
            target = root / path.relative_to(fresh)
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
    return manifest, placed


def keep(bundle: Path, profile: str, root: Path = Path()) -> str:
    """Have DVC version an unpacked bundle, as it came: its weights travel with the project from then on.

    It is kept in ``data/runs/<profile>/``, beside the places that stages of ``dvc.yaml`` own, because a
    stage is versioned when it is whole, and a study in pieces is not. Returns what to do next, in a
    sentence; outside a DVC repository that is none.
    """
    folder = root / "data" / "runs" / profile
    if not (root / ".dvc").exists() or bundle.resolve().is_relative_to(folder.resolve()):
        return ""
    manifest = (bundle / "manifest.json").read_bytes()
    target = folder / hashlib.sha256(manifest).hexdigest()[:12]
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=_made(folder.parent), prefix=".bundle-") as temporary:
            copy = Path(temporary) / "bundle"
            copy.mkdir()
            for name in [
                "manifest.json",
                *(part["name"] for part in json.loads(manifest)["parts"]),
            ]:
                shutil.copyfile(bundle / name, copy / name)
            _made(folder)
            copy.rename(target)
    path = folder.relative_to(root)
    added = subprocess.run(
        [sys.executable, "-m", "dvc", "add", "--quiet", path.as_posix()],
        cwd=root,
        capture_output=True,
        text=True,
    )
    if added.returncode:
        reason = (added.stderr.strip().splitlines() or ["it says nothing"])[-1]
        return f"warning: DVC does not version {path} ({reason}); `dvc add {path}` does it later"
    return f"{path}.dvc: commit it; `dvc push` shares the weights"


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add a file of that content, without times or owners."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _checked(bundle: Path, name: str, digest: str) -> bytes:
    path = bundle / name
    if Path(name).name != name:
        raise RunError(f"{bundle} has a part outside its folder, {name!r}: use no such bundle")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise RunError(f"{path} is damaged (its checksum is wrong): bring it again")
    return content


def _inside(name: str, bundle: Path) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.parts[:1] not in (("models",), ("data",)):
        raise RunError(f"{bundle} has a member that would be written outside its folder, {name!r}")
    return name


def _extract(content: bytes, target: Path, bundle: Path) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as tar:
            members = tar.getmembers()
            for member in members:
                _inside(member.name, bundle)
                if not member.isfile():
                    raise RunError(
                        f"{bundle} has a link or device, {member.name!r}: use no such bundle"
                    )
            extract(tar, target, members)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise RunError(f"{bundle} is damaged: {error}") from None
