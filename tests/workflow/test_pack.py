"""A study carried to a machine without a network, and home again."""

import copy
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tomllib
from importlib import metadata
from pathlib import Path

import pandas as pd
import pytest
import torch

from hdkd.remote.pack import OFFLINE, missing, other_versions
from hdkd.runs import evidence
from project import Project

LIMIT = 2**20


@pytest.fixture(scope="module")
def home(tmp_path_factory, tiny_parameters) -> Project:
    """A project whose study is an archive of one's own images: teacher, student and HDKD."""
    parameters = copy.deepcopy(tiny_parameters)
    parameters["datasets"]["folder"]["subsets"] = [8]
    parameters["ablations"]["demo"] = {"variants": [], "subset": 8, "distillation": None}
    parameters["baselines"]["demo"]["models"] = []
    parameters["student"]["demo"] |= {"epochs": 1500, "evaluate_every": 500}
    return Project(tmp_path_factory.mktemp("home") / "project", parameters)


def stand_in_for_mps(folder: Path) -> Path:
    """A folder with a command of MPS's name, which notes what it is told beside itself."""
    folder.mkdir(exist_ok=True)
    command = folder / "nvidia-cuda-mps-control"
    command.write_text('#!/bin/sh\n[ "$1" ] || read line\necho "$1$line" >> "$0.log"\n')
    command.chmod(0o755)
    return folder


def there(home: Project, carried: Path, minutes: str) -> subprocess.CompletedProcess:
    """What is typed on the machine without a network, which has the packages of this one."""
    command = ["bash", str(carried / "offline.sh"), minutes, "2"]
    isolated = ["unshare", "--map-root-user", "--net", *command]
    if subprocess.run(["unshare", "--map-root-user", "--net", "true"]).returncode == 0:
        command = isolated
    environment = home.environment(PYTHONPATH="")
    mps = stand_in_for_mps(carried.with_name("mps"))
    environment["PATH"] = f"{mps}:{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_transfer_that_is_too_small_is_refused_and_leaves_what_was_packed(
    home, image_folder, tmp_path
):
    archive = shutil.make_archive(str(tmp_path / "images"), "zip", image_folder)
    pack = ["hdkd", "pack", "--dataset", "folder", "--output", str(tmp_path / "carried")]
    home.run(*pack, HDKD_FOLDER=archive)
    before = sorted(path.name for path in (tmp_path / "carried").rglob("*"))
    limits = ["--transfer-mebibytes", "0.01"]
    refused = home.run(*pack, *limits, check=False, HDKD_FOLDER=archive)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: --transfer-mebibytes must be at least 1: ")
    assert sorted(path.name for path in (tmp_path / "carried").rglob("*")) == before


@pytest.mark.slow
def test_a_study_goes_away_and_comes_home_finished(home, image_folder, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "images"), "zip", image_folder)
    machine = tmp_path / "machine.txt"
    installed = sorted(f"{d.name}=={d.version}" for d in metadata.distributions())
    machine.write_text("\n".join(installed))
    pack = [
        "hdkd", "pack", "--dataset", "folder", "--machine", str(machine),
        "--transfer-mebibytes", str(LIMIT / 2**20),
    ]  # fmt: skip
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "study"]):
        home.run("git", *command)
    for piece in range(1, 8):
        carried = tmp_path / f"carried-{piece}"
        home.run(*pack, "--output", str(carried), HDKD_FOLDER=archive)
        for folder in carried.glob("[0-9]*"):
            assert sum(path.stat().st_size for path in folder.iterdir()) <= LIMIT
        result = there(home, carried, "1")
        assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
        told = (tmp_path / "mps" / "nvidia-cuda-mps-control.log").read_text().split()
        assert told == ["-d", "quit"] * piece, "MPS is started for two runs at once, and stopped"
        if not torch.cuda.is_available():
            assert "warning: MPS is there, but no process can use it" in result.stderr
        home.run("hdkd", "import-runs", str(carried / "bundle"))
        if len(list((home.folder / "models").rglob("SHA256SUMS"))) == 3:
            break
    summaries = evidence.read(home.folder / "reports/demo/summaries.jsonl")
    assert len(summaries) == 3
    commit = home.run("git", "rev-parse", "HEAD").stdout.strip()
    assert {summary.provenance.git_commit for summary in summaries} == {commit}
    epochs = pd.read_csv(home.folder / "reports/demo/epochs.csv")
    assert epochs.groupby("run")["epoch"].max().tolist() == [1500, 1500, 2]


def test_what_is_committed_of_a_study_travels(home, image_folder, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "images"), "zip", image_folder)
    committed = home.folder / "reports/demo" / evidence.SUMMARIES
    committed.parent.mkdir(parents=True, exist_ok=True)
    before = committed.read_bytes() if committed.exists() else None
    committed.touch()
    carried = str(tmp_path / "carried")
    home.run("hdkd", "pack", "--dataset", "folder", "--output", carried, HDKD_FOLDER=archive)
    with tarfile.open(tmp_path / "carried/1/source.tar.gz") as source:
        assert {"params.yaml", "Snakefile", f"reports/demo/{evidence.SUMMARIES}"} <= {
            *source.getnames()
        }
    if before is None:
        committed.unlink()


