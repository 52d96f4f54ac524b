"""Snakemake killed with everything it runs, and started again."""

import os
import random
import signal
import subprocess
import time

import pandas as pd

from project import Project

VARYING = ["duration_seconds", "mlflow_run", "git_commit"]


def kill(project: Project, seconds: float) -> bool:
    """Start the whole graph, and SIGKILL it with all its jobs; False where it had ended before."""
    process = subprocess.Popen(
        ["snakemake", "--cores", "2", "all"], cwd=project.folder, env=project.environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True


def killed_and_started_again(project: Project, times: int, generator: random.Random) -> int:
    """Kill ``times`` times at random moments, then let it end; returns how many hit a run."""
    hits = 0
    for _ in range(times):
        hits += kill(project, generator.uniform(5, 11))
        time.sleep(1)
        # What the second start says to do when the first was killed.
        project.run("snakemake", "--unlock", "--cores", "1")
    project.snakemake("all")
    return hits


def numbers(project: Project) -> pd.DataFrame:
    """The report's numbers, without what differs between any two runs."""
    table = pd.read_csv(project.folder / "reports/demo/runs.csv")
    return table.drop(columns=VARYING)
