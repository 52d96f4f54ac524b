"""Steps, epochs and evaluation: ours beside the released code, and beside pure arithmetic."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks import networks
from benchmarks.measure import Times, interleaved, table
from benchmarks.settings import Settings
from benchmarks.worker import VARIANTS, Worker
from hdkd.config import Dataset, Images, Smote, ValidationSplit
from hdkd.data.acquire import phantom
from hdkd.data.acquire.sources import list_files
from hdkd.data.prepare import prepare
from hdkd.data.split import split

if TYPE_CHECKING:
    from hdkd.data.batches.imageset import ImageSet

NAMES = {"hdkd": "HDKD", "teacher": "Teacher"}


def steps(settings: Settings) -> str:
    """One step on images in memory: same batch, same weights, same loss terms."""
    rows, parts = [], []
    for role, name in NAMES.items():
        for size in settings.sizes:
            count = settings.step_batch(size)
            task = {"kind": "step", "role": role, "size": size, "batch": count}
            sides = {"ours": {"side": "ours"}}
            if settings.reference:
                sides["released"] = {"side": "released"}
            sides |= {text: {"side": "ours", **change} for text, change in VARIANTS.items()}
            times, workers = take_turns(settings, task, sides)
            if settings.reference:
                losses = [workers[side].loss for side in ("released", "ours")]
                difference = abs(losses[1] / losses[0] - 1)
                rows.append(
                    [name, f"{size} px, batch {count}", times["released"], times["ours"],
                     times["ours"].ratio(times["released"]), f"{difference:.0e}"]
                )  # fmt: skip
            parts += [
                [name, f"{size} px, {'as it is' if text == 'ours' else text}", times[text],
                 times["ours"].ratio(times[text]), f"{workers[text].peak / 2**20:.0f} MiB"]
                for text in ("ours", *VARIANTS)
            ]  # fmt: skip
    tables = [table(["our step", "with and without", "time", "times ours", "peak memory"], parts)]
    if rows:
        header = ["step", "size", "released", "ours", "ratio", "loss differs by"]
        tables.insert(0, table(header, rows))
    return "\n\n".join(tables)


def take_turns(
    settings: Settings,
    task: dict[str, Any],
    sides: dict[str, dict[str, Any]],
    rounds: int | None = None,
) -> tuple[dict[str, Times], dict[str, Worker]]:
    """The same task by several sides, each in its process."""
    workers = {name: Worker(**common(settings) | task | side) for name, side in sides.items()}
    try:
        return interleaved(workers, rounds or settings.rounds), workers
    finally:
        for worker in workers.values():
            worker.stop()


def common(settings: Settings) -> dict[str, Any]:
    """What every task says, unless it says it differently."""
    return {
        "threads": settings.threads,
        "reference": settings.reference,
        "folder": None,
        "device": "cpu",
    }


@contextmanager
def generated(count: int, tests: int, size: int, native: int = 512) -> Iterator[tuple[Path, float]]:
    """The folder of generated images, prepared at ``size`` pixels, and the seconds it took."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        classes = {name: {"train": count // 4, "test": tests // 4} for name in phantom.CLASSES}
        phantom.write(folder / "files", classes, native, seed=0)
        list_files(folder / "files").to_csv(folder / "manifest.csv", index=False)
        dataset = Dataset(
            title="Generated", synthetic=True, licence=None, classes=classes, colour="rgb",
            source={"kind": "generated", "seed": 0, "size": native},
            layout={"kind": "train_test_folders", "train": "train", "test": "test"},
            split={"kind": "published"},
            smote=Smote(enabled=False, neighbours=5, target="majority", seed=0),
            subsets=["all"], unreadable="stop",
        )  # fmt: skip
        started = time.perf_counter()
        prepared = folder / "prepared"
        prepared.mkdir()
        prepare("generated", dataset, Images(size, "rgb"), folder / "manifest.csv", prepared)
        seconds = time.perf_counter() - started
        split("generated", dataset, ValidationSplit(0, 0), prepared / "index.csv", prepared)
        yield folder, seconds


