"""Drawn images that look like slices of heads: the dataset that needs no network.

Four classes, named after those of the Brain Tumor MRI set. They are drawings, not images of people:
an elliptical head with skull, folded tissue and ventricles, varied in pose, size and intensity, and
a lesion that differs in place, shape and contrast:

- ``none``: no lesion, at times a bright vessel-like spot as a distractor;
- ``glioma``: irregular, diffuse, inside a hemisphere, at times with a darker core;
- ``meningioma``: rounded and sharp, resting on the inside of the skull;
- ``pituitary``: small and rounded, on the midline at the base.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from hdkd.progress import progress

CLASSES = ("none", "glioma", "meningioma", "pituitary")


def write(folder: Path, counts: dict[str, dict[str, int]], size: int, seed: int) -> None:
    """Write ``folder/<part>/<class>/<number>.png``, 8-bit grey, ``size`` pixels a side.

    ``counts`` maps class to part (``train``, ``test``) to number of images. The same arguments give
    the same files; each image has a random stream of its own.
    """
    for label, name in enumerate(CLASSES):
        for part_number, part in enumerate(("train", "test")):
            target = folder / part / name
            target.mkdir(parents=True, exist_ok=True)
            for number in progress(range(counts[name][part]), f"drawing {name}, {part}"):
                generator = np.random.default_rng([seed, label, part_number, number])
                Image.fromarray(draw(name, size, generator)).save(target / f"{number:04d}.png")


def draw(name: str, size: int, generator: np.random.Generator) -> np.ndarray:
    """One image of class ``name``: ``(size, size)`` unsigned bytes."""
    # Head coordinates: u across, v from crown (-1) to base (+1); radius 1 is the scalp.
    axis = np.linspace(-1.15, 1.15, size)
    x, y = np.meshgrid(axis, axis)
    angle = generator.normal(0, 0.25)
    shift = generator.normal(0, 0.05, 2)
    width, height = generator.uniform(0.72, 0.88), generator.uniform(0.88, 1.04)
    u = (np.cos(angle) * (x - shift[0]) + np.sin(angle) * (y - shift[1])) / width
    v = (-np.sin(angle) * (x - shift[0]) + np.cos(angle) * (y - shift[1])) / height
    radius = np.hypot(u, v * (1 - 0.06 * u**2))

    tissue = generator.uniform(0.32, 0.5)
    image = np.where(radius < 0.86, tissue, 0.0)
    image += (radius < 0.86) * _texture(size, generator, 0.03 * size, 0.06)
    image += (radius < 0.86) * _texture(size, generator, 0.09 * size, 0.04)
    skull = (radius > 0.88) & (radius < 1.0)
    image += skull * generator.uniform(0.45, 0.85)
    _darken_ventricles(image, u, v, generator)
    image += _lesion(name, u, v, size, generator)

    image = gaussian_filter(image, generator.uniform(0.003, 0.007) * size)
    bias = 1 + generator.normal(0, 0.18) * x + generator.normal(0, 0.18) * y
    image = image * bias * generator.uniform(0.75, 1.2)
    image += generator.normal(0, generator.uniform(0.01, 0.04), image.shape)
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def _texture(
    size: int, generator: np.random.Generator, sigma: float, amplitude: float
) -> np.ndarray:
    noise = gaussian_filter(generator.normal(size=(size, size)), sigma)
    return amplitude * noise / noise.std()


def _darken_ventricles(
    image: np.ndarray, u: np.ndarray, v: np.ndarray, generator: np.random.Generator
) -> None:
    spread, length = generator.uniform(0.1, 0.17), generator.uniform(0.2, 0.34)
    depth = generator.uniform(0.1, 0.25)
    for side in (-1, 1):
        inside = ((u - side * spread) / 0.08) ** 2 + ((v + 0.1) / length) ** 2 < 1
        image -= depth * inside
    image -= 0.5 * depth * ((np.abs(u) < 0.015) & (np.abs(v) < 0.8))


def _lesion(
    name: str, u: np.ndarray, v: np.ndarray, size: int, generator: np.random.Generator
) -> np.ndarray:
    contrast = generator.uniform(0.38, 0.6)
    if name == "glioma":
        # Inside a hemisphere; its outline is that of a smooth random field.
        side = generator.choice([-1, 1])
        cu, cv = side * generator.uniform(0.2, 0.5), generator.uniform(-0.5, 0.35)
        extent = generator.uniform(0.22, 0.38)
        distance = np.hypot(u - cu, v - cv) / extent + _texture(size, generator, 0.05 * size, 0.3)
        lesion = contrast / (1 + np.exp((distance - 1) * 5))
        if generator.random() < 0.5:
            lesion -= 1.3 * contrast / (1 + np.exp((distance - 0.45) * 9))
        return lesion
    if name == "meningioma":
        # Resting on the inside of the skull anywhere but at the base.
        direction = generator.uniform(-0.85 * np.pi, 0.85 * np.pi)
        extent = generator.uniform(0.18, 0.3)
        reach = 0.86 - 0.8 * extent
        cu, cv = reach * np.sin(direction), -reach * np.cos(direction)
        stretch = generator.uniform(0.8, 1.25)
        distance = np.hypot((u - cu) * stretch, (v - cv) / stretch) / extent
        return contrast / (1 + np.exp((distance - 1) * 18)) * (np.hypot(u, v) < 0.88)
    if name == "pituitary":
        extent = generator.uniform(0.14, 0.21)
        cu, cv = generator.normal(0, 0.03), generator.uniform(0.5, 0.62)
        distance = np.hypot(u - cu, (v - cv) * 1.2) / extent
        return contrast / (1 + np.exp((distance - 1) * 14))
    if generator.random() < 0.5:
        # A bright spot of a vessel, anywhere, smaller than any lesion.
        cu, cv = generator.uniform(-0.6, 0.6), generator.uniform(-0.6, 0.6)
        return contrast * (np.hypot(u - cu, v - cv) < generator.uniform(0.03, 0.06))
    return np.zeros_like(u)
