"""The commit that a run says it was made with."""

import os
import subprocess
from pathlib import Path

import pytest

from hdkd.runs.origin import git_commit


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    command = ["git", *identity, *arguments]
    environment = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def code(tmp_path) -> Path:
    """The package of a repository that also has a report."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "module.py").write_text("x = 1\n")
    (tmp_path / "report.csv").write_text("1\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    return package


def test_is_the_head(code):
    assert git_commit(code) == git(code, "rev-parse", "HEAD")


def test_is_dirty_when_code_was_changed(code):
    (code / "module.py").write_text("x = 2\n")
    assert git_commit(code) == f"{git(code, 'rev-parse', 'HEAD')}-dirty"


def test_is_dirty_when_code_was_added(code):
    (code / "another.py").write_text("x = 2\n")
    assert git_commit(code).endswith("-dirty")


def test_is_not_dirty_when_a_report_was_written(code):
    (code.parent / "report.csv").unlink()
    assert git_commit(code) == git(code, "rev-parse", "HEAD")


def test_is_none_outside_of_git(tmp_path):
    assert git_commit(tmp_path) is None


def test_is_none_in_a_repository_that_does_not_have_the_code(code):
    environment = code.parent / "environment"
    environment.mkdir()
    (environment / "module.py").write_text("x = 1\n")
    assert git_commit(environment) is None


def test_is_what_was_noted_for_a_copy_without_its_repository(tmp_path):
    (tmp_path / "commit.txt").write_text("0123abcd\n")
    assert git_commit(tmp_path) == "0123abcd"
