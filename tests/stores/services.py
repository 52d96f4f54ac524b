"""PostgreSQL, a store that speaks S3 and an MLflow server between them, on loopback.

PostgreSQL comes from Debian's package, the store is rclone's, which checks signatures.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, TypeVar

from waiting import answers, free_port, listens, until

KEY, SECRET = "study", "a secret of this test"
BUCKET = "hdkd"


class Service(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


S = TypeVar("S", bound=Service)


@contextmanager
def running(service: S) -> Iterator[S]:
    """Started, and stopped in any case."""
    try:
        service.start()
        yield service
    finally:
        service.stop()


class PostgreSQL:
    """A server with one database.

    It refuses to run as root, so that its folder belongs to the user ``postgres``, outside the
    folders of pytest, which are closed to others.
    """

    def __init__(self) -> None:
        self.folder, self.port = Path(tempfile.mkdtemp(prefix="hdkd-postgresql-")), free_port()
        self.binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
        self.uri = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        self._call("initdb", "--auth=trust", "--no-sync", "--username=postgres")

    def _call(self, command: str, *options: str) -> None:
        user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        subprocess.run(
            [*user, str(self.binaries / command), "--pgdata", str(self.folder / "data"), *options],
            check=True, stdout=subprocess.DEVNULL, cwd="/",
        )  # fmt: skip

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder}"
        self._call("pg_ctl", "start", "--wait", "--log", str(self.folder / "log"), "-o", options)

    def stop(self) -> None:
        with suppress(subprocess.CalledProcessError):  # it does not run
            self._call("pg_ctl", "stop", "--wait", "--mode", "immediate")


@contextmanager
def empty_database() -> Iterator[PostgreSQL]:
    """Running, and removed in any case."""
    database = PostgreSQL()
    try:
        with running(database):
            yield database
    finally:
        shutil.rmtree(database.folder)


class Store:
    """What speaks S3, over a ``folder`` whose first level are the buckets."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen | None = None
        (folder / BUCKET).mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        binary = Path(sys.executable).with_name("rclone")
        self._process = subprocess.Popen(
            [
                str(binary), "serve", "s3", "--addr", f"127.0.0.1:{self.port}",
                "--auth-key", f"{KEY},{SECRET}", str(self.folder),
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: listens(self.port), 30, "the store does not start")

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def variables(self, secret: str = SECRET) -> dict[str, str]:
        """What boto, and with it DVC and MLflow, needs to know."""
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }


class Server:
    """An MLflow server whose runs lie in a database and whose artefacts lie in a store."""

    def __init__(self, database: PostgreSQL, environment: dict[str, str]) -> None:
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self._database, self._environment = database, environment
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--workers", "2",
                "--host", "127.0.0.1", "--port", str(self.port),
                "--backend-store-uri", self._database.uri,
                "--artifacts-destination", f"s3://{BUCKET}/mlflow",
            ],
            env=self._environment | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        health = f"{self.uri}/health"
        until(lambda: answers(health), 120, "the MLflow server does not start")

    def stop(self) -> None:
        if self._process:
            subprocess.run(["pkill", "-KILL", "-s", str(self._process.pid)], check=False)
            self._process.wait()
