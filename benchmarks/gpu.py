"""On a GPU: ours, ours with one thing changed at a time, what else there is, and what to set.

Each side is a process of its own that takes turns with ours; the same command rehearses on a CPU.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import networks
from benchmarks.bench import ROLES, Bench, Side, epoch_images, worker
from benchmarks.measure import interleaved, table
from benchmarks.roofline import best
from benchmarks.settings import Settings
from benchmarks.training import generated
from benchmarks.worker import Worker, WorkerFailedError
from hdkd import config
from hdkd.data.batches.loader import RUNS_ON_GPU
from hdkd.models.complexity import complexity
from hdkd.report.tables.cost import images_of, length
from hdkd.study.plan import all_runs

# What a task of ours says differently, one thing at a time.
CHANGES: dict[str, dict[str, Any]] = {
    "float32": {"engine": {"precision": "float32"}},
    "TF32": {"engine": {"precision": "tf32"}},
    "no recorded graph": {"engine": {"cuda_graph": False}},
    "contiguous maps": {"engine": {"layout": "contiguous"}},
    "compiled": {"engine": {"compile": True}},
    "deterministic": {"engine": {"deterministic": True}},
    "no choice of kernels": {"without": "choice of kernels"},
    "images not resident": {"resident": False},
}
NOT_RECOMMENDED = {"deterministic"}  # equal bits are no question of speed
SIDE_BY_SIDE = (1, 2, 4)  # runs
WORTH_IT = 1.02  # what a change must gain in each round, and for both networks
MPS = "nvidia-cuda-mps-control"


def gpu(settings: Settings, device: str, save: Callable[[str], None]) -> str:
    """The whole report; ``save`` keeps the table as far as it is."""
    images = epoch_images(settings, device)
    with generated(images, 8, settings.sizes[-1]) as (folder, _):
        bench = Bench(settings, device, folder, save)
        for role in ROLES:
            variants(bench, role)
        engine = recommended(bench)
        parts = [bench.table(), engine]
        for part in (few_images, share_of_roofline, side_by_side, study_hours):
            save("\n\n".join(parts))
            try:
                parts.append(part(bench))
            except WorkerFailedError as error:
                parts.append(f"{part.__name__} failed: {error}.")
    where = torch.cuda.get_device_name() if device == "cuda" else "a CPU: a rehearsal, not a result"
    head = f"Measured on {where}; {bench.size} px, batch {bench.batch}, {images} generated images."
    return "\n\n".join([head, *parts])


def variants(bench: Bench, role: str) -> None:
    """Ours with one thing changed at a time, and whatever else can train the network."""
    sides = {
        name: Side(bench.task(role, **change), bench.images) for name, change in CHANGES.items()
    }
    if bench.settings.reference:
        batches = 32 if bench.device == "cuda" else 2
        task = bench.task(role, side="released", batches=batches)
        sides["released code, images in memory"] = Side(task, batches * bench.batch)
    if role == "hdkd":
        for what in ("logits", "features"):
            task = bench.task(role, side="timm", distils=what, folder=bench.folder / "files")
            sides[f"timm, distilling {what}, from files"] = Side(task, bench.images)
    bench.compare(role, sides)


def few_images(bench: Bench) -> str:
    """What it gains to record the step of the images left over, too."""
    few = {"images": bench.few}
    with (
        worker(bench.task("hdkd", **few)) as recorded,
        worker(bench.task("hdkd", **few, left_over="eager")) as eager,
    ):
        times = interleaved({"recorded": recorded, "eager": eager}, bench.rounds)
    rows = [
        ["recorded", times["recorded"], "1"],
        ["not recorded", times["eager"], times["recorded"].ratio(times["eager"])],
    ]
    left = bench.few % bench.batch
    title = f"HDKD, {bench.few} images: the last batch, of {left}, is"
    return table([title, "epoch", "times as long"], rows)


def recommended(bench: Bench) -> str:
    """The section ``engine``: what makes both networks quicker, tried together before."""
    best_of: dict[str, tuple[float, dict[str, Any]]] = {}  # by key of the section
    for name, change in CHANGES.items():
        found = [each.least_gain for each in bench.measured if each.name == name]
        for key in () if name in NOT_RECOMMENDED else change.get("engine", {}):
            if len(found) == len(ROLES) and min(found) > max(
                WORTH_IT, best_of.get(key, (0, {}))[0]
            ):
                best_of[key] = min(found), change["engine"]
    chosen = {key: value for _, values in best_of.values() for key, value in values.items()}
    why = f"nothing makes both networks more than {WORTH_IT - 1:.0%} quicker in every round"
    if chosen:
        name = "together: " + ", ".join(f"{key} {json.dumps(v)}" for key, v in chosen.items())
        together = [
            bench.compare(role, {name: Side(bench.task(role, engine=chosen), bench.images)})
            for role in ROLES
        ]
        least = min((each.least_gain for found in together for each in found), default=0)
        why = f"{name} is at least {least:.2f} times as fast as ours, in every round"
        if not all(together):
            chosen, why = {}, f"{name} failed"
        elif least < WORTH_IT:
            chosen, why = {}, f"{why}, which is not enough"
    engine = asdict(replace(bench.engine, **chosen))
    lines = [f"  {name}: {json.dumps(value)}" for name, value in engine.items()]
    return "\n".join([f"Recommended ({why}):", "", "```", "engine:", *lines, "```"])


def share_of_roofline(bench: Bench) -> str:
    """Multiply-accumulates per second of training against a large product in bfloat16."""
    device, size = bench.device, bench.size
    side, kind = (8192, torch.bfloat16) if device == "cuda" else (512, torch.float32)
    a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))

    def product() -> None:
        torch.mm(a, b)
        if device == "cuda":
            torch.cuda.synchronize()

    ceiling = side**3 / best(product, 10)
    macs = {role: complexity(networks.network(role, size), size).macs for role in ROLES}
    image = {"teacher": 3 * macs["teacher"], "hdkd": 3 * macs["hdkd"] + macs["teacher"]}
    rows = []
    for role in ROLES:
        speed = image[role] / bench.ours(role).median
        rows.append([role, f"{speed / 1e12:.2f} T", f"{100 * speed / ceiling:.1f} %"])
    rows.append(["a large product", f"{ceiling / 1e12:.2f} T", "100 %"])
    return table(["network", "multiply-accumulates a second", "of a large product"], rows)


def side_by_side(bench: Bench) -> str:
    """Images per second of HDKD in several processes at once, without MPS and with it."""
    tables = [several(bench, "")]
    if bench.device == "cuda" and shutil.which(MPS):
        with multi_process_service() as works:
            tables.append(
                several(bench, ", with MPS") if works else "MPS starts, but no process can use it."
            )
    return "\n\n".join(tables)


@contextmanager
def multi_process_service() -> Iterator[bool]:
    """NVIDIA's MPS for the processes that are started inside; whether they can use it."""
    names = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as pipes:
        os.environ.update(dict.fromkeys(names, pipes))
        try:
            started = subprocess.run([MPS, "-d"], check=False).returncode == 0
            trial = [sys.executable, "-c", "import torch; torch.ones(1, device='cuda').item()"]
            yield started and succeeds(trial)
        finally:
            subprocess.run([MPS], input=b"quit\n", check=False)
            for name in names:
                del os.environ[name]


