"""Many runs: the graph, the report and MLflow's import against the number of runs.

Runs are generated (``generated_runs.py``); commands are those that the workflow calls.
"""

import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mlflow.entities import Param

from benchmarks import starting
from benchmarks.generated_runs import write_study
from benchmarks.measure import table
from benchmarks.settings import Settings
from hdkd import config
from hdkd.runs.folder import RunFolder, flatten
from hdkd.tracking import store, values
from hdkd.tracking.study import finished

BATCHES = 10
# Runs a command, and prints its seconds, the processor's, and the most kilobytes of any of its
# processes. In a small process: a child's peak is at least what its parent had when it started it.
COUNTED = """
import resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
seconds = time.perf_counter() - started
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
# In a study's folder, which a process of its own works in.
REGISTER = "from benchmarks.studies import register; register({})"


@dataclass(frozen=True)
class Cost:
    """Seconds of a command, those of the processor, and the most bytes that a process of it had."""

    seconds: float
    busy: float
    peak: int

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s ({self.busy:.1f} s), {self.peak / 2**30:.2f} GiB"

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.seconds + other.seconds, self.busy + other.busy, max(self.peak, other.peak)
        )


def studies(settings: Settings) -> str:
    """A row for each command, a column for each number of runs, and how time grows."""
    measured = {}
    for seeds in settings.study_seeds:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            count = starting.runs(folder, seeds)
            costs = graph(folder)
            write_study(config.load(folder / "params.yaml"), folder, settings.threads)
            costs |= tracking(folder, count, min(settings.delivered, count)) | report(folder)
            measured[count] = costs
    return by_count(measured)


def graph(folder: Path) -> dict[str, Cost]:
    """What Snakemake needs to plan a study of which nothing has been built, and a part of it."""
    plan = ("snakemake", "-n", "--quiet", "all")
    batch = ("--batch", f"all=1/{BATCHES}")
    return {
        "`snakemake -n all`": cost(folder, *plan, "--", "all"),
        f"… `{' '.join(batch)}`": cost(folder, *plan, *batch, "--", "all"),
    }


def report(folder: Path) -> dict[str, Cost]:
    """What the steps of the report cost, each by itself and together; MLflow has every run."""
    found = {"`hdkd tables`": cost(folder, "hdkd", "tables")}
    datasets = config.load(folder / "params.yaml").study
    figures = (cost(folder, "hdkd", "figures", "--dataset", name) for name in datasets)
    found["`hdkd figures`, of all datasets"] = sum(figures, start=Cost(0, 0, 0))
    found["`hdkd compare`"] = cost(folder, "hdkd", "compare")
    found["`hdkd page`"] = cost(folder, "hdkd", "page")
    return found | {"**the report in all**": sum(found.values(), start=Cost(0, 0, 0))}


def tracking(folder: Path, count: int, new: int) -> dict[str, Cost]:
    """What the last ``new`` of ``count`` runs take to get to MLflow, and what none takes.

    The others are there before, by tags and parameters only.
    """
    cost(folder, sys.executable, "-c", REGISTER.format(count - new))
    return {
        f"`hdkd deliver`, {new} new runs": cost(folder, "hdkd", "deliver"),
        "`hdkd deliver`, none": cost(folder, "hdkd", "deliver"),
    }


def by_count(measured: dict[int, dict[str, Cost]]) -> str:
    """A table of costs; the last column is the power of the number of runs that time follows."""
    counts = [*measured]
    rows = []
    for name in measured[counts[0]]:
        costs = [measured[count][name] for count in counts]
        power = "–"
        if len(counts) > 1:
            slower = math.log(costs[-1].busy / costs[-2].busy)
            power = f"{slower / math.log(counts[-1] / counts[-2]):.2f}"
        rows.append([name, *costs, power])
    return table(["time (of the processor), peak", *(f"{n} runs" for n in counts), "power"], rows)


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
    seconds, busy, kilobytes = result.stdout.split()
    return Cost(float(seconds), float(busy), 1024 * int(kilobytes))
