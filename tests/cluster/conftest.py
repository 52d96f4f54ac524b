"""SLURM, started once."""

from collections.abc import Iterator

import pytest
from slurm import Slurm


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[Slurm]:
    """Two nodes of one core, each with a GPU that is none."""
    with Slurm(tmp_path_factory.mktemp("slurm")).running() as cluster:
        yield cluster
