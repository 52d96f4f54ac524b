"""What has to travel to an offline machine, in folders small enough to be carried one by one.

There, ``bash offline.sh MINUTES`` puts it together and trains what the ledger misses most
(:mod:`hdkd.remote.borrow`). Earlier runs travel along as far as they are needed: teachers, which
HDKD learns from, unfinished runs, and the summaries of finished ones, those of the committed
evidence among them.
"""

import contextlib
import hashlib
import io
import math
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from hdkd import config
from hdkd.data.acquire import sources
from hdkd.errors import DataError, RunError
from hdkd.progress import progress
from hdkd.remote import bundle, handover
from hdkd.runs.evidence import SUMMARIES
from hdkd.runs.origin import COMMIT_NOTE, git_commit
from hdkd.study import plan

SOURCE = ("Snakefile", "workflow", "hdkd", "profiles")
# What tracks and downloads stays at home; PuLP is of a scheduler that borrowing does not use.
AT_HOME = {"mlflow", "dvc", "kagglehub", "pulp"}
PART_MEBIBYTES = 8
PART = re.compile(r"@.*\.\d{3}$")  # of an archive
OFFLINE = Path(__file__).with_name("offline.sh")


def pack(
    params: Path,
    profile: str,
    datasets: Sequence[str],
    output: Path,
    transfer_mebibytes: float,
    machine: Path | None = None,
    python: str = "3.12",
) -> list[int]:
    """Fill ``output`` with ``offline.sh`` and the folders 1, 2, … to carry; returns their bytes.

    ``machine`` lists the packages that are there (``pip freeze``): wheels of what is missing for
    Python version ``python`` on Linux x86-64 come along. Without it there are no wheels. Raises
    ``DataError`` when the archive of a dataset is not here, ``output`` holds something else, or the
    working folder is no clone of this project.
    """
    if lacking := [name for name in ("Snakefile", "hdkd") if not Path(name).exists()]:
        raise DataError(f"{lacking[0]} is not here: call this in the folder of the project")
    if output.exists() and any(output.iterdir()) and not (output / OFFLINE.name).exists():
        raise DataError(f"{output} holds something else: name an empty folder with --output")
    parameters = config.read(params) | {"profile": profile, "study": datasets}
    settings = config.resolve(parameters)
    output.mkdir(parents=True, exist_ok=True)
    shutil.copy(OFFLINE, output)
    with tempfile.TemporaryDirectory() as temporary:
        loose = Path(temporary)
        handover.restore(settings)
        (loose / "source.tar.gz").write_bytes(_source(parameters, profile))
        if machine:
            _wheels(missing(machine.read_text("utf-8")), python, loose)
        runs = [run for name in settings.study for run in plan.all_runs(settings, name)]
        with contextlib.suppress(RunError):  # nothing has been trained
            bundle.write_bundle(settings.profile, runs, loose, PART_MEBIBYTES, outbound=True)
        for name in progress(datasets, "archives"):
            _archive(name, settings.dataset(name).source, loose)
        return _fill(sorted(loose.iterdir()), output, int(transfer_mebibytes * bundle.MEBIBYTE))


def missing(present: str) -> list[str]:
    """The packages that training needs, as ``name==version here``, without those ``present``."""
    names = re.findall(r"^([A-Za-z0-9._-]+)", present, flags=re.MULTILINE)
    known = {canonicalize_name(name) for name in names} | AT_HOME
    lacking: dict[str, str] = {}
    waiting = [Requirement(text) for text in metadata.requires("hdkd") or []]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        # A study needs the extra `pipeline` of this project, and no extra of others.
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": "pipeline"})
        if not wanted or name in known or name in lacking:
            continue
        lacking[name] = metadata.version(name)
        waiting += [Requirement(text) for text in metadata.requires(name) or []]
    return [f"{name}=={version}" for name, version in sorted(lacking.items())]


