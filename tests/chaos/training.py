"""A small training in processes that can be killed, and what is compared in the end.

Processes are forked from one that has imported everything, so that a try takes a second instead of
ten. SIGKILL ends them like any others.
"""

import json
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from hdkd import cli, config
from hdkd.study.key import RunKey
from hdkd.training.job import Job
from hdkd.training.train import run
from project import parameters, tiny

SAME_BYTES = ("params.json", "model.safetensors", "predictions.csv")
WRITING = os.O_WRONLY | os.O_RDWR


class Study:
    """Prepared images, a teacher, and the training of HDKD that is to be disturbed."""

    def __init__(self, folder: Path, epochs: int) -> None:
        changed = tiny(parameters())
        changed["student"]["demo"] |= {"epochs": epochs, "evaluate_every": 3}
        self.settings = config.resolve(changed)
        config.save(changed, folder / "params.yaml")
        self.folder = folder
        self.prepared = folder / "prepared"
        options = ["--params", str(folder / "params.yaml"), "--dataset", "phantom"]
        raw = folder / "raw"
        prepared = str(self.prepared)
        for command in (
            ["acquire", *options, "--output", str(raw)],
            ["prepare", *options, "--manifest", f"{raw}/manifest.csv", "--output", prepared],
            ["split", *options, "--prepared", prepared],
        ):
            assert cli.main(command) == 0
        self.recipes = folder / "smote.csv"
        arguments = [*options, "--prepared", prepared, "--output", str(self.recipes)]
        assert cli.main(["smote", *arguments]) == 0
        self._finish("teacher", "all", folder / "teacher")
        self.teacher = folder / "teacher"
        self.undisturbed = folder / "undisturbed"
        self.seconds = self.finish(self.undisturbed)

    def start(
        self,
        output: Path,
        rig: Callable[[], None] | None = None,
        role: str = "hdkd",
        subset: str = "16",
    ) -> int:
        """Start the run in a process of its own, which calls ``rig`` first; returns its id."""
        process = os.fork()
        if process:
            return process
        code = 1
        try:
            log = os.open(self.folder / "training.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            if rig:
                rig()
            key = RunKey("demo", "phantom", "students", role, subset, 0, "mbcsa", 2)
            made = {"recipes": self.recipes} if role == "teacher" else {"teacher": self.teacher}
            run(Job(self.settings, key, self.prepared, output, **made), threads=1)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)

    def finish(self, output: Path) -> float:
        """Train to the end; returns the seconds that it took."""
        return self._finish("hdkd", "16", output)

    def _finish(self, role: str, subset: str, output: Path) -> float:
        started = time.monotonic()
        _, status = os.waitpid(self.start(output, role=role, subset=subset), 0)
        if status:
            *_, reason = (self.folder / "training.log").read_text().splitlines()
            raise RuntimeError(f"a run failed: {reason}")
        return time.monotonic() - started

    def survives(self, output: Path) -> bool:
        """Whether the training ends, and with the bytes of the undisturbed one."""
        try:
            self.finish(output)
        except RuntimeError:
            return False
        return same(output, self.undisturbed)


def same(one: Path, other: Path) -> bool:
    """Whether two run folders have the same weights, predictions, metrics and results."""
    if any((one / name).read_bytes() != (other / name).read_bytes() for name in SAME_BYTES):
        return False
    tables = [
        pd.read_csv(f / "metrics.csv").drop(columns="images_per_second") for f in (one, other)
    ]
    results = [json.loads((f / "summary.json").read_text()) for f in (one, other)]
    left = list(one.glob("checkpoint*")) + list(one.glob("*.partial"))
    return tables[0].equals(tables[1]) and results[0]["final"] == results[1]["final"] and not left


def killed_at_random_moments(study: Study, tries: int, generator: random.Random) -> list[bool]:
    """SIGKILL up to three times at any moment, then the end."""
    outcomes = []
    for number in range(tries):
        output = study.folder / f"random-{number}"
        for _ in range(generator.randint(1, 3)):
            process = study.start(output)
            time.sleep(generator.uniform(0, study.seconds))
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        outcomes.append(study.survives(output))
    return outcomes


def changes_files(event: str, arguments: tuple, folder: str) -> bool:
    """Whether an audit event of Python is about to change something in ``folder``."""
    if event == "open":
        path, _, flags = arguments
        return isinstance(path, str) and path.startswith(folder) and bool((flags or 0) & WRITING)
    if event in ("os.rename", "os.remove", "os.mkdir", "os.truncate"):
        return str(arguments[0]).startswith(folder)
    return False


def kill_at(point: int, folder: Path) -> None:
    """Have this process killed before the ``point``-th time that it changes files in ``folder``."""
    seen = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal seen
        if changes_files(event, arguments, str(folder)):
            seen += 1
            if seen == point:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def killed_at_every_write(study: Study) -> list[bool]:
    """SIGKILL before each operation on the run folder, one try for each until none is left."""
    outcomes = []
    while True:
        point = len(outcomes) + 1
        output = study.folder / f"write-{point}"
        process = study.start(output, lambda p=point, o=output: kill_at(p, o))
        _, status = os.waitpid(process, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            return outcomes
        outcomes.append(study.survives(output))


def cut_off_while_writing(study: Study, tries: int, generator: random.Random) -> list[bool]:
    """Ended by the system in the middle of a file, which stays torn, at some size."""

    def limit(size: int) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    largest = max(path.stat().st_size for path in study.undisturbed.iterdir())
    outcomes = []
    for number in range(tries):
        output = study.folder / f"torn-{number}"
        size = generator.randint(1, largest - 1)
        _, status = os.waitpid(study.start(output, lambda s=size: limit(s)), 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGXFSZ
        outcomes.append(study.survives(output))
    return outcomes
