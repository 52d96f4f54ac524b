"""Small inputs that several tests use."""

import os
from pathlib import Path

# Before torch is loaded: several processes test side by side, and threads of more than there are
# cores wait for each other. On two cores the tests of training took five times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from PIL import Image

from project import parameters as read_parameters


@pytest.fixture
def parameters() -> dict:
    """The project's own parameters, to change at will."""
    return read_parameters()


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """``train`` and ``test`` with the classes blob and stripes: 12 and 4 colour images each."""
    folder = tmp_path / "my images"
    generator = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4)):
        for name in ("blob", "stripes"):
            target = folder / part / name
            target.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 80, (20, 24, 3), dtype=np.uint8)
                if name == "blob":
                    pixels[6:14, 8:16] += 150
                else:
                    pixels[::3] += 150
                suffix = (".png", ".jpg", ".tiff", ".webp")[number % 4]
                Image.fromarray(pixels).save(target / f"image {number}{suffix}")
    return folder