def succeeds(command: list[str]) -> bool:
    """Whether a command ends well within a minute."""
    try:
        return subprocess.run(command, check=False, timeout=60).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def several(bench: Bench, how: str) -> str:
    """One table of :func:`side_by_side`."""
    rows, alone = [], None
    for processes in SIDE_BY_SIDE if bench.device == "cuda" else SIDE_BY_SIDE[:2]:
        with ExitStack() as stack:
            os.environ[RUNS_ON_GPU] = str(processes)
            stack.callback(os.environ.pop, RUNS_ON_GPU)
            task = bench.task("hdkd")
            workers = [stack.enter_context(worker(task)) for _ in range(processes)]
            speeds = [speed_together(workers, bench.images) for _ in range(bench.rounds + 1)][1:]
        speed = sorted(speeds)[len(speeds) // 2]
        alone = alone or speed
        rows.append([str(processes), f"{speed:.0f}", f"{speed / alone:.2f}×"])
    return table([f"runs of HDKD at once{how}", "images/s together", "to one"], rows)


def speed_together(workers: list[Worker], images: int) -> float:
    """Images per second of a turn that all take at once."""
    for each in workers:
        each.begin()
    return sum(images / each.end() for each in workers)


def study_hours(bench: Bench) -> str:
    """Hours of the paper's study at these speeds, one run at a time; evaluation is not counted.

    A student alone and a baseline are taken to be as fast as HDKD.
    """
    settings = config.load(Path("params.yaml"), "paper")
    hours = dict.fromkeys(ROLES, 0.0)
    for dataset in settings.study:
        for key in all_runs(settings, dataset):
            _, images = length(settings, key, images_of(settings, dataset, {}))
            epochs = settings.training(key.role, dataset).epochs
            role = "teacher" if key.role == "teacher" else "hdkd"
            hours[role] += images * epochs * bench.ours(role).median / 3600
    rows = [["teachers", f"{hours['teacher']:.1f}"], ["all others", f"{hours['hdkd']:.1f}"]]
    return table(["the paper's study, one seed", "hours of training"], rows)
