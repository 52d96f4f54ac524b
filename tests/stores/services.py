"""PostgreSQL, a store that speaks S3 and an MLflow server between them, on loopback.

PostgreSQL comes from Debian's package, the store is rclone's, which checks signatures.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

KEY, SECRET = "study", "a secret of this test"
BUCKET = "hdkd"


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


def until(condition: Callable[[], object], seconds: float, otherwise: str) -> None:
    """Wait; raises ``AssertionError`` saying ``otherwise`` where it never holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, otherwise
        time.sleep(0.2)


def listens(port: int) -> bool:
    with socket.socket() as place:
        return place.connect_ex(("127.0.0.1", port)) == 0


class PostgreSQL:
    """A server with one database; it does not run as root, so it belongs to ``postgres``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.binaries = max(Path("/usr/lib/postgresql").glob("*/bin"))
        self.uri = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        folder.mkdir()
        for path in (folder, *folder.parents):  # that the user can come here
            if path.stat().st_uid == os.getuid() and path.is_relative_to("/tmp"):
                path.chmod(path.stat().st_mode | 0o011)
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
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
        self._call("pg_ctl", "stop", "--wait", "--mode", "immediate")


class Store:
    """What speaks S3, over a ``folder`` whose first level are the buckets."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        (folder / BUCKET).mkdir(parents=True)

    def start(self) -> None:
        binary = Path(sys.executable).with_name("rclone")
        self.process = subprocess.Popen(
            [
                str(binary), "serve", "s3", "--addr", f"127.0.0.1:{self.port}",
                "--auth-key", f"{KEY},{SECRET}", str(self.folder),
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: listens(self.port), 30, "the store does not start")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

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

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--workers", "2",
                "--host", "127.0.0.1", "--port", str(self.port),
                "--backend-store-uri", self._database.uri,
                "--artifacts-destination", f"s3://{BUCKET}/mlflow",
            ],
            env=self._environment | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        until(self.answers, 120, "the MLflow server does not start")

    def answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=1)
        except OSError:
            return False
        return True

    def stop(self) -> None:
        subprocess.run(["pkill", "-KILL", "-s", str(self.process.pid)], check=False)
        self.process.wait()
