"""Many images: processor time and peak memory of every step from a folder to a trained network."""

import math
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from PIL import Image

from benchmarks.measure import table
from benchmarks.settings import Settings
from hdkd import config
from hdkd.data import neighbours
from hdkd.data.acquire import phantom
from hdkd.errors import DataError

ROOT = Path(__file__).resolve().parents[1]
SHARES = {"few": 0.2, "some": 0.3, "many": 0.5}  # of the images, by class
COPIES = 0.01  # share of the images that are copies of others
EPOCH = 500  # images, of however many
ASKED = 500  # images of which all neighbours are found, to see how many of those are among ours
EVERY = 0.05  # seconds between two looks at the memory

STEPS = {
    "acquire": ["acquire"],
    "prepare": ["prepare"],
    "split, with copies": ["split"],
    "smote": ["smote"],
    f"train: {EPOCH} images, evaluate, test": [
        "train", "--role", "teacher", "--recipes", "data/prepared/demo/folder/smote.csv",
        "--no-tracking", "--device", "cpu", "--threads", "1",
    ],
}  # fmt: skip


def scale(settings: Settings) -> str:
    """A table for each image size, with how each step's time grows."""
    parts = [series(size, counts, settings.threads) for size, counts in settings.scale]
    parts.append(heads(settings.scale[0][1][0]))
    return "\n\n".join(parts) + (
        "\n\nGenerated pictures of soft blobs in three classes (20, 30 and 50 %); one in a hundred "
        "is a copy of another. SMOTE raises the two smaller classes to the largest; up to "
        f"{neighbours.EXACT_UP_TO} images of a class it compares all with all. Each step is a "
        "process of its own, with some seconds of start-up. Time is that of the processors, all "
        "together. Memory is the most that a process and its workers hold at a time, without pages "
        "of files, which the system takes back where it needs them. The exponent is that of a "
        "power law through the two largest numbers of images: 1 is linear, 2 quadratic."
    )


def series(size: int, counts: Sequence[int], threads: int) -> str:
    """The steps at one image size, for ever more images."""
    found = []
    for count in counts:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as temporary:
            found.append(measured(Path(temporary), count, size, threads))
        print(f"{count} images of {size} px: {found[-1]}", file=sys.stderr, flush=True)
    rows = []
    for step in STEPS:
        cells = [f"{each[step][0]:.1f} s, {each[step][1] / 2**20:.0f} MiB" for each in found]
        seconds = [each[step][0] for each in found]
        rows.append([step, *cells, f"{exponent(counts, seconds):.2f}"])
    for check in ("copies found", "of SMOTE's neighbours found"):
        rows.append([check, *(each[check] for each in found), ""])
    header = [f"files of {size} px", *(f"{count} images" for count in counts), "exponent"]
    return table(header, rows)


def heads(count: int, size: int = 32) -> str:
    """How many of the approximate neighbours are right among the demo's images."""
    images = [
        phantom.draw(phantom.CLASSES[number % 4], size, np.random.default_rng([1, number]))
        for number in range(count)
    ]
    try:
        found = neighbours.recall(np.stack(images).reshape(count, -1), np.arange(count), 5, ASKED)
    except DataError as error:
        return f"Not measured: {error}."
    return (
        f"Blobs have no neighbours to speak of: all are about equally far from each other. Of the "
        f"five nearest of {count} of the demo's heads, {100 * found:.1f} % are found."
    )


def exponent(counts: Sequence[int], seconds: Sequence[float]) -> float:
    """Of the power law through the last two points."""
    return math.log(seconds[-1] / seconds[-2]) / math.log(counts[-1] / counts[-2])


def measured(folder: Path, count: int, size: int, threads: int) -> dict[str, object]:
    """Processor seconds and peak memory of each step on so many images, and what it found."""
    copies = generate(folder / "images", count, size)
    parameters(folder, size)
    found: dict[str, object] = {}
    for step, command in STEPS.items():
        options = ["--dataset", "folder"]
        if command[0] == "prepare":
            options += ["--threads", str(threads)]
        found[step] = watched([sys.executable, "-m", "hdkd", *command, *options], folder)
    prepared = folder / "data/prepared/demo/folder"
    found["copies found"] = f"{len(pd.read_csv(prepared / 'copies.csv'))} of {copies}"
    found["of SMOTE's neighbours found"] = recall(prepared)
    return found


def generate(folder: Path, count: int, size: int) -> int:
    """Write ``folder/<class>/<number>.jpg``, no two alike but copies; how many of these."""
    generator = np.random.default_rng(0)
    copies = 0
    for name, share in SHARES.items():
        (folder / name).mkdir(parents=True)
        own, first = round(share * count), max(1, round(COPIES * share * count))
        for number in range(own):
            path = folder / name / f"{number:06d}.jpg"
            if number >= own - first:
                shutil.copyfile(folder / name / f"{number - own + first:06d}.jpg", path)
                copies += 1
                continue
            coarse = generator.integers(20, 200, (6, 6, 3), dtype=np.uint8)
            picture = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
            picture.save(path, quality=90)
    return copies


def parameters(folder: Path, size: int) -> None:
    """The demo's parameters for these images, SMOTE included."""
    chosen = config.read(ROOT / "params.yaml")
    chosen["datasets"]["folder"] |= {
        "source": {"kind": "local", "path": str(folder / "images"), "variable": "HDKD_FOLDER"},
        "layout": {"kind": "class_folders"},
        "split": {"kind": "held_out", "test_fraction": 0.1, "seed": 0},
        "smote": {"enabled": True, "neighbours": 5, "target": "majority", "seed": 0},
    }
    chosen["images"]["demo"]["size"] = size
    chosen["teacher"]["demo"] |= {"epochs": 1, "epoch_images": EPOCH, "evaluate_every": 1}
    (folder / "params.yaml").write_text(yaml.safe_dump(chosen))


def watched(command: list[str], folder: Path) -> tuple[float, int]:
    """Processor seconds of a command, and the most bytes that it and its children had at a time."""
    environment = os.environ | {"HDKD_PARAMS": str(folder / "params.yaml")}
    peak = 0
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stderr=log, stdout=log)
        ended = threading.Event()

        def look() -> None:
            nonlocal peak
            while not ended.wait(EVERY):
                peak = max(peak, memory(process.pid))

        watcher = threading.Thread(target=look)
        watcher.start()
        _, status, used = os.wait4(process.pid, 0)
        ended.set()
        watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError((folder / "log").read_text())
    return used.ru_utime + used.ru_stime, peak


def memory(pid: int) -> int:
    """Bytes of a process and its descendants, without pages of files."""
    try:
        status = Path(f"/proc/{pid}/status").read_text().splitlines()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    own = [line.split() for line in status if line.startswith(("RssAnon", "RssShmem"))]
    return sum(1024 * int(words[1]) for words in own) + sum(memory(int(each)) for each in children)


def recall(prepared: Path) -> str:
    """Of the raised classes' images, how many of the nearest neighbours SMOTE chooses among."""
    table = pd.read_csv(prepared / "split.csv", usecols=["label", "part"])
    images = np.load(prepared / "images.npy", mmap_mode="r")
    counts = table["label"][table["part"] == "train"].value_counts()
    shares = []
    for label in counts.index[1:]:
        if counts[label] > neighbours.EXACT_UP_TO:
            rows = np.flatnonzero((table["label"] == label) & (table["part"] == "train"))
            shares.append(neighbours.recall(images.reshape(len(images), -1), rows, 5, ASKED))
    return " and ".join(f"{100 * share:.1f} %" for share in shares) or "all (exact)"
