"""The container files, to a linter."""

import subprocess
import sys
from pathlib import Path

import pytest

from project import ROOT

pytestmark = pytest.mark.stores

FILES = sorted((ROOT / "deploy").glob("*Dockerfile"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_linter_has_nothing_to_say(path: Path):
    hadolint = Path(sys.executable).with_name("hadolint")
    result = subprocess.run([hadolint, "--no-color", path], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")
