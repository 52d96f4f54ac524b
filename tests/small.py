"""A small HDKD and a few images of noise, for tests of training."""

from typing import Any

import numpy as np
import pandas as pd

from hdkd.config import Augmentation, Distillation, Engine, Training
from hdkd.data.batches.imageset import ImageSet, TrainingSet
from hdkd.distillation.hdkd import Teaching
from hdkd.runs.records import RunParams, RunSummary
from hdkd.study.plan import RunKey
from hdkd.training.loop import Setup, Watched

AUGMENTATION = Augmentation(180.0, True, True, 0.3, 0.3, 2.0, (0.1, 2.0))
DISTILLATION = Distillation(0.5, 1.0, "soft", "batch_and_classes", 10.0, 1.0, (1, 1, 1))
ENGINE = Engine("float32", cuda_graph=False, compile=False)
SIZES = {
    "num_classes": 2,
    "image_size": 16,
    "in_channels": 1,
    "channels": (8, 16, 24),
    "depths": (1, 1, 1),
}
DATA = {
    "title": "Noise",
    "synthetic": True,
    "content_hash": "0" * 64,
    "training_digest": "1" * 64,
    "arithmetic": None,
}
ORIGIN = {
    "git_commit": None,
    "device": "cpu",
    "threads": 1,
    "platform": "Linux x86_64",
    "versions": {},
    "started": "2026-01-01T10:00:00+00:00",
}
METRICS = {
    "accuracy": 1.0,
    "balanced_accuracy": 1.0,
    "macro_f1": 1.0,
    "auroc": 1.0,
    "calibration_error": 0.0,
    "recall": {"a": 1.0, "b": 1.0},
    "confusion_matrix": [[7, 0], [0, 6]],
}
PROVENANCE = ORIGIN | {"duration_seconds": 60.0, "peak_memory_bytes": 2**20, "pieces": []}
STUDENT = {"layers": 1, "patch_size": 1, "embed_dim": 8, "heads": 2, "head_dim": 4}


def noise() -> ImageSet:
    """Thirteen grey images of two classes."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (13, 1, 16, 16), dtype=np.uint8)
    table = pd.DataFrame({"label": np.arange(13) % 2, "part": "train", "digest": ""})
    return ImageSet(images, table, {"classes": ["a", "b"]})


def params_of(role: str = "teacher", **changes: Any) -> RunParams:
    """Parameters of a small network's training."""
    content = {
        "run": RunKey("demo", "noise", "students", role, "all", 0),
        "classes": ["a", "b"],
        "images": {"size": 16, "colour": "grey"},
        "model": SIZES,
        "training": {},
        "augmentation": {},
        "engine": None,
        "distillation": None,
        "teacher": None,
        "training_images": 13,
        "synthetic_images": 0,
        "watched": None,
        "data": DATA,
    }
    return RunParams(**content | changes)


def summary_of(run: RunKey, **changes: Any) -> RunSummary:
    """What a run with every image right would leave."""
    content = {
        "run": run,
        "part": "test",
        "final": METRICS,
        "without_leaks": None,
        "tuned": None,
        "kept": {"rule": "last", "epoch": 2},
        "validation": {"loss": 0.1, "accuracy": 1.0, "balanced_accuracy": 1.0},
        "best_epoch": None,
        "epochs": 2,
        "test_images": 13,
        "training_images": 13,
        "synthetic_images": 0,
        "parameters": 1000,
        "data": DATA,
        "hyperparameters": {},
        "provenance": PROVENANCE,
        "mlflow_run": None,
    }
    return RunSummary(**content | changes)


def setup(source: ImageSet, training: Training, teaching: Teaching | None = None) -> Setup:
    """Training on the CPU with all images, which also stand for others to evaluate on."""
    watched = Watched("validation", source.images, source.labels)
    every = TrainingSet(source, np.arange(len(source.images)))
    return Setup(every, watched, training, AUGMENTATION, ENGINE, 5, "cpu", teaching)
