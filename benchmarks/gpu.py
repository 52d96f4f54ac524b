"""On a GPU: ours, ours without each ingredient, the released code; what the full study costs."""

import json
import multiprocessing
import os
import shutil
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import networks
from benchmarks.measure import table
from benchmarks.roofline import best
from benchmarks.settings import Settings
from benchmarks.training import generated
from hdkd import config
from hdkd.config import Engine
from hdkd.data.batches.imageset import ImageSet, TrainingSet
from hdkd.data.batches.loader import RUNS_ON_GPU, Loader
from hdkd.models.complexity import complexity
from hdkd.report.tables.cost import images_of, length
from hdkd.study.plan import all_runs
from hdkd.training.engine import EAGER_STEPS
from hdkd.training.numerics import set_up

OURS = Engine("bfloat16", False, "channels_last", cuda_graph=True, compile=False)
# What is changed of ours, one thing at a time; ``benchmark`` and ``resident`` are no settings.
CHANGES: dict[str, dict[str, Any]] = {
    "ours": {},
    "float32": {"precision": "float32"},
    "TF32": {"precision": "tf32"},
    "no recorded graph": {"cuda_graph": False},
    "contiguous maps": {"layout": "contiguous"},
    "compiled": {"compile": True},
    "deterministic": {"deterministic": True},
    "no choice of kernels": {"benchmark": False},
    "images not resident": {"resident": False},
}
SIDE_BY_SIDE = (1, 2, 4)  # runs
WORTH_IT = 1.02  # what a change of the settings must gain to be recommended


def gpu(settings: Settings, device: str) -> str:
    """Images per second of an epoch of each variant; the same command rehearses on a CPU."""
    size, count = settings.sizes[-1], 16 if settings.rounds > 1 else 4
    images = 2048 if device == "cuda" else settings.epoch_images
    rows: list[list[str]] = []
    speeds: dict[str, dict[str, float]] = {"teacher": {}, "hdkd": {}}
    with generated(images, 8, size) as (folder, _):
        prepared = folder / "prepared"
        for role, found in speeds.items():
            for name, change in CHANGES.items():
                found[name], use = epoch(role, size, count, prepared, device, dict(change))
                rows.append(row(role, name, found, use))
            if settings.reference:
                name = "released code, images in memory"
                found[name] = released(settings.reference, role, size, count, device)
                rows.append(row(role, name, found, "–"))
        for task in ("logits", "features"):
            name = f"timm, distilling {task}, from files"
            speeds["hdkd"][name] = timm_peer(task, folder / "files", size, count, images, device)
            rows.append(row("hdkd", name, speeds["hdkd"], "–"))
        parts = [table(["network", "variant", "images/s", "to ours", "GPU busy"], rows)]
        parts.append(share_of_roofline(size, speeds, device))
        parts += side_by_side(size, count, prepared, device)
    where = torch.cuda.get_device_name() if device == "cuda" else "a CPU: a rehearsal, not a result"
    head = f"Measured on {where}; {size} px, batch {count}, {images} generated images."
    ours = {role: found["ours"] for role, found in speeds.items()}
    return "\n\n".join([head, *parts, study_hours(ours), recommendation(speeds)])


def row(role: str, name: str, speeds: dict[str, float], use: str) -> list[str]:
    """One line of the table of variants."""
    return [role, name, f"{speeds[name]:.0f}", f"{speeds[name] / speeds['ours']:.2f}×", use]


def recommendation(speeds: dict[str, dict[str, float]]) -> str:
    """The section ``engine`` with every change that makes both networks quicker."""
    chosen: dict[str, Any] = {}
    for name, change in CHANGES.items():
        gains = [found[name] / found["ours"] for found in speeds.values()]
        if set(change) <= set(vars(OURS)) and min(gains) > WORTH_IT:
            chosen |= change
    lines = [f"  {name}: {json.dumps(value)}" for name, value in (vars(OURS) | chosen).items()]
    text = "\n".join(["```", "engine:", *lines, "```"])
    return f"Recommended, by what is at least {WORTH_IT:.0%} of ours for both networks:\n\n{text}"


def epoch(
    role: str, size: int, count: int, folder: Path, device: str, change: dict[str, Any]
) -> tuple[float, str]:
    """Images per second of the fifth epoch, and how busy the GPU was."""
    resident, benchmark = change.pop("resident", None), change.pop("benchmark", True)
    chosen = replace(OURS, **change)
    set_up(chosen, device)
    torch.backends.cudnn.benchmark &= benchmark
    source = ImageSet.load(folder)
    loader = Loader(TrainingSet(source, source.part("train")), device, resident=resident)
    step = networks.step(role, size, count, device, chosen, loader.gather)
    order, draws = torch.Generator(), torch.Generator()
    epochs = EAGER_STEPS + 2 if device == "cuda" else 2  # the images left over are recorded, too
    for number in range(epochs):
        monitor = UtilizationMonitor(device if number == epochs - 1 else "cpu")
        started = time.perf_counter()
        for batch in loader.epoch(count, order, draws):
            step(*batch)
        step.means(len(loader))
        seconds = time.perf_counter() - started
        use = monitor.stop()
    return len(loader) / seconds, use