def epochs(settings: Settings) -> str:
    """From image files to updated weights, and what there is besides arithmetic."""
    size, count = settings.sizes[-1], settings.epoch_images
    with generated(count, count, size) as (folder, preparing):
        task = {"role": "hdkd", "size": size, "batch": settings.epoch_batch}
        places = {"folder": folder / "files", "prepared": folder / "prepared"}
        sides = {"ours": {"side": "ours", **places}}
        if settings.reference:
            sides["released"] = {"side": "released", **places}
        peers = {f"timm, distilling {what}": {"side": "timm", "distils": what, **places}
                 for what in ("logits", "features")}  # fmt: skip
        rows = []
        kinds = {"epoch": "training epoch", "evaluation": "evaluation of the test set"}
        for kind, title in kinds.items():
            large = {"ours, all images at once": sides["ours"] | {"without": "small batches"}}
            every = sides | (peers if kind == "epoch" else large)
            times, _ = take_turns(settings, task | {"kind": kind}, every, settings.epoch_rounds)
            rows += [
                [f"{title}: {name}", taken, times["ours"].ratio(taken)]
                for name, taken in times.items()
            ]
        text = table([f"{count} files at {size} px", "time", "times ours"], rows)
        text += (
            f"\n\nPreparing the {2 * count} files, once per study, took {preparing:.2f} s "
            f"({1000 * preparing / count / 2:.1f} ms an image); released decodes, resizes and "
            f"augments each image in every epoch, and so does timm, whose tasks distil our student "
            "with our teacher: its logits, or the features before its head, without a second head. "
            f"Batch {settings.epoch_batch}; generated 512-pixel images."
        )
        return text + "\n\n" + arithmetic(settings, folder / "prepared")


def arithmetic(settings: Settings, prepared: Path) -> str:
    """An epoch as it is trained against its steps on tensors in memory, taking turns."""
    from hdkd.data.batches.imageset import ImageSet
    from hdkd.training.numerics import set_up

    set_up(networks.ENGINE, "cpu", settings.threads)
    source = ImageSet.load(prepared)
    rows = []
    for role, name in NAMES.items():
        times = epoch_times(settings, source, role, prepared / f"run-{role}")
        alone, trained = times["alone"], times["trained"]
        rows.append([name, alone, trained, alone.ratio(trained)])
    header = [f"epoch at {source.images.shape[-1]} px", "its arithmetic alone"]
    return table([*header, "as trained", "ratio"], rows)


def epoch_times(
    settings: Settings, source: "ImageSet", role: str, folder: Path
) -> dict[str, Times]:
    """Times of an epoch as it is ``trained``, in a run folder, and of its steps ``alone``."""
    from hdkd.data.batches.imageset import TrainingSet
    from hdkd.data.batches.loader import Loader
    from hdkd.runs.folder import RunFolder
    from hdkd.training.checkpoint import Checkpoint, State
    from hdkd.training.kept import KeptWeights

    size, count = source.images.shape[-1], settings.epoch_batch
    step = networks.step(role, size, count)
    feed = Loader(TrainingSet(source, source.part("train")), "cpu")
    generators = {"order": torch.Generator(), "draws": torch.Generator()}
    batches = [
        (networks.batch(len(labels), size)[0].contiguous(memory_format=step.layout), labels)
        for _, labels, _ in feed.epoch(count, **generators)
    ]
    folder.mkdir(exist_ok=True)
    run = RunFolder(folder)
    state = State(step.model, step.optimizer, generators, KeptWeights("last"))
    with Checkpoint(folder, {}) as checkpoint:

        def trained() -> None:
            for batch in feed.epoch(count, **generators):
                step(*batch)
            run.append_metrics({"epoch": 1, **step.means(len(feed))})
            if checkpoint.due:
                checkpoint.save(1, state)

        def alone() -> None:
            for batch in batches:
                step.update(*batch)
            step.means(len(feed))

        return interleaved({"alone": alone, "trained": trained}, settings.epoch_rounds)
