"""A tiny study, and the services that keep its runs and its data."""

from collections.abc import Iterator

import pytest
from services import PostgreSQL, Server, Store, empty_database, running

from project import Project, parameters, tiny


@pytest.fixture(scope="session")
def tiny_parameters() -> dict:
    """A teacher, students and HDKD on two sizes."""
    chosen = tiny(parameters())
    chosen["ablations"]["demo"] = {
        "variants": [], "subset": 16, "distillation": None, "controls": None,
    }  # fmt: skip
    chosen["baselines"]["demo"] = {"models": []}
    return chosen


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Iterator[Store]:
    """What speaks S3; tests that stop it start it again."""
    store = Store(tmp_path_factory.mktemp("store") / "buckets")
    with running(store):
        yield store


@pytest.fixture
def database() -> Iterator[PostgreSQL]:
    """An empty one."""
    with empty_database() as database:
        yield database


@pytest.fixture
def server(database: PostgreSQL, store: Store, project: Project) -> Iterator[Server]:
    """An MLflow server on both."""
    server = Server(database, project.environment(**store.variables()))
    with running(server):
        yield server
