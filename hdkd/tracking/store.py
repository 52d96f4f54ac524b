"""The MLflow store: one experiment per profile and dataset, in it the parent run of its sweep.

Where it is may be shown, but never with credentials.
"""

import contextlib
import functools
import os
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import filelock

from hdkd.errors import UserError

STORE = Path("mlflow")
SWEEP_TAG = "hdkd.sweep"
# Tells MLflow that the experiment holds runs, not conversations with a language model.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
PAGE = 1000  # runs that one search returns
LOCK_SECONDS = 60  # that another process may take to create the store


@dataclass(frozen=True)
class Experiment:
    """Identifiers of an experiment and of the parent run of its sweep."""

    identifier: str
    sweep: str


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI``, or a SQLite file in the ignored folder ``mlflow/``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{STORE / 'mlflow.db'}"


def database() -> Path | None:
    """The SQLite file of the store; ``None`` where it is a server or a folder."""
    uri = tracking_uri()
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def shown_uri() -> str:
    """The tracking URI without credentials."""
    uri = tracking_uri()
    credentials, at, _ = urlparse(uri).netloc.rpartition("@")
    return uri.replace(f"{credentials}{at}", "", 1) if at else uri


def warn(error: Exception) -> None:
    """Say on stderr, in one line, that MLflow failed, and which command makes up for it.

    An error of ours, such as a damaged run folder, speaks for itself.
    """
    if isinstance(error, UserError):
        print(f"warning: {error}", file=sys.stderr)
        return
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    if credentials := urlparse(tracking_uri()).netloc.rpartition("@")[0]:
        reason = reason.replace(f"{credentials}@", "")
    print(
        f"warning: MLflow at {shown_uri()} failed ({reason}); going on without it: "
        "`hdkd deliver` gives it later what it misses",
        file=sys.stderr,
    )


def connect() -> Any:
    """The package ``mlflow`` at our tracking URI; it takes seconds to import and may be missing.

    A client of it may be made where :func:`experiment` has been called.
    """
    import mlflow

    if mlflow.__file__ is None:  # the folder of the store, which Python takes for a package
        raise ImportError("the package mlflow is not installed")
    mlflow.set_tracking_uri(tracking_uri())
    return mlflow


def experiment(profile: str, dataset: str, title: str) -> Experiment:
    """The experiment of a dataset, created with its sweep and the store where there is none yet.

    Any number of processes may ask at once. ``title`` is that of the dataset. Raises whatever
    MLflow raises, and ``filelock.Timeout`` where another process takes too long to create the
    store.
    """
    return _experiment(tracking_uri(), profile, dataset, title)


@functools.cache
def _experiment(uri: str, profile: str, dataset: str, title: str) -> Experiment:
    mlflow, file = connect(), database()
    # A server that does not answer must fail before the lock, or processes would wait in turn.
    if (not file or _is_complete(file)) and (found := find_experiment(profile, dataset)):
        return found
    lock = (file or STORE / "mlflow.db").with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(lock, timeout=LOCK_SECONDS):
        # Opens the store: a new SQLite file breaks when several processes do that at once.
        client = mlflow.MlflowClient()
        if file:
            with contextlib.closing(sqlite3.connect(file)) as connection:
                connection.execute("PRAGMA journal_mode=wal")
        return find_experiment(profile, dataset) or _create(client, profile, dataset, title)


def _is_complete(file: Path) -> bool:
    """Whether a SQLite store has been created to its end, which is when its journal is switched."""
    if not file.exists():
        return False
    with contextlib.closing(sqlite3.connect(file)) as connection:
        try:
            return connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        except sqlite3.OperationalError:  # another process is creating it
            return False


def find_experiment(profile: str, dataset: str) -> Experiment | None:
    """The experiment of a dataset with its sweep; ``None`` where one of them is missing."""
    client = connect().MlflowClient()
    found = client.get_experiment_by_name(name_of(profile, dataset))
    if found is None:
        return None
    sweeps = client.search_runs(
        [found.experiment_id], f"tags.`{SWEEP_TAG}` = 'true'", max_results=1
    )
    return Experiment(found.experiment_id, sweeps[0].info.run_id) if sweeps else None


def find_run(experiment: Experiment, tag: str, value: str) -> Any:
    """MLflow's run of an experiment with a tag of that value; ``None`` where there is none."""
    client = connect().MlflowClient()
    wanted = f"tags.`{tag}` = '{value}'"
    return next(iter(client.search_runs([experiment.identifier], wanted, max_results=1)), None)


def tags_of_finished_runs(tag: str, profile: str, dataset: str) -> set[str]:
    """What the finished runs of an experiment have in ``tag``; none without an experiment."""
    experiment = find_experiment(profile, dataset)
    if experiment is None:
        return set()
    where, status = [experiment.identifier], "attributes.status = 'FINISHED'"
    search = functools.partial(
        connect().MlflowClient().search_runs, where, status, max_results=PAGE
    )
    page, found = search(), set()
    while True:
        found |= {run.data.tags[tag] for run in page if tag in run.data.tags}
        if not page.token:
            return found
        page = search(page_token=page.token)


def _create(client: Any, profile: str, dataset: str, title: str) -> Experiment:
    name = name_of(profile, dataset)
    if found := client.get_experiment_by_name(name):
        identifier = found.experiment_id
    else:
        place = (STORE / "artifacts" / name).resolve().as_uri() if database() else None
        identifier = client.create_experiment(name, place, tags=EXPERIMENT_TAGS)
    tags = {SWEEP_TAG: "true", "profile": profile, "dataset": dataset, "title": title}
    run = client.create_run(identifier, tags=tags, run_name=f"sweep {dataset} {profile}")
    client.set_terminated(run.info.run_id)
    return Experiment(identifier, run.info.run_id)


def name_of(profile: str, dataset: str) -> str:
    """The name of a dataset's experiment, and of its model in the registry."""
    return f"hdkd-{profile}-{dataset}"
