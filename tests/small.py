"""A small HDKD and a few images of noise, for tests of training."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from hdkd.config import Augmentation, Distillation, Engine, Training
from hdkd.data.batches.imageset import ImageSet, TrainingSet
from hdkd.data.batches.loader import Loader
from hdkd.distillation.hdkd import HDKD
from hdkd.distillation.method import Method, Seen, Teaching
from hdkd.models import ImageModel, Output, build
from hdkd.runs.records import RunParams, RunSummary
from hdkd.study.key import RunKey
from hdkd.training.engine import Step
from hdkd.training.loop import Setup, Watched
from hdkd.training.schedule import build_optimizer

AUGMENTATION = Augmentation(180.0, True, True, 0.3, 0.3, 2.0, (0.1, 2.0))
DISTILLATION = Distillation(0.5, 1.0, "soft", "batch_and_classes", 10.0, 1.0, (1, 1, 1))
ENGINE = Engine("float32", False, "channels_last", cuda_graph=False, compile=False)
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
    "numerics": None,
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
PROVENANCE = ORIGIN | {
    "duration_seconds": 60.0,
    "startup_seconds": 0.0,
    "peak_memory_bytes": 2**20,
    "pieces": [{"started": "2026-01-01T00:00:00+00:00", "seconds": 1.0}],
}
TRAINING = Training("adamw", 1e-3, 1e-4, 1e-4, 1, 0.05, 3, 4, 1)
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
        "engine": {"precision": "float32", "cuda_graph": True, "compile": False},
        "distillation": None,
        "teacher": None,
        "training_images": 13,
        "synthetic_images": 0,
        "watched": {"part": "validation", "images": 13},
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


def epochs_of(
    source: ImageSet,
    engine: Engine = ENGINE,
    device: str = "cpu",
    epochs: int = 6,
    resident: bool | None = None,
) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """Mean losses of some epochs of HDKD in batches of four, and its weights after them."""
    torch.manual_seed(0)
    teacher = build("teacher", **SIZES).eval()
    model = build("hdkd", **SIZES, **STUDENT).to(device)
    optimizer = build_optimizer(model, TRAINING)
    loader = Loader(TrainingSet(source, np.arange(13)), device, resident=resident)
    teaching = Teaching(teacher, HDKD(DISTILLATION))
    step = Step(model, optimizer, AUGMENTATION, engine, device, teaching, loader.gather)
    order, draws = (torch.Generator().manual_seed(seed) for seed in (0, 1))
    means = []
    for _ in range(epochs):
        for batch in loader.epoch(4, order, draws):
            step(*batch)
        means.append(step.means(len(loader)))
    return means, {name: tensor.cpu() for name, tensor in model.state_dict().items()}


def losses_of(
    method: Method, student: Output, teacher: Output | None, labels: list[int], progress: float = 0
) -> dict[str, torch.Tensor]:
    """Loss terms of a method for what two networks gave, by name; ``loss`` is their sum."""
    nothing = ImageModel()
    seen = None if teacher is None else Seen(nothing, teacher)
    given = (Seen(nothing, student), seen, torch.tensor(labels), torch.tensor(float(progress)))
    return Teaching(None, method).losses(*given)


def setup(source: ImageSet, training: Training, teaching: Teaching | None = None) -> Setup:
    """Training on the CPU with all images, which also stand for others to evaluate on."""
    watched = Watched("validation", source.images, source.labels)
    every = TrainingSet(source, np.arange(len(source.images)))
    return Setup(every, watched, training, AUGMENTATION, ENGINE, 5, "cpu", teaching)
