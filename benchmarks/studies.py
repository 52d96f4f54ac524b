"""Many runs: the graph, the report and MLflow's import against the number of runs.

Runs are generated (``generated_runs.py``); commands are those that the workflow calls.
"""

import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mlflow.entities import Param

from benchmarks import starting
from benchmarks.generated_runs import write_study
from benchmarks.measure import duration, table
from benchmarks.settings import Settings
from hdkd import config
from hdkd.runs.folder import RunFolder, flatten
from hdkd.tracking import store, values
from hdkd.tracking.study import finished

GRAPH = "`snakemake -n all`, nothing built"
REPORT = "the report in all"
# Runs a command, and prints its seconds and the most kilobytes of any of its processes. In a small
# process: a child's peak is at least what its parent had when it started it.
COUNTED = """
import resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
seconds = time.perf_counter() - started
print(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@dataclass(frozen=True)
class Cost:
    """Seconds of a command, and the most bytes that a process of it had."""

    seconds: float
    peak: int

    def __str__(self) -> str:
        return f"{duration(self.seconds)}, {self.peak / 2**30:.2f} GiB"

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.seconds + other.seconds, max(self.peak, other.peak))


def studies(settings: Settings) -> str:
    """A row for each command, a column for each number of runs, and how time grows."""
    measured: dict[int, dict[str, Cost]] = {}
    delivering, sizes = [], []
    for seeds in settings.study_seeds:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            count = starting.runs(folder, seeds)
            graph = {GRAPH: cost(folder, "snakemake", "-n", "--quiet", "all", "--", "all")}
            study = config.load(folder / "params.yaml")
            started = time.perf_counter()
            write_study(study, folder, settings.threads)
            generating = time.perf_counter() - started
            new = min(settings.delivered, count)
            code = f"from benchmarks.studies import register; register({count - new})"
            cost(folder, sys.executable, "-c", code)
            delivered = cost(folder, "hdkd", "deliver")
            rate = new / delivered.seconds
            taken = duration(delivered.seconds)
            delivering.append([f"{count - new}", f"{new}", taken, f"{rate:.2f}"])
            again = {"`hdkd deliver`, nothing new": cost(folder, "hdkd", "deliver")}
            measured[count] = graph | report(folder, study.study) | again
            size = (folder / "reports/paper/report.html").stat().st_size / 2**20
            sizes.append([f"{count}", duration(generating), f"{size:.1f} MiB"])
    header = ["runs in MLflow", "new ones", "`hdkd deliver`", "new runs a second"]
    tables = [by_count(measured), table(header, delivering)]
    tables.append(table(["runs", "generating their folders", "the page"], sizes))
    return "\n\n".join(tables)


def report(folder: Path, datasets: tuple[str, ...]) -> dict[str, Cost]:
    """What the steps of the report cost, each by itself and together."""
    found = {"`hdkd tables`": cost(folder, "hdkd", "tables")}
    figures = (cost(folder, "hdkd", "figures", "--dataset", name) for name in datasets)
    found["`hdkd figures`, all datasets"] = sum(figures, start=Cost(0, 0))
    found["`hdkd compare`"] = cost(folder, "hdkd", "compare")
    found["`hdkd page`"] = cost(folder, "hdkd", "page")
    return found | {REPORT: sum(found.values(), start=Cost(0, 0))}


def by_count(measured: dict[int, dict[str, Cost]]) -> str:
    """A table of costs; the last column is the exponent of time between the last two studies."""
    counts = [*measured]
    rows = []
    for name in measured[counts[0]]:
        costs = [measured[count][name] for count in counts]
        exponent = "–"
        if len(counts) > 1:
            slower = math.log(costs[-1].seconds / costs[-2].seconds)
            exponent = f"{slower / math.log(counts[-1] / counts[-2]):.2f}"
        rows.append([name, *costs, exponent])
    return table(["", *(f"{count} runs" for count in counts), "exponent"], rows)


def register(count: int) -> None:
    """Tell MLflow of the first so many runs of the study here: tags and parameters, and no more."""
    client = store.connect().MlflowClient()
    for folder in map(RunFolder, finished(config.load(Path("params.yaml")))[:count]):
        params, origin = folder.params, folder.summary.provenance
        experiment = store.experiment(params.run.profile, params.run.dataset, params.data.title)
        started = round(datetime.fromisoformat(origin.started).timestamp() * 1000)
        run = client.create_run(
            experiment.identifier, started, values.tags(params, origin), params.run.name
        )
        logged = [Param(name, str(value)) for name, value in flatten(params.content()).items()]
        client.log_batch(run.info.run_id, params=logged)
        client.set_terminated(run.info.run_id)


def cost(folder: Path, *command: str) -> Cost:
    """What a command costs in a study's folder, with a store of MLflow in that folder."""
    environment = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}
    environment.pop("HDKD_PARAMS", None)
    result = subprocess.run(
        [sys.executable, "-c", COUNTED, *command],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if result.returncode:
        raise RuntimeError(f"{' '.join(command)}: {result.stderr[-3000:]}")
    seconds, kilobytes = result.stdout.split()
    return Cost(float(seconds), 1024 * int(kilobytes))
