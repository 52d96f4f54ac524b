"""On a GPU: ours, ours without each ingredient, the released code; what the full study costs."""

import multiprocessing
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from benchmarks import networks
from benchmarks.measure import table
from benchmarks.settings import Settings
from benchmarks.training import generated
from hdkd import config
from hdkd.config import Engine
from hdkd.data.batches.imageset import ImageSet, TrainingSet
from hdkd.data.batches.loader import Loader
from hdkd.report.tables.cost import images_of, length
from hdkd.study.plan import all_runs
from hdkd.training import engine

OURS = {"precision": "bfloat16", "cuda_graph": True, "compile": False}
WITHOUT = {
    "ours": {},
    "in float32": {"precision": "float32"},
    "without the recorded graph": {"cuda_graph": False},
    "without channels last": {"layout": torch.contiguous_format},
    "without resident images": {"resident": False},
    "compiled as well": {"compile": True},
}
SIDE_BY_SIDE = (1, 2, 4)  # runs


def gpu(settings: Settings, device: str) -> str:
    """Images per second of an epoch of each variant; the same command rehearses on a CPU."""
    size, count = settings.sizes[-1], 16 if settings.rounds > 1 else 4
    images = 2048 if device == "cuda" else settings.epoch_images
    rows, speeds = [], {}
    with generated(images, 8, size) as (folder, _):
        for role in ("teacher", "hdkd"):
            for name, change in WITHOUT.items():
                speed, use = epoch(role, size, count, folder / "prepared", device, dict(change))
                speeds.setdefault(role, speed)
                rows.append([role, name, f"{speed:.0f}", f"{speed / speeds[role]:.2f}×", use])
            if settings.reference:
                speed = released(settings.reference, role, size, count, device)
                rows.append(
                    [role, "released code, images in memory", f"{speed:.0f}",
                     f"{speed / speeds[role]:.2f}×", "–"]
                )  # fmt: skip
        text = table(["network", "variant", "images/s", "to ours", "GPU busy"], rows)
        beside = side_by_side(size, count, folder / "prepared", device)
    where = torch.cuda.get_device_name() if device == "cuda" else "a CPU: a rehearsal, not a result"
    head = f"Measured on {where}; {size} px, batch {count}, {images} generated images."
    return "\n\n".join([head, text, beside, study_hours(speeds)])


def epoch(
    role: str, size: int, count: int, folder: Path, device: str, change: dict
) -> tuple[float, str]:
    """Images per second of the second epoch, and how busy the GPU was."""
    layout = change.pop("layout", torch.channels_last)
    resident = change.pop("resident", None)
    engine.prepare_process(None)
    step = networks.step(role, size, count, device, Engine(**OURS | change), layout)
    source = ImageSet.load(folder)
    feed = Loader(TrainingSet(source, source.part("train")), device, resident=resident)
    order, draws = torch.Generator(), torch.Generator()
    for counts in (False, True):
        monitor = UtilizationMonitor(device if counts else "cpu")
        started = time.perf_counter()
        for batch in feed.epoch(count, order, draws):
            step(*batch)
        step.means(len(feed))
        seconds = time.perf_counter() - started
        use = monitor.stop()
    return len(feed) / seconds, use


def side_by_side(size: int, count: int, folder: Path, device: str) -> str:
    """Images per second of HDKD in several processes at once, as `hdkd borrow` has them."""
    rows, alone = [], None
    for processes in SIDE_BY_SIDE if device == "cuda" else SIDE_BY_SIDE[:2]:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            list(pool.map(wait_for_imports, range(processes)))
            work = [
                pool.submit(epoch, "hdkd", size, count, folder, device, {})
                for _ in range(processes)
            ]
            speed = sum(each.result()[0] for each in work)
        alone = alone or speed
        rows.append([str(processes), f"{speed:.0f}", f"{speed / alone:.2f}×"])
    return table(["runs of HDKD at once", "images/s together", "to one"], rows)


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
