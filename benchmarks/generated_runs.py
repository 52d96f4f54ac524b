"""Run folders of a large study, made in minutes: every file is valid, and nothing was trained.

Each says so: its device is ``DEVICE`` and its data are synthetic. Parameters are those of the
profile ``paper``; metrics are computed from the predictions, which get better with more images and
with distillation. Weights are those of a network where a figure looks into it, else one number.
"""

import hashlib
import math
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save

from hdkd.config import Settings, plain
from hdkd.data.batches.imageset import PREPARED_FILES
from hdkd.data.split import compare, counts, leaks
from hdkd.evaluation.metrics import evaluate, without_leaks
from hdkd.files import write_checksums, write_json
from hdkd.models import build
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import RunParams, RunSummary
from hdkd.study import plan
from hdkd.study.key import RunKey
from hdkd.training.budget import network_arguments, training_of

DEVICE = "none (generated)"
LEAKED = 0.05  # share of the test images
# How far the right class is above others in the logits of a network that has seen every image.
SKILL = {"teacher": 3.0, "student": 2.2, "hdkd": 2.6}
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def write_study(settings: Settings, root: Path, processes: int) -> int:
    """Write prepared data and every run folder of a study below ``root``; how many runs it has."""
    written = 0
    for dataset in settings.study:
        generator = Generator(settings, dataset)
        write_prepared(generator, root)
        shares = [generator.runs[k::processes] for k in range(processes)]
        with ProcessPoolExecutor(processes, initializer=unsafe_but_fast) as pool:
            list(pool.map(generator.write_all, [root] * processes, shares))
        written += len(generator.runs)
    return written


def unsafe_but_fast() -> None:
    """What would be lost with the machine is generated again: no file waits for the disk."""
    os.fsync = lambda descriptor: None
    torch.set_num_threads(1)


def images_of(settings: Settings, dataset: str) -> pd.DataFrame:
    """A row for each published image of a dataset, as ``split.csv`` has them."""
    published = sorted(plain(settings.dataset(dataset).classes).items())
    rows = [
        {"path": f"{part}/{name}/{k:05}.png", "label": label, "class": name, "lesion": "",
         "part": part}
        for label, (name, images) in enumerate(published)
        for part in ("train", "test")
        for k in range(images[part])
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table["digest"] = [hashlib.sha256(path.encode()).hexdigest() for path in table["path"]]
    table["cluster"] = range(len(table))
    drawn = np.random.default_rng(0).random(len(table)) < LEAKED
    table["leaked"] = drawn & (table["part"] == "test")
    return table


def write_prepared(generator: "Generator", root: Path) -> None:
    """Write a prepared folder; its images are black, and take no place on the disk."""
    settings, name, table = generator.settings, generator.dataset, generator.images
    folder = root / plan.prepared_folder(settings.profile, name)
    folder.mkdir(parents=True)
    dataset, images = settings.dataset(name), settings.images(name)
    shape = (len(table), images.channels, images.size, images.size)
    np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape=shape)
    table.to_csv(folder / "split.csv", index=False)
    table.drop(columns=["cluster", "leaked"]).to_csv(folder / "index.csv", index=False)
    recipe = {"label": [0], "base": [0], "neighbour": [1], "gap": [0.5]}
    pd.DataFrame(recipe).to_csv(folder / "smote.csv", index=False)
    pd.DataFrame(columns=["first", "second"]).to_csv(folder / "copies.csv", index=False)
    facts = {
        "dataset": name, "title": f"{dataset.title} (generated)", "synthetic": True,
        "classes": generator.classes, "images": len(table), "size": images.size,
        "colour": images.colour, "native_sizes": {f"{images.size}×{images.size}": len(table)},
        "native_size_count": 1, "published_size": None, "left_out": [], "content_hash": "0" * 64,
    }  # fmt: skip
    write_json(folder / "facts.json", facts)
    compared = compare(table, plain(dataset.classes))
    write_json(folder / "split.json", {"counts": counts(table), **compared, **leaks(table)})
    write_checksums(folder, PREPARED_FILES)