def other_versions(present: str) -> list[str]:
    """What that machine has in another version than here, as ``torch 2.11.0, 2.15.0 here``.

    ``present`` is its ``pip freeze``. Where the version there is outside the range of this project,
    the entry says so.
    """
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", present, flags=re.MULTILINE)
    there = {canonicalize_name(name): Version(version) for name, version in found}
    differing = []
    for requirement in map(Requirement, metadata.requires("hdkd") or []):
        name = canonicalize_name(requirement.name)
        optional = requirement.marker and not requirement.marker.evaluate({"extra": "pipeline"})
        if optional or name in AT_HOME or name not in there:
            continue
        here, version = Version(metadata.version(name)), there[name]
        if here.public != version.public:
            fits = requirement.specifier.contains(version, prereleases=True)
            needed = "" if fits else f", but {name}{requirement.specifier} is needed"
            differing.append(f"{name} {version.public}, {here.public} here{needed}")
    return sorted(differing)


def _wheels(packages: list[str], python: str, folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    target = ["--only-binary=:all:", "--python-version", python, "--implementation", "cp"]
    target += [f"--platform=manylinux_2_{n}_x86_64" for n in (28, 17)] + ["--platform=any"]
    target += ["--platform=manylinux2014_x86_64"]
    for package in progress(packages, "wheels"):
        options = ["--no-deps", package]
        download = [*pip, "download", *target, "--dest", str(folder), *options]
        if not subprocess.run(download, capture_output=True, check=False).returncode:
            continue
        # What is published as source only, and is pure Python, fits every interpreter.
        with tempfile.TemporaryDirectory() as built:
            build = [*pip, "wheel", "--wheel-dir", built, *options]
            failed = subprocess.run(build, check=False).returncode
            wheels = [*Path(built).glob("*-none-any.whl")]
            if failed or not wheels:
                raise RunError(
                    f"there is no wheel of {package} for Python {python}, and none can be made "
                    "here: name another with --python"
                )
            for wheel in wheels:
                shutil.move(wheel, folder / wheel.name)


def _source(parameters: dict[str, Any], profile: str) -> bytes:
    """The project as far as training needs it, with ``parameters``, and the committed evidence."""
    content = io.BytesIO()
    report = plan.report_folder(profile)
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        bundle.add(tar, "params.yaml", yaml.safe_dump(parameters, sort_keys=False).encode())
        for top in (*map(Path, SOURCE), report / SUMMARIES, report / "chosen"):
            for path in sorted([top, *top.rglob("*")]):
                if path.is_file() and path.suffix != ".pyc":
                    bundle.add(tar, path.as_posix(), path.read_bytes())
        if commit := git_commit(Path("hdkd")):
            bundle.add(tar, f"hdkd/{COMMIT_NOTE}", f"{commit}\n".encode())
    return content.getvalue()


def _archive(name: str, source: config.Source, folder: Path) -> None:
    """The archive of a dataset in parts, named for the variable that will point to it."""
    if isinstance(source, config.Generated):
        return
    given = sources.local_source(source)
    archive = Path(given or "").expanduser()
    if not archive.is_file():
        raise DataError(f"dataset {name}: name its archive, one file, in {source.variable}")
    content = archive.read_bytes()
    label = f"{source.variable}@{archive.name}"
    (folder / f"{label}.sha256").write_text(hashlib.sha256(content).hexdigest())
    bundle.write_parts(content, folder / label, PART_MEBIBYTES)


def _fill(files: Iterable[Path], output: Path, limit: int) -> list[int]:
    """Move ``files`` into new folders of at most ``limit`` bytes; returns the bytes of each.

    Raises ``DataError`` for a file that is larger than that.
    """
    files = list(files)
    largest = max(files, key=lambda path: path.stat().st_size)
    if (size := largest.stat().st_size) > limit:
        raise DataError(
            f"--transfer-mebibytes must be at least {math.ceil(size / bundle.MEBIBYTE)}: "
            f"{largest.name} cannot be split"
        )
    for earlier in output.iterdir():  # and nothing else: a bundle may lie there
        if earlier.name.isdecimal():
            shutil.rmtree(earlier)
    sizes: list[int] = []
    # Checksums of archives first: then whoever has the first folder knows whether all have come.
    for path in sorted(files, key=lambda path: (bool(PART.search(path.name)), path.name)):
        size = path.stat().st_size
        if not sizes or sizes[-1] + size > limit:
            sizes.append(0)
        sizes[-1] += size
        folder = output / str(len(sizes))
        folder.mkdir(exist_ok=True)
        shutil.move(path, folder / path.name)
    return sizes
