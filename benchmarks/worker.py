"""One side of a comparison in a process of its own, which takes turns with the other's.

A process of its own, because each side sets up its process as it does in use.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

VARIANTS = {
    "without the attention's own gradient": "attention",
    "without channels last": "layout",
}


class Worker:
    """Callable: one turn of a task in another process; returns the seconds that it took there.

    ``loss`` is that of the first step, ``peak`` the most memory so far in bytes.
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

    def __call__(self) -> float:
        print("go", file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"a benchmark's worker stopped with {self._process.wait()}")
        found = json.loads(answer)
        self.loss = found["loss"] if self.loss is None else self.loss
        self.peak = found["peak"]
        return found["seconds"]

    def stop(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Do one turn per line of input and answer each with a line of JSON."""
    task = json.loads(sys.argv[1])
    answers, sys.stdout = sys.stdout, sys.stderr
    turn = {"ours": ours, "released": released, "timm": timm_peer}[task["side"]](task)
    for _ in sys.stdin:
        started = time.perf_counter()
        loss = turn()
        seconds = time.perf_counter() - started
        answer = {"seconds": seconds, "loss": loss, "peak": peak_memory()}
        print(json.dumps(answer), file=answers, flush=True)


def peak_memory() -> int:
    """The most memory of this process so far, in bytes; ``getrusage`` includes its parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def released(task: dict[str, Any]) -> Callable[[], float]:
    """A step or an epoch of the released code."""
    import torch

    from benchmarks.networks import batch
    from benchmarks.released import Released

    torch.set_num_threads(task["threads"])
    side = Released(Path(task["reference"]), task["size"])
    batches = [batch(task["batch"], task["size"])]
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
    side = Timm(task["distils"], task["size"])
    batches = side.loader(Path(task["folder"]), task["batch"])
    return lambda: side.epoch(batches)


def ours(task: dict[str, Any]) -> Callable[[], float]:
    """A step or an epoch of ours, or of ours without one of its ingredients."""
    from benchmarks import networks
    from hdkd.models import blocks
    from hdkd.training.numerics import set_up

    without = task.get("without")
    engine = networks.ENGINE
    if without == "layout":
        engine = replace(engine, layout="contiguous")
    set_up(engine, "cpu", task["threads"])
    if without == "attention":
        blocks.CBAM.forward = blocks.CBAM.plain
    size, count = task["size"], task["batch"]
    step = networks.step(task["role"], size, count, engine=engine)
    if task["kind"] == "step":
        images, labels = networks.batch(count, size)
        images = images.contiguous(memory_format=step.layout)

        def turn() -> float:
            step.update(images, labels)
            return step.means(count)["loss"]

        return turn
    if task["kind"] == "evaluation":
        return evaluation(step.model, task)
    return epoch(step, task)


def epoch(step: Any, task: dict[str, Any]) -> Callable[[], float]:
    """An epoch from the prepared array to updated weights."""
    import torch

    from hdkd.data.batches.imageset import ImageSet, TrainingSet
    from hdkd.data.batches.loader import Loader

    source = ImageSet.load(Path(task["prepared"]))
    feed = Loader(TrainingSet(source, source.part("train")), "cpu")
    order, draws = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)

    def turn() -> float:
        for batch in feed.epoch(task["batch"], order, draws):
            step(*batch)
        return step.means(len(feed))["loss"]

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
