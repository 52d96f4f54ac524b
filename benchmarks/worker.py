"""One side of a comparison in a process of its own, which takes turns with the other's.

A process of its own, because each side sets up its process as it does in use.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.utilization import UtilizationMonitor

if TYPE_CHECKING:
    from hdkd.config import Engine

# What a task of ours says differently, by what it is without.
VARIANTS: dict[str, dict[str, Any]] = {
    "without the attention's own gradient": {"without": "attention"},
    "without channels last": {"engine": {"layout": "contiguous"}},
    "without keeping freed memory": {"without": "memory"},
}


class WorkerFailedError(Exception):
    """A worker has stopped before it answered; its standard error says why."""


class Worker:
    """Callable: one turn of a task in another process; returns the seconds that it took there.

    ``loss`` is that of the first step, ``peak`` the most memory so far in bytes, ``busy`` the share
    of the last turn in which the GPU was at work, in percent, where there is one.
    """

    def __init__(self, **task: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", json.dumps(task, default=str)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.loss: float | None = None
        self.peak = 0
        self.busy: float | None = None

    def __call__(self) -> float:
        self.begin()
        return self.end()

    def begin(self) -> None:
        """Let it take a turn, without waiting."""
        with suppress(BrokenPipeError):  # ``end`` says so
            print("go", file=self._process.stdin, flush=True)

    def end(self) -> float:
        """The seconds of the turn that was begun, once it is over."""
        answer = self._process.stdout.readline()
        if not answer:
            raise WorkerFailedError(f"a benchmark's worker stopped with {self._process.wait()}")
        found = json.loads(answer)
        self.loss = found["loss"] if self.loss is None else self.loss
        self.peak, self.busy = found["peak"], found["busy"]
        return found["seconds"]

    def stop(self) -> None:
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Do one turn per line of input and answer each with a line of JSON."""
    task = json.loads(sys.argv[1])
    answers, sys.stdout = sys.stdout, sys.stderr
    turn = {"ours": ours, "released": released, "timm": timm_peer}[task["side"]](task)
    for _ in sys.stdin:
        monitor = UtilizationMonitor(task["device"])
        started = time.perf_counter()
        loss = turn()
        seconds = time.perf_counter() - started
        busy = monitor.stop()
        answer = {"seconds": seconds, "loss": loss, "peak": peak_memory(), "busy": busy}
        print(json.dumps(answer), file=answers, flush=True)


def peak_memory() -> int:
    """The most memory of this process so far, in bytes; ``getrusage`` includes its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def released(task: dict[str, Any]) -> Callable[[], float]:
    """A step or an epoch of the released code; on batches in memory where no folder is named."""
    import torch

    from benchmarks.networks import batch
    from benchmarks.released import Released

    torch.set_num_threads(task["threads"])
    side = Released(Path(task["reference"]), task["size"], task["device"])
    batches = [batch(task["batch"], task["size"])] * task.get("batches", 1)
    if task["folder"]:
        batches = side.loader(Path(task["folder"]), task["batch"], task["kind"] != "evaluation")
    if task["kind"] == "evaluation":
        return lambda: side.evaluation(batches)["loss"]
    return lambda: side.epoch(task["role"], batches)["loss"]


def timm_peer(task: dict[str, Any]) -> Callable[[], float]:
    """An epoch of timm's distillation, from files."""
    import torch

    from benchmarks.timm_peer import Timm

    torch.set_num_threads(task["threads"])
    side = Timm(task["distils"], task["size"], task["device"])
    batches = side.loader(Path(task["folder"]), task["batch"])
    return lambda: side.epoch(batches)


def ours(task: dict[str, Any]) -> Callable[[], float]:
    """A step or an epoch of ours, or of ours with one of its ingredients changed."""
    import torch

    from benchmarks import networks
    from hdkd.models import blocks
    from hdkd.training import evaluated, numerics

    engine = replace(networks.ENGINE, **task.get("engine", {}))
    without = task.get("without")
    if without == "memory":
        numerics.keep_freed_memory = lambda: None
    numerics.set_up(engine, task["device"], task["threads"])
    if without == "attention":
        blocks.CBAM.forward = blocks.CBAM.plain
    elif without == "small batches":
        evaluated.BATCH["cpu"] = evaluated.BATCH["cuda"]
    elif without == "choice of kernels":
        torch.backends.cudnn.benchmark = False
    if task["kind"] == "epoch":
        return epoch(task, engine)
    size, count = task["size"], task["batch"]
    step = networks.step(task["role"], size, count, engine=engine)
    if task["kind"] == "evaluation":
        return evaluation(step.model, task)
    images, labels = networks.batch(count, size)
    images = images.contiguous(memory_format=step.layout)

    def turn() -> float:
        step.update(images, labels)
        return step.means(count)["loss"]

    return turn


def epoch(task: dict[str, Any], engine: "Engine") -> Callable[[], float]:
    """An epoch from the prepared array to updated weights, on as many ``images`` as the task says.

    On a GPU all is recorded before the first turn. ``left_over: eager`` does not record the last,
    smaller batch.
    """
    import torch
    from filelock import FileLock

    from benchmarks import networks
    from hdkd.data.batches.imageset import ImageSet, TrainingSet
    from hdkd.data.batches.loader import Loader
    from hdkd.training.engine import EAGER_STEPS

    device, count = task["device"], task["batch"]
    source = ImageSet.load(Path(task["prepared"]))
    members = source.part("train")[: task.get("images")]
    loader = Loader(TrainingSet(source, members), device, resident=task.get("resident"))
    step = networks.step(task["role"], task["size"], count, device, engine, loader.gather)
    order, draws = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    left_over = step._compute if task.get("left_over") == "eager" else step

    def turn() -> float:
        for batch in loader.epoch(count, order, draws):
            take = step if len(batch[0]) == count else left_over
            take(*batch)
        return step.means(len(loader))["loss"]

    # One process after the other: kernels are chosen by timing them.
    with FileLock(Path(task["prepared"]) / "first-steps.lock"):
        for _ in range(EAGER_STEPS + 1 if device == "cuda" else 0):
            turn()
    return turn


def evaluation(model: Any, task: dict[str, Any]) -> Callable[[], float]:
    """The test set of the prepared array, in memory as during a run."""
    import torch

    from hdkd.data.batches.imageset import ImageSet
    from hdkd.training.loop import predict

    source = ImageSet.load(Path(task["prepared"]))
    test = source.part("test")
    images, labels = torch.from_numpy(source.images[test]), source.labels[test]
    return lambda: predict(model, images, labels)[1]


if __name__ == "__main__":
    main()