def test_packing_elsewhere_than_in_the_project_is_refused(home, tmp_path):
    params = str(home.folder / "params.yaml")
    command = ["hdkd", "pack", "--params", params, "--dataset", "folder", "--output", "carried"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=home.environment(), capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stderr == "error: Snakefile is not here: call this in the folder of the project\n"


def test_only_packages_that_training_needs_and_the_machine_lacks_come_along():
    everything = "\n".join(d.name for d in metadata.distributions())
    assert missing(everything) == []
    without = "\n".join(d.name for d in metadata.distributions() if d.name != "snakemake")
    assert missing(without) == [f"snakemake=={metadata.version('snakemake')}"]
    names = {each.partition("==")[0] for each in missing("torch==2.11.0\ntorchvision\ntimm\n")}
    assert {"snakemake", "pandas", "scikit-learn", "imbalanced-learn"} <= names
    assert not names & {"torch", "mlflow", "dvc", "pulp"}


def test_versions_that_differ_are_named_and_so_are_those_that_are_too_old():
    here = {name: metadata.version(name).partition("+")[0] for name in ("torch", "numpy")}
    assert other_versions(f"torch=={here['torch']}+cu999\nnumpy=={here['numpy']}\n") == []
    found = other_versions("Torch==2.11.0\nnumpy==1.2\npytest==1.0\nscipy @ file:///scipy\n")
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    (numpy,) = [each for each in project["dependencies"] if each.startswith("numpy")]
    assert found == [
        f"numpy 1.2, {here['numpy']} here, but {numpy} is needed",
        f"torch 2.11.0, {here['torch']} here",
    ]


def test_packing_removes_nothing_but_what_it_packed_before(home, image_folder, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "images"), "zip", image_folder)
    pack = ["hdkd", "pack", "--dataset", "folder", "--output"]
    carried, other = tmp_path / "carried", tmp_path / "other"
    home.run(*pack, str(carried), HDKD_FOLDER=archive)
    (carried / "bundle").mkdir()
    (carried / "7").mkdir()
    home.run(*pack, str(carried), HDKD_FOLDER=archive)
    assert sorted(path.name for path in carried.iterdir()) == ["1", "bundle", "offline.sh"]
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    result = home.run(*pack, str(other), check=False, HDKD_FOLDER=archive)
    assert result.returncode == 2
    assert (
        result.stderr
        == f"error: {other} holds something else: name an empty folder with --output\n"
    )
    assert (other / "thesis.txt").exists()


def test_a_dataset_without_an_archive_is_named(home, tmp_path):
    result = home.run(
        "hdkd", "pack", "--dataset", "folder", "--output", str(tmp_path / "carried"), check=False
    )
    assert result.returncode == 2
    assert result.stderr == "error: dataset folder: name its archive, one file, in HDKD_FOLDER\n"


def test_an_archive_in_more_than_nine_folders_is_put_together_in_their_order(tmp_path):
    parts = [f"part {number}\n".encode() for number in range(12)]
    whole = b"".join(parts)
    for number, part in enumerate(parts):
        folder = tmp_path / "carried" / str(number + 1)
        folder.mkdir(parents=True)
        (folder / f"HDKD_FOLDER@images.zip.{number:03d}").write_bytes(part)
    first = tmp_path / "carried/1"
    (first / "HDKD_FOLDER@images.zip.sha256").write_text(hashlib.sha256(whole).hexdigest())
    with tarfile.open(first / "source.tar.gz", "w:gz"):
        pass  # no project: it ends after the archives
    shutil.copy(OFFLINE, tmp_path / "carried")
    subprocess.run(["bash", tmp_path / "carried/offline.sh", "1"], capture_output=True, check=False)
    assert (tmp_path / "carried/work/archives/images.zip").read_bytes() == whole


def test_an_archive_that_has_not_come_whole_is_named(home, image_folder, tmp_path):
    """Neither a part that is damaged, nor one that is not there."""
    archive = shutil.make_archive(str(tmp_path / "images"), "zip", image_folder)
    carried = tmp_path / "carried"
    home.run("hdkd", "pack", "--dataset", "folder", "--output", str(carried), HDKD_FOLDER=archive)
    part = next(carried.glob("*/HDKD_FOLDER@images.zip.000"))
    said = "error: images.zip is incomplete: copy all the folders that were packed\n"
    part.write_bytes(part.read_bytes()[:-1])
    result = there(home, carried, "1")
    assert (result.returncode, result.stderr) == (2, said)
    part.unlink()
    result = there(home, carried, "1")
    assert (result.returncode, result.stderr) == (2, said)
