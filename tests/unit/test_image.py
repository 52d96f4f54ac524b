"""The container image: what its file copies is there, its packages are those of the locks."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from project import ROOT

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
# Comments stand between instructions, and a line that ends with a backslash goes on.
LINES = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
TARGETS = ("cpu", "cuda")


def stage(name: str) -> list[str]:
    """The instructions of a stage, and before them those of the stages that it is built on."""
    start = next(k for k, line in enumerate(LINES) if line.endswith(f" AS {name}"))
    own = LINES[start + 1 :]
    own = own[: next((k for k, line in enumerate(own) if line.startswith("FROM ")), len(own))]
    base = LINES[start].split()[1]
    return ([] if base.startswith("$") else stage(base)) + [line for line in own if line]


def copied(name: str) -> list[str]:
    """What a stage takes from the project's folder."""
    lines = [line.split()[1:] for line in stage(name) if re.match(r"COPY (?!--from)", line)]
    return [source for *sources, _ in lines for source in sources]


def locked(lock: str) -> dict[str, str]:
    """Versions by package of the lines of a lock."""
    pins = re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in pins}


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A folder with what ``.dockerignore`` lets through."""
    every, *allowed, bytecode = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[0] != "#"
    ]
    assert (every, bytecode) == ("*", "**/__pycache__")
    for name in (line.removeprefix("!") for line in allowed):
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(source, tmp_path / name)
    return tmp_path


def filtered(context: Path, name: str) -> dict[str, str]:
    """What the commands of a stage that select packages leave, file by file."""
    for line in stage(name):
        if line.startswith("RUN "):
            for command in line.removeprefix("RUN ").split(" && "):
                if command.strip().startswith("grep "):
                    subprocess.run(["bash", "-c", command], cwd=context, check=True)
    return {path.name: path.read_text() for path in context.glob("*.lock")}


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_copied_is_let_through_and_makes_a_package_that_knows_the_project(
    context: Path, target: str
):
    names = copied(f"build-{target}")
    assert {path.name for path in context.iterdir()} == set(names)
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*wheel, "--wheel-dir", "wheels", "."], cwd=context, check=True)
    [path] = (context / "wheels").glob("hdkd-*.whl")
    files = set(zipfile.ZipFile(path).namelist())
    assert {"hdkd/params.yaml", "hdkd/pretrained/ham10000/model.safetensors"} <= files


def test_the_packages_for_the_cpu_are_those_of_the_lock_but_for_cuda(context: Path):
    files = filtered(context, "build-cpu")
    every = locked((ROOT / "requirements.lock").read_text())
    kept, torch = locked(files["cpu.lock"]), locked(files["torch.lock"])
    assert set(torch) == {"torch", "torchvision"}
    assert every.items() >= (kept | torch).items()
    left_out = every.keys() - kept.keys() - torch.keys()
    assert {"nvidia-cublas", "triton"} < left_out
    for name in kept:  # nothing else needs what is left out
        try:
            needed = [Requirement(line) for line in requires(name) or []]
        except PackageNotFoundError:
            continue  # of another platform or Python
        here = {canonicalize_name(r.name) for r in needed if not r.marker or r.marker.evaluate()}
        assert not here & left_out, name


def test_the_packages_for_s3_are_those_of_the_lock(context: Path):
    files = filtered(context, "build")
    chosen = locked(files["s3.lock"])
    assert locked((ROOT / "requirements-services.lock").read_text()).items() > chosen.items()
    assert list(locked(files["plugin.lock"])) == ["snakemake-storage-plugin-s3"]
    assert set(chosen) == {
        "boto3", "botocore", "jmespath", "s3transfer", "snakemake-storage-plugin-s3",
    }  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_the_image_runs_as_an_ordinary_user_by_number(target: str):
    users = [line for line in stage(target) if line.startswith("USER ")]
    assert users == ["USER 1000:1000"]


def test_the_profile_names_a_target_and_a_claim_that_are_there():
    profile = (ROOT / "profiles" / "kubernetes" / "config.yaml").read_text()
    image = yaml.safe_load(profile)["container-image"]
    assert image.rpartition(":")[2] in TARGETS
    claim = yaml.safe_load((ROOT / "deploy" / "checkpoints.yaml").read_text())
    assert f'["{claim["metadata"]["name"]}:/checkpoints"]' in profile