class Generator:
    """Writes the runs of a dataset."""

    def __init__(self, settings: Settings, dataset: str) -> None:
        self.settings, self.dataset = settings, dataset
        self.runs = plan.all_runs(settings, dataset)
        self.images = images_of(settings, dataset)
        self.classes = sorted(self.images["class"].unique())
        self.tests = self.images[self.images["part"] == "test"].reset_index(drop=True)
        self.trained = np.bincount(self.images["label"][self.images["part"] == "train"]).tolist()
        self.difficulty = np.random.default_rng(1).normal(0, 1.5, len(self.tests))
        # Figures show the networks of the first student and HDKD on the fewest images.
        students = plan.student_runs(settings, dataset)[:2]
        self.shown = {*plan.teacher_runs(settings, dataset), *students}
        self._kinds: dict[RunKey, dict[str, Any]] = {}  # what runs of all seeds have in common

    def write_all(self, root: Path, runs: list[RunKey]) -> None:
        """Write some run folders."""
        for run in runs:
            self.write(root, run)

    def write(self, root: Path, run: RunKey) -> None:
        """Write a run folder."""
        folder = RunFolder(root / run.folder)
        kind = self._kind(run)
        draws = np.random.default_rng(list(run.folder.as_posix().encode()))
        probabilities = self._probabilities(run, draws)
        labels = self.tests["label"].to_numpy()
        final = evaluate(probabilities, labels, self.classes)
        table = curves(kind["epochs"], final["accuracy"], draws)
        best = int(table["test_accuracy"].argmax())
        last = kind["keep"] != "best_on_test"
        data = {
            "title": self.settings.dataset(self.dataset).title, "synthetic": True,
            "content_hash": "0" * 64, "training_digest": "0" * 64, "arithmetic": None,
        }  # fmt: skip
        common = {"run": run, "data": data, "synthetic_images": 0} | kind["images"]
        folder.start(RunParams(**common, **kind["params"]))
        table.to_csv(folder.path / "metrics.csv", index=False)
        folder.write_predictions(self.tests, probabilities, self.classes)
        (folder.path / "model.safetensors").write_bytes(self._weights(run, kind["params"]))
        summary = RunSummary(
            **common, part="test", final=final, tuned=None, validation=None, mlflow_run=None,
            without_leaks=without_leaks(probabilities, labels, self.tests["leaked"].to_numpy()),
            kept={"rule": kind["keep"], "epoch": kind["epochs"] if last else best + 1},
            best_epoch={"epoch": best + 1, "accuracy": table["test_accuracy"][best]},
            epochs=kind["epochs"], test_images=len(labels), parameters=kind["parameters"],
            hyperparameters=kind["hyperparameters"], provenance=provenance(draws),
        )  # fmt: skip
        folder.write_summary(summary)

    def _kind(self, run: RunKey) -> dict[str, Any]:
        """What a run has in common with those of other seeds."""
        key = replace(run, seed=0)
        if key not in self._kinds:
            settings, few = self.settings, run.subset != "all"
            training = training_of(settings, run, self.trained)
            arguments = network_arguments(settings, run, len(self.classes))
            distillation = vars(settings.distillation(run.point)) if run.is_taught else None
            with torch.device("meta"):  # to count, not to compute
                network = build(run.role, **arguments)
            self._kinds[key] = {
                "epochs": training.epochs,
                "keep": training.keep,
                "parameters": sum(p.numel() for p in network.parameters()),
                "hyperparameters": plan.hyperparameters(settings, run),
                "images": {"training_images": int(run.subset) if few else sum(self.trained)},
                "params": {
                    "classes": self.classes,
                    "images": vars(settings.images(self.dataset)),
                    "model": arguments,
                    "training": vars(training),
                    "augmentation": vars(settings.parameters.augmentation),
                    "engine": vars(settings.parameters.engine),
                    "distillation": distillation,
                    "teacher": "generated" if run.is_taught else None,
                    "watched": {"part": "test", "images": len(self.tests)},
                },
            }
        return self._kinds[key]

    def _probabilities(self, run: RunKey, draws: np.random.Generator) -> np.ndarray:
        """Of each test image and class, float32, ``(images, classes)``."""
        every = sum(self.trained)
        images = every if run.subset == "all" else int(run.subset)
        skill = SKILL.get(run.role, 2.0) + 0.35 * math.log(images / every) + draws.normal(0, 0.1)
        logits = draws.normal(0, 1, (len(self.tests), len(self.classes)))
        logits[np.arange(len(self.tests)), self.tests["label"]] += skill - self.difficulty
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)

    def _weights(self, run: RunKey, params: dict[str, Any]) -> bytes:
        if run not in self.shown:
            return save({"generated": torch.zeros(1)})
        state = build(run.role, **params["model"]).state_dict()
        return save({name: tensor.contiguous() for name, tensor in state.items()})


def curves(epochs: int, final: float, draws: np.random.Generator) -> pd.DataFrame:
    """Metrics of every epoch, as a run that watches the test images writes them."""
    epoch = np.arange(1, epochs + 1)
    learned = 1 - np.exp(-5 * epoch / epochs)
    accuracy = np.clip(final * learned + draws.normal(0, 0.01, epochs), 0, 1)
    accuracy[-1] = final
    loss = 2 - 1.5 * learned + draws.normal(0, 0.02, epochs)
    table = {
        "epoch": epoch, "learning_rate": 5e-5, "train_loss": loss, "train_cross_entropy": loss,
        "train_accuracy": accuracy, "images_per_second": draws.normal(300, 5, epochs),
        "test_loss": loss, "test_accuracy": accuracy, "test_balanced_accuracy": accuracy,
    }  # fmt: skip
    return pd.DataFrame(table)


def provenance(draws: np.random.Generator) -> dict[str, Any]:
    """Of a run that began at some time within a year, and of no machine."""
    started = (BEGIN + timedelta(seconds=int(draws.integers(365 * 86400)))).isoformat()
    seconds = round(float(draws.normal(600, 30)), 2)
    return {
        "git_commit": None, "device": DEVICE, "threads": 1, "numerics": None, "platform": DEVICE,
        "versions": {}, "started": started, "duration_seconds": seconds, "startup_seconds": 5.0,
        "peak_memory_bytes": 2**30, "pieces": [{"started": started, "seconds": seconds}],
    }  # fmt: skip
