"""The project built once, small, for all tests of the workflow."""

import pytest
import yaml

from project import ROOT, Project, tiny


@pytest.fixture(scope="session")
def tiny_parameters() -> dict:
    return tiny(yaml.safe_load((ROOT / "params.yaml").read_text()))


@pytest.fixture(scope="session")
def built(tmp_path_factory, tiny_parameters) -> Project:
    """The whole graph, built by Snakemake. Tests leave it as they found it."""
    project = Project(tmp_path_factory.mktemp("snakemake") / "project", tiny_parameters)
    project.snakemake("all")
    return project
