"""A study on a DVC remote that speaks S3: pushed, cloned, pulled, extended; and when it fails."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from services import BUCKET, Store

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


@pytest.mark.parametrize("fault", ["wrong secret", "missing bucket", "dead store"])
def test_a_push_that_fails_says_why_and_the_next_one_is_whole(
    repository: Project, store: Store, fault: str
):
    bucket, away = store.folder / BUCKET, store.folder / "away"
    variables = store.variables()
    if fault == "wrong secret":
        variables = store.variables(secret="another")
    elif fault == "missing bucket":
        bucket.rename(away)
    else:
        store.stop()
    try:
        result = repository.run(*DVC, "push", check=False, **variables)
    finally:
        if fault == "missing bucket":
            away.rename(bucket)
        elif fault == "dead store":
            store.start()
    errors = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
    print(fault, result.returncode, errors)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert errors
    repository.run(*DVC, "push", **store.variables())
    assert "in sync" in repository.run(*DVC, "status", "--cloud", **store.variables()).stdout


def test_a_store_whose_disk_is_full_loses_nothing(repository: Project, tmp_path: Path):
    """On a small file system, which root may mount."""
    store = Store(tmp_path / "buckets")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", store.folder], check=True)
    try:
        (store.folder / BUCKET).mkdir()
        store.start()
        local = ["remote", "add", "--local", "--force", "small", f"s3://{BUCKET}/study"]
        repository.run(*DVC, *local)
        result = repository.run(*DVC, "push", "--remote", "small", check=False, **store.variables())
        print("full disk", result.returncode, result.stderr[-600:])
        assert result.returncode != 0
        assert "ERROR" in result.stderr
        grow = ["mount", "-o", "remount,size=64m", str(store.folder)]
        subprocess.run(grow, check=True)
        repository.run(*DVC, "push", "--remote", "small", **store.variables())
        status = [*DVC, "status", "--cloud", "--remote", "small"]
        assert "in sync" in repository.run(*status, **store.variables()).stdout
    finally:
        store.stop()
        subprocess.run(["umount", "--lazy", str(store.folder)], check=True)
