"""How long an answer takes and what it needs: the paper's networks beside its baselines.

Weights are random, because latency does not depend on them. Bytes go in, probabilities come out.
For each network all engines and numbers of threads take turns with MobileNetV3's, so that a ratio
to it is of the same rounds.
"""

import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.measure import Action, Times, duration, interleaved, table
from benchmarks.settings import Settings

if TYPE_CHECKING:
    from hdkd.deploy.network import Network

REFERENCE = "mobilenet_v3_large"
FILES = {"PyTorch": "model.safetensors", "ONNX": "model.onnx", "ONNX int8": "model_int8.onnx"}
RANGES_FROM = 8  # images of noise, which are enough to know how long int8 takes
THREADS = (1, 2)
OURS: dict[str, tuple[str, dict[str, Any]]] = {
    "Teacher": ("teacher", {}),
    "Student alone": ("student", {}),
    "HDKD": ("hdkd", {}),
    "HDKD, stride 4": ("hdkd", {"stem_stride": 4}),
    "HDKD, MBConv": ("hdkd", {"block": "mbconv"}),
    "HDKD, MBConv, stride 4": ("hdkd", {"block": "mbconv", "stem_stride": 4}),
}
EXPLAINED = """Bytes in, probabilities out, {size} px; random weights. A time is the median over the
rounds of a batch, with the 95th percentile behind it; the ratio is how many times longer than
MobileNetV3-L it takes by the same engine on as many threads in the same rounds, with its range.
Peak memory is that of a process of its own which answers one batch. PyTorch's file has half
precision. int8 is onnxruntime's, static, with a scale for each channel; its threads do not spin."""


def latency(settings: Settings) -> str:
    """A table for each batch size."""
    from hdkd.study.names import BASELINES

    names = [*OURS, *BASELINES] if settings.rounds > 1 else ["HDKD", REFERENCE]
    size = settings.sizes[-1]
    rows: dict[int, list[list[str]]] = {batch: [] for batch in settings.latency_rounds}
    with tempfile.TemporaryDirectory() as temporary:
        folders = {name: written(name, size, Path(temporary) / name) for name in names}
        for name in names:
            for batch, rounds in settings.latency_rounds.items():
                own, other = folders[name], folders[REFERENCE]
                rows[batch] += measured(name, own, other, (batch, 3, size, size), rounds)
    header = ["network", "engine", "file"]
    for threads in THREADS:
        header += [f"{threads} thread{'s' * (threads > 1)}", "beside MobileNetV3-L"]
    header.append("peak memory")
    parts = [EXPLAINED.format(size=size)]
    for batch, cells in rows.items():
        parts += [f"Batch {batch}, {settings.latency_rounds[batch]} rounds:", table(header, cells)]
    return "\n\n".join(parts)


def network_of(name: str, size: int) -> "Network":
    """A network of the paper's sizes, by its name in ``OURS`` or among the baselines."""
    from benchmarks.networks import network
    from hdkd.deploy.network import Network

    role, sizes = OURS.get(name, (name, {}))
    return Network(network(role, size, **sizes))


def written(name: str, size: int, folder: Path) -> Path:
    """A folder with the files of a network."""
    from safetensors.torch import save

    from hdkd.deploy.formats import quantise, traced, write_onnx
    from hdkd.runs.weights import in_half_precision

    started = time.perf_counter()
    folder.mkdir()
    network = network_of(name, size)
    weights = in_half_precision(save(network.model.state_dict()))
    (folder / FILES["PyTorch"]).write_bytes(weights)
    shape = (3, size, size)
    write_onnx(traced(network, shape), folder / FILES["ONNX"], {})
    noise = pixels((RANGES_FROM, *shape))
    quantise(folder / FILES["ONNX"], folder / FILES["ONNX int8"], noise, {})
    print(f"{name} written: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    return folder


def measured(
    name: str, own: Path, other: Path, shape: tuple[int, ...], rounds: int
) -> list[list[str]]:
    """A row for each engine of a network, in turns with those of the reference."""
    from hdkd.study.names import model_name

    images = pixels(shape)
    actions: dict[str, Action] = {}
    for folder in dict.fromkeys((own, other)):
        for engine in FILES:
            for threads in THREADS:
                run = engine_of(engine, folder, shape[-1], threads)
                actions[f"{folder.name} {engine} {threads}"] = timed(run, images)
    times = interleaved(actions, rounds)
    del actions
    gc.collect()
    rows = []
    for engine, file in FILES.items():
        title = name if name in OURS else model_name(name)
        row = [title, engine, f"{(own / file).stat().st_size / 1e6:.1f} MB"]
        for threads in THREADS:
            mine, theirs = (times[f"{each.name} {engine} {threads}"] for each in (own, other))
            row += [f"{duration(mine.median)} ({duration(percentile(mine))})", theirs.ratio(mine)]
        rows.append([*row, f"{peak(engine, own, shape) / 2**20:.0f} MiB"])
    print(f"{name}, batch {shape[0]}: measured", file=sys.stderr, flush=True)
    return rows


def timed(run: Callable[[np.ndarray], object], images: np.ndarray) -> Action:
    """Seconds of one run, after one that does not count: what others left in caches is theirs."""

    def action() -> float:
        run(images)
        started = time.perf_counter()
        run(images)
        return time.perf_counter() - started

    return action


def percentile(times: Times) -> float:
    """The 95th, in seconds."""
    return float(np.percentile(times.seconds, 95))


def engine_of(engine: str, folder: Path, size: int, threads: int) -> Callable[[np.ndarray], object]:
    """What runs a network of ``folder`` on bytes ``(images, 3, size, size)``."""
    if engine == "PyTorch":
        import torch

        network = network_of(folder.name, size)

        @torch.inference_mode()
        def run(images: np.ndarray) -> object:
            torch.set_num_threads(threads)
            pixels = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)
            return network(pixels)

        return run

    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait for more by spinning would take the other sides' time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        folder / FILES[engine], options, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(None, {"pixels": images})


def peak(engine: str, folder: Path, shape: tuple[int, ...]) -> int:
    """The most memory, in bytes, of a process that answers one batch on one thread."""
    command = [sys.executable, "-m", "benchmarks.latency", engine, str(folder), *map(str, shape)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def pixels(shape: tuple[int, ...]) -> np.ndarray:
    """Bytes of noise."""
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


if __name__ == "__main__":
    chosen, place, *sides = sys.argv[1:]
    given = tuple(map(int, sides))
    engine_of(chosen, Path(place), given[-1], threads=1)(pixels(given))
    # Not getrusage's, which starts with what the process that started this one had.
    status = Path("/proc/self/status").read_text().splitlines()
    print(1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")))
