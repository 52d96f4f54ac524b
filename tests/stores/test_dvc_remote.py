"""A study on a DVC remote that speaks S3: pushed, cloned, pulled, extended; and when it fails."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from services import BUCKET, SECRET, Store, running

from project import Project, repository_of

pytestmark = pytest.mark.stores

# Of the environment that has the package for S3.
DVC = [sys.executable, "-m", "dvc"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory, tiny_parameters: dict, store: Store) -> Project:
    """A built study whose remote is a folder of the bucket."""
    project = repository_of(tmp_path_factory.mktemp("dvc") / "project", tiny_parameters)
    project.run(*DVC, "remote", "add", "--default", "store", f"s3://{BUCKET}/study")
    project.run("git", "commit", "--quiet", "--all", "--message", "remote")
    return project


def test_pushed_cloned_and_pulled_there_is_nothing_to_do_and_a_new_seed_is_all_that_trains(
    repository: Project, store: Store, tmp_path: Path
):
    repository.run(*DVC, "push", **store.variables())
    clone = Project.existing(tmp_path / "clone")
    subprocess.run(
        ["git", "clone", "--quiet", str(repository.folder), str(clone.folder)], check=True
    )
    clone.run(*DVC, "pull", **store.variables())
    clone.run(*DVC, "status", "--quiet")
    clone.run("snakemake", "--touch", "--forceall", "--cores", "1", "all")
    assert clone.planned_rules() == set()
    assert "in sync" in clone.run(*DVC, "status", "--cloud", **store.variables()).stdout

    parameters = clone.parameters
    parameters["sweep"]["shared"]["seeds"] = [0, 1]
    clone.write(parameters)
    planned = clone.snakemake("--dry-run", "students")
    seeds = re.findall(r"hdkd --log \S+ train .* --seed (\d)", planned.stdout + planned.stderr)
    assert seeds == ["1"] * 4, "what was pulled is not trained again"


def push(repository: Project, remote: str, **variables: str) -> subprocess.CompletedProcess:
    """A push to a remote that has nothing yet, or what an earlier one has left."""
    add = ["remote", "add", "--local", "--force", remote, f"s3://{BUCKET}/{remote}"]
    repository.run(*DVC, *add)
    return repository.run(*DVC, "push", "--remote", remote, check=False, **variables)


def assert_in_sync(repository: Project, remote: str, store: Store) -> None:
    status = [*DVC, "status", "--cloud", "--remote", remote]
    assert "in sync" in repository.run(*status, **store.variables()).stdout


MESSAGES = {
    "wrong secret": "Forbidden",
    "dead store": "Could not connect",
}


@pytest.mark.parametrize("fault", MESSAGES)
def test_a_push_that_fails_says_why_and_the_next_one_is_whole(
    repository: Project, store: Store, fault: str
):
    remote = fault.replace(" ", "-")
    variables = store.variables("another" if fault == "wrong secret" else SECRET)
    if fault == "dead store":
        store.stop()
    try:
        result = push(repository, remote, **variables)
    finally:
        if fault == "dead store":
            store.start()
    print(fault, result.returncode, result.stderr[-400:])
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert re.search(MESSAGES[fault], result.stderr)
    assert push(repository, remote, **store.variables()).returncode == 0
    assert_in_sync(repository, remote, store)


def test_a_store_whose_disk_is_full_loses_nothing(repository: Project, tmp_path: Path):
    """On a small file system, which root may mount."""
    store = Store(tmp_path / "buckets")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", store.folder], check=True)
    try:
        (store.folder / BUCKET).mkdir()
        with running(store):
            result = push(repository, "small", **store.variables())
            print("full disk", result.returncode, result.stderr[-600:])
            assert result.returncode != 0
            assert "Traceback" not in result.stderr
            grow = ["mount", "-o", "remount,size=64m", str(store.folder)]
            subprocess.run(grow, check=True)
            assert push(repository, "small", **store.variables()).returncode == 0
            assert_in_sync(repository, "small", store)
    finally:
        subprocess.run(["umount", "--lazy", str(store.folder)], check=True)