def share_of_roofline(size: int, speeds: dict[str, dict[str, float]], device: str) -> str:
    """Multiply-accumulates per second of training against a large product in bfloat16."""
    side, kind = (8192, torch.bfloat16) if device == "cuda" else (512, torch.float32)
    a, b = (torch.randn(side, side, device=device, dtype=kind) for _ in range(2))

    def product() -> None:
        torch.mm(a, b)
        if device == "cuda":
            torch.cuda.synchronize()

    ceiling = side**3 / best(product, 10)
    macs = {
        role: complexity(networks.network(role, size), size).macs for role in ("teacher", "hdkd")
    }
    image = {"teacher": 3 * macs["teacher"], "hdkd": 3 * macs["hdkd"] + macs["teacher"]}
    rows = [
        [role, f"{speeds[role]['ours'] * image[role] / 1e12:.2f} T", f"{100 * share:.1f} %"]
        for role in image
        for share in [speeds[role]["ours"] * image[role] / ceiling]
    ]
    rows.append(["a large product", f"{ceiling / 1e12:.2f} T", "100 %"])
    return table(["network", "multiply-accumulates a second", "of a large product"], rows)


def side_by_side(size: int, count: int, folder: Path, device: str) -> list[str]:
    """Images per second of HDKD in several processes at once, without MPS and with it."""
    tables = [several(size, count, folder, device, "")]
    if device == "cuda" and shutil.which("nvidia-cuda-mps-control"):
        with tempfile.TemporaryDirectory() as pipes:
            os.environ["CUDA_MPS_PIPE_DIRECTORY"] = os.environ["CUDA_MPS_LOG_DIRECTORY"] = pipes
            control = ["nvidia-cuda-mps-control"]
            if subprocess.run([*control, "-d"], check=False).returncode == 0:
                tables.append(several(size, count, folder, device, ", with MPS"))
                subprocess.run(control, input=b"quit\n", check=False)
            del os.environ["CUDA_MPS_PIPE_DIRECTORY"], os.environ["CUDA_MPS_LOG_DIRECTORY"]
    return tables


def several(size: int, count: int, folder: Path, device: str, how: str) -> str:
    """One table of :func:`side_by_side`."""
    rows, alone = [], None
    for processes in SIDE_BY_SIDE if device == "cuda" else SIDE_BY_SIDE[:2]:
        os.environ[RUNS_ON_GPU] = str(processes)
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            list(pool.map(wait_for_imports, range(processes)))
            work = [
                pool.submit(epoch, "hdkd", size, count, folder, device, {})
                for _ in range(processes)
            ]
            speed = sum(each.result()[0] for each in work)
        alone = alone or speed
        rows.append([str(processes), f"{speed:.0f}", f"{speed / alone:.2f}×"])
    del os.environ[RUNS_ON_GPU]
    return table([f"runs of HDKD at once{how}", "images/s together", "to one"], rows)


def wait_for_imports(_: int) -> None:
    """Have a new process import all that it needs, before any is measured."""
    time.sleep(1)


class UtilizationMonitor:
    """Asks several times a second how busy the GPU is, as its driver reports."""

    def __init__(self, device: str) -> None:
        self._shares: list[float] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        if device == "cuda":
            self._thread.start()

    def _watch(self) -> None:
        while not self._ended.wait(0.2):
            try:
                self._shares.append(torch.cuda.utilization())
            except (ImportError, RuntimeError):  # it needs the driver's Python bindings
                return

    def stop(self) -> str:
        self._ended.set()
        shares = self._shares
        return f"{sum(shares) / len(shares):.0f} %" if shares else "–"


def released(checkout: Path, role: str, size: int, count: int, device: str) -> float:
    """Images per second of the released code's loop over batches that lie in memory."""
    from benchmarks.released import Released

    side = Released(checkout, size, device)
    batches = [networks.batch(count, size)] * (32 if device == "cuda" else 2)
    for _ in range(2):
        started = time.perf_counter()
        side.epoch(role, batches)
        seconds = time.perf_counter() - started
    return len(batches) * count / seconds


def timm_peer(task: str, files: Path, size: int, count: int, images: int, device: str) -> float:
    """Images per second of the second epoch of timm's distillation."""
    from benchmarks.timm_peer import Timm

    side = Timm(task, size, device)
    batches = side.loader(files, count)
    for _ in range(2):
        started = time.perf_counter()
        side.epoch(batches)
        seconds = time.perf_counter() - started
    return images / seconds


def study_hours(speeds: dict[str, float]) -> str:
    """Hours of the paper's study at these speeds, one run at a time; evaluation is not counted.

    A student alone and a baseline are taken to be as fast as HDKD.
    """
    settings = config.load(Path("params.yaml"), "paper")
    hours = {"teacher": 0.0, "hdkd": 0.0}
    for dataset in settings.study:
        for key in all_runs(settings, dataset):
            _, images = length(settings, key, images_of(settings, dataset, {}))
            epochs = settings.training(key.role, key.subset, dataset).epochs
            speed = "teacher" if key.role == "teacher" else "hdkd"
            hours[speed] += images * epochs / speeds[speed] / 3600
    rows = [["teachers", f"{hours['teacher']:.1f}"], ["all others", f"{hours['hdkd']:.1f}"]]
    return table(["the paper's study, one seed", "hours of training"], rows)
