"""Where and with what a run is begun."""

import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from hdkd.runs.records import Numerics, Origin
from hdkd.study.code import PACKAGE

COMMIT_NOTE = "commit.txt"  # in a copy of the code that travels without its repository


def origin(device: str, numerics: Numerics, processes: int = 1) -> Origin:
    """Commit, versions, machine and time of a run that begins now on ``cpu`` or ``cuda``."""
    import torch  # slow to import, and not needed for the commit

    from hdkd import __version__

    return Origin(
        git_commit=git_commit(),
        device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
        processes=processes,
        threads=torch.get_num_threads(),
        numerics=numerics,
        platform=f"{platform.system()} {platform.machine()}",
        versions={
            "hdkd": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def git_commit(code: Path = PACKAGE) -> str | None:
    """The commit of the folder ``code``, with ``-dirty`` when it has been changed.

    What a study writes elsewhere in the repository, such as its reports, does not count. Where
    ``code`` is in no repository, it is what ``hdkd pack`` has noted there, or ``None``.
    """
    tracked = ["ls-files", "--error-unmatch", "."]
    changed = ["--no-optional-locks", "status", "--porcelain", "--", "."]
    commands = (tracked, ["rev-parse", "HEAD"], changed)
    try:
        _, commit, changes = (
            subprocess.run(["git", *c], cwd=code, capture_output=True, text=True, check=True).stdout
            for c in commands
        )
    except (OSError, subprocess.CalledProcessError):
        note = code / COMMIT_NOTE
        return note.read_text("utf-8").strip() if note.exists() else None
    return commit.strip() + ("-dirty" if changes else "")
