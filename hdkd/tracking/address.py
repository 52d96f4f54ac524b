"""Where MLflow is, and how that is shown: never with credentials."""

import os
import sys
from pathlib import Path
from urllib.parse import urlparse

STORE = Path("mlflow")


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI``, or a SQLite file in the ignored folder ``mlflow/``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{STORE / 'mlflow.db'}"


def database() -> Path | None:
    """The SQLite file of the store; ``None`` where it is a server or a folder."""
    uri = tracking_uri()
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def shown_uri() -> str:
    """The tracking URI without credentials."""
    parts = urlparse(tracking_uri())
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def warn(error: Exception) -> None:
    """Say on stderr, in one line, that MLflow failed and what gives it later what it misses."""
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    credentials = urlparse(tracking_uri()).netloc.rpartition("@")[0]
    if credentials:
        reason = reason.replace(f"{credentials}@", "")
    print(
        f"warning: MLflow at {shown_uri()} failed ({reason}); going on without it: "
        "`hdkd deliver` gives it later what it misses",
        file=sys.stderr,
    )
