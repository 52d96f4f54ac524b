"""Small archives in the layouts of the real datasets."""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from hdkd.data.acquire.phantom import CLASSES, draw
from project import parameters


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def brain_tumor(path: Path) -> None:
    """Drawings in the layout of Brain Tumor MRI."""
    generator = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for part, count in (("Training", 10), ("Testing", 4)):
            for name in CLASSES:
                for number in range(count):
                    file = f"{part}/{name.replace('none', 'notumor')}/{number}.jpg"
                    archive.writestr(file, encoded(draw(name, 32, generator), "jpeg"))


def ham10000(path: Path) -> None:
    """Coloured patches, one a lesion, in the layout of HAM-10000."""
    generator = np.random.default_rng(0)
    table = ["lesion_id,image_id,dx"]
    with zipfile.ZipFile(path, "w") as archive:
        for name in parameters()["datasets"]["ham10000"]["classes"]:
            for _ in range(10):
                image = f"ISIC_{len(table):07}"
                patches = generator.integers(0, 256, (3, 4, 3), np.uint8)
                pixels = patches.repeat(150, axis=0).repeat(150, axis=1)
                file = f"HAM10000_images_part_1/{image}.jpg"
                archive.writestr(file, encoded(pixels, "jpeg"))
                table.append(f"HAM_{len(table):07},{image},{name}")
        archive.writestr("HAM10000_metadata.csv", "\n".join(table))
