"""Start-up: the command line, a run until its first step, the graph; and how they grow."""

import os
import sys
import tempfile
import time
from pathlib import Path

import yaml

from benchmarks.measure import Times, duration, interleaved, process, table
from benchmarks.settings import Settings
from benchmarks.training import common, generated
from benchmarks.worker import Worker
from hdkd import config
from hdkd.study import plan

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (3, 10, 59)  # 170, 282 and 1066 runs

FIRST_STEP = """
import os, sys
from hdkd import cli
def first(*_):
    os._exit(0)
from hdkd.training import engine
engine.Step.__call__ = first
cli.main(sys.argv[1:])
"""


def start(settings: Settings) -> str:
    """Whole processes, taking turns."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        environment = os.environ | {
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "HDKD_PARAMS": str(ROOT / "params.yaml"),
        }
        with generated(16, 8, 32) as (data, _):
            training = [
                sys.executable, "-c", FIRST_STEP, "train", "--profile", "demo", "--dataset",
                "phantom", "--role", "student", "--group", "students", "--block", "mbcsa",
                "--stem-stride", "2", "--subset", "all", "--seed", "0", "--prepared",
                str(data / "prepared"), "--threads", "1", "--output", str(folder / "run"),
            ]  # fmt: skip
            process(training, env=environment, cwd=folder)()  # the store is created once
            actions = {
                "`hdkd --help`": process(["hdkd", "--help"]),
                "importing torch and MLflow": process(
                    [sys.executable, "-c", "import torch, mlflow"]
                ),
                "a run until its first step": process(training, env=environment, cwd=folder),
            }
            times = interleaved(actions, settings.start_rounds)
    rows = [[name, time] for name, time in times.items()]
    imports = times["importing torch and MLflow"].seconds
    steps = times["a run until its first step"].seconds
    beyond = sorted(b - a for a, b in zip(imports, steps, strict=True))
    rows.append(["… of which beyond those imports", duration(beyond[len(beyond) // 2])])
    return table(["process", "time"], rows)


def graph(settings: Settings) -> str:
    """``snakemake -n`` on the paper's graph, and on graphs of more runs."""
    rows = []
    for seeds in SEEDS if settings.rounds > 1 else (1,):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            count = runs(folder, seeds)
            command = ["snakemake", "-n", "--quiet", "all", "--", "all"]
            times = interleaved({"graph": process(command, cwd=folder)}, min(3, settings.rounds))
        rows.append([f"{seeds} seeds, {count} runs", times["graph"]])
    return table(["`snakemake -n all`, profile paper", "time"], rows)


def runs(folder: Path, seeds: int) -> int:
    """Lay the paper's study with ``seeds`` seeds out in ``folder``; how many runs it has."""
    for name in ("Snakefile", "workflow", "hdkd", "profiles"):
        (folder / name).symlink_to(ROOT / name)
    parameters = config.read(ROOT / "params.yaml")
    parameters["profile"] = "paper"
    parameters["sweep"]["paper"]["seeds"] = list(range(seeds))
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters))
    study = config.load(folder / "params.yaml", "paper")
    return sum(len(plan.all_runs(study, name)) for name in study.study)


def growth(settings: Settings) -> str:
    """Time and memory by number of images and by image size."""
    images, pixels = settings.epoch_images, settings.sizes[0]
    cells = [(images, pixels)]
    if settings.rounds > 1:
        cells += [(2 * images, pixels), (4 * images, pixels), (32, 64), (32, 128), (32, 224)]
    rows = []
    for count, size in cells:
        with generated(count, 8, size) as (folder, preparing):
            shape = {"role": "hdkd", "size": size, "batch": settings.epoch_batch}
            places = {"prepared": folder / "prepared"}
            worker = Worker(**common(settings), side="ours", kind="epoch", **shape, **places)
            worker()
            seconds = worker()
            worker.stop()
        rows.append(
            [f"{count} images at {size} px", f"{1000 * preparing / (count + 8):.1f} ms",
             f"{1000 * seconds / count:.1f} ms", f"{worker.peak / 2**30:.2f} GiB"]
        )  # fmt: skip
    return table(["HDKD", "preparing, an image", "an epoch, an image", "peak"], rows)


def prediction(settings: Settings) -> str:
    """One image: a whole process, and a classifier that is loaded already."""
    from benchmarks.networks import network
    from hdkd.config import Images
    from hdkd.deploy.predict import Classifier

    size = settings.sizes[-1]
    with generated(4, 4, size) as (folder, _):
        image = next((folder / "files").rglob("*.png"))
        classifier = Classifier(
            network("hdkd", size).eval(), [str(k) for k in range(7)], Images(size, "rgb")
        )
        started = time.perf_counter()
        classifier.probabilities([image])
        first = time.perf_counter() - started
        times = interleaved(
            {"warm": lambda: classifier.probabilities([image]) is None or None}, settings.rounds
        )
        cold = cold_prediction(folder, image, size, settings)
    rows = [
        ["`hdkd predict`, a whole process", cold],
        ["a loaded classifier's first image", duration(first)],
        ["its further images", times["warm"]],
    ]
    return table([f"HDKD, one file at {size} px", "time"], rows)


def cold_prediction(folder: Path, image: Path, size: int, settings: Settings) -> Times:
    """A run folder with the paper's HDKD in it, used from the command line."""
    from benchmarks.networks import network
    from hdkd.runs.folder import RunFolder

    run = RunFolder(folder / "run")
    changed = {
        "images": {"size": size, "colour": "rgb"},
        "model": {"num_classes": 7, "image_size": size, "in_channels": 3},
    }
    run.start(RunFolder(ROOT / "pretrained" / "ham10000").params.model_copy(update=changed))
    run.write_model(network("hdkd", size))
    command = ["hdkd", "predict", "--model", str(run.path), str(image)]
    return interleaved({"cold": process(command)}, settings.start_rounds)["cold"]
