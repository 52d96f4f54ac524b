"""The project built once, small, for all tests of the workflow."""

import pytest

from project import Project, parameters, tiny


@pytest.fixture(scope="session")
def tiny_parameters() -> dict:
    return tiny(parameters())


@pytest.fixture(scope="session")
def built(tmp_path_factory, tiny_parameters) -> Project:
    """The whole graph, built by Snakemake. Tests leave it as they found it."""
    project = Project(tmp_path_factory.mktemp("snakemake") / "project", tiny_parameters)
    project.snakemake("all")
    return project
