"""A small HDKD and a few images of noise, for tests of training."""

import numpy as np
import pandas as pd

from hdkd.config import Augmentation, Distillation, Engine, Training
from hdkd.data.batches.imageset import ImageSet, TrainingSet
from hdkd.training.engine import Teaching
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
STUDENT = {"layers": 1, "patch_size": 1, "embed_dim": 8, "heads": 2, "head_dim": 4}


def noise() -> ImageSet:
    """Thirteen grey images of two classes."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (13, 1, 16, 16), dtype=np.uint8)
    table = pd.DataFrame({"label": np.arange(13) % 2, "part": "train", "digest": ""})
    return ImageSet(images, table, {"classes": ["a", "b"]})


def setup(source: ImageSet, training: Training, teaching: Teaching | None = None) -> Setup:
    """Training on the CPU with all images, which also stand in the place of others to evaluate on."""
    watched = Watched("validation", source.images, source.labels)
    every = TrainingSet(source, np.arange(len(source.images)))
    return Setup(every, watched, training, AUGMENTATION, ENGINE, 5, "cpu", teaching)
