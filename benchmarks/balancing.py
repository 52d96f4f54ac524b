"""SMOTE as recipes beside imbalanced-learn on the whole array: time and peak memory."""

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.measure import table
from benchmarks.settings import Settings

# HAM-10000's training images per class (the paper's split), and the pixels of the paper.
COUNTS = (6042, 1079, 1033, 488, 304, 132, 109)
SIZE = 224

WHOLE_ARRAY = """
import sys, numpy, pandas
from imblearn.over_sampling import SMOTE
images = numpy.load(sys.argv[1] + "/images.npy")
labels = pandas.read_csv(sys.argv[1] + "/split.csv")["label"]
SMOTE(random_state=0).fit_resample(images.reshape(len(images), -1), labels)
"""
RECIPES = """
import sys
from pathlib import Path
from hdkd.config import Smote
from hdkd.data.smote import balance
folder = Path(sys.argv[1])
balance("noise", Smote(True, 5, "majority", 0), folder, folder / "smote.csv")
"""
# Seconds and peak memory of a command.
MEASURED = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], check=True)
seconds = time.perf_counter() - started
print(json.dumps([seconds, 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss]))
"""


def smote(settings: Settings) -> str:
    """Ours at HAM-10000's size; both at sizes that fit, from which theirs is extrapolated."""
    rows, seconds, peaks = [], [], []
    for count in settings.smote_images:
        with tempfile.TemporaryDirectory() as temporary:
            folder = noise(Path(temporary), count, settings.smote_size)
            ours, theirs = measured(RECIPES, folder), measured(WHOLE_ARRAY, folder)
        rows.append([f"{count} at {settings.smote_size} px", *shown(theirs), *shown(ours)])
        seconds.append(theirs[0])
        peaks.append(theirs[1])
    sizes = [count * settings.smote_size**2 for count in settings.smote_images]
    total = sum(COUNTS) * SIZE**2
    later = [f"about {growth(sizes, values, total):.0f} {unit}" for values, unit in
             ((seconds, "s"), ([peak / 2**30 for peak in peaks], "GiB"))]  # fmt: skip
    found = ["–", "–"]
    if settings.whole_smote:
        with tempfile.TemporaryDirectory() as temporary:
            found = shown(measured(RECIPES, noise(Path(temporary), sum(COUNTS), SIZE)))
    rows.append([f"{sum(COUNTS)} → {7 * COUNTS[0]} at {SIZE} px", *later, *found])
    header = ["images", "imbalanced-learn, whole array", "peak", "ours, recipes", "peak"]
    return table(header, rows) + (
        "\n\nNoise in HAM-10000's proportions; reading the images counts. The last line of "
        "imbalanced-learn is the power law through the lines above it, not a measurement."
    )


def noise(folder: Path, count: int, size: int) -> Path:
    """A prepared folder of ``count`` colour images of noise in HAM-10000's proportions."""
    per_class = np.maximum(8, np.array(COUNTS) * count // sum(COUNTS))
    labels = np.repeat(np.arange(len(COUNTS)), per_class)
    images = np.lib.format.open_memmap(
        folder / "images.npy", "w+", np.uint8, (len(labels), 3, size, size)
    )
    generator = np.random.default_rng(0)
    for row in images:
        row[:] = generator.integers(0, 256, row.shape, dtype=np.uint8)
    images.flush()
    table = pd.DataFrame({"label": labels, "part": "train"})
    table.to_csv(folder / "split.csv", index=False)
    return folder


def measured(program: str, folder: Path) -> tuple[float, int]:
    """Seconds and peak memory in bytes of a program in a process of its own."""
    python = [sys.executable, "-c"]
    command = [*python, MEASURED, *python, program, str(folder)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, peak = json.loads(result.stdout)
    return seconds, peak


def shown(found: tuple[float, int]) -> list[str]:
    seconds, peak = found
    return [f"{seconds:.1f} s", f"{peak / 2**30:.2f} GiB"]


def growth(sizes: list[int], values: list[float], at: int) -> float:
    """The power law through the last two points, continued to ``at``."""
    power = math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2])
    return values[-1] * (at / sizes[-1]) ** power
