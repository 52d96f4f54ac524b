"""MedMNIST+ (Yang et al., 2023): twelve sets of images in arrays, described by their own package.

Written as image files, so that everything after it treats them like any other set. The published
validation images join the training images, from which this project draws its own.
"""

import importlib.util
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hdkd.config import MedMNIST
from hdkd.errors import DataError, is_disk_error
from hdkd.files import literal
from hdkd.progress import progress

PARTS = {"train": "train", "val": "train", "test": "test"}  # theirs, and ours


def write(name: str, source: MedMNIST, folder: Path) -> None:
    """Write ``folder/<part>/<class>/<their part>_<number>.png`` of dataset ``name``.

    The arrays are those of the file or folder that the variable ``HDKD_MEDMNIST`` names, or are
    downloaded. Raises ``DataError`` where neither works, the file is no such set, or its images
    have several labels each.
    """
    about = described(name, source)
    own = os.environ.get(source.variable)
    path = _own(name, source, Path(own).expanduser()) if own else _download(name, about, source)
    labels = {int(number): label.replace("/", "-") for number, label in about["label"].items()}
    try:
        with np.load(path) as arrays:  # by default, nothing is unpickled
            for theirs, ours in PARTS.items():
                images, numbers = arrays[f"{theirs}_images"], arrays[f"{theirs}_labels"].ravel()
                _check(path, images, numbers, labels, source.size)
                if len(images) != (count := about["n_samples"][theirs]):
                    raise DataError(
                        f"{path} has {len(images)} {theirs} images, and {source.name} has {count}: "
                        "name its own file"
                    )
                for label in labels.values():
                    (folder / ours / label).mkdir(parents=True, exist_ok=True)
                pairs = zip(images, numbers, strict=True)
                for k, (image, number) in enumerate(progress(pairs, theirs, len(images))):
                    target = folder / ours / labels[int(number)] / f"{theirs}_{k:06d}.png"
                    Image.fromarray(image).save(target)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, OSError) and is_disk_error(error):
            raise
        raise DataError(f"{path} is not a complete MedMNIST file ({error}): name another") from None
    if not own:
        path.unlink()


def described(name: str, source: MedMNIST) -> dict[str, Any]:
    """What the package says of a set. Raises ``DataError`` for one that cannot be studied here."""
    sets = published()
    if not sets:
        raise DataError(
            f"dataset {name}: the package medmnist, which describes these sets, is missing: "
            "`pip install medmnist`"
        )
    flat = [key for key in sets if not key.endswith("3d")]
    if source.name not in flat:
        raise DataError(
            f"datasets.{name}.source.name must be one of {', '.join(flat)}, not {source.name}"
        )
    about: dict[str, Any] = sets[source.name]
    if about["task"].startswith("multi-label"):
        raise DataError(
            f"dataset {name}: images of {source.name} have several labels each, and a classifier "
            "of one class cannot learn them: take another set"
        )
    return about


def published() -> dict[str, dict[str, Any]]:
    """All sets by name, as the package describes them; empty where it is not installed.

    Its file is read and not run: that would make a folder in the home and import much.
    """
    found = importlib.util.find_spec("medmnist")
    places = found.submodule_search_locations if found else None
    return literal(Path(places[0]) / "info.py", "INFO") if places else {}


def file_name(source: MedMNIST) -> str:
    """``bloodmnist_64.npz``; the smallest size has no number."""
    return f"{source.name}{_suffix(source)}.npz"


def _suffix(source: MedMNIST) -> str:
    return "" if source.size == 28 else f"_{source.size}"


def _own(name: str, source: MedMNIST, path: Path) -> Path:
    path = path / file_name(source) if path.is_dir() else path
    if not path.is_file():
        raise DataError(
            f"dataset {name}: {path} does not exist: correct the variable {source.variable}"
        )
    return path


def _download(name: str, about: dict[str, Any], source: MedMNIST) -> Path:
    """The published file, its checksum compared."""
    from torchvision.datasets.utils import download_url

    folder, file = Path("data") / "raw" / name, file_name(source)
    url, checksum = (about[f"{key}{_suffix(source)}"] for key in ("url", "MD5"))
    try:
        download_url(url, folder, file, checksum)
    except (OSError, RuntimeError) as error:
        if isinstance(error, OSError) and is_disk_error(error):
            raise
        raise DataError(
            f"dataset {name}: the download of {file} failed ({str(error).splitlines()[0]}): try "
            f"again with a network, or download it yourself and name it in {source.variable}"
        ) from None
    return folder / file


def _check(
    path: Path, images: np.ndarray, numbers: np.ndarray, labels: dict[int, str], size: int
) -> None:
    """Raise ``DataError`` where arrays are not as the set describes itself."""
    if images.dtype != np.uint8 or images.shape[1:3] != (size, size):
        raise DataError(
            f"{path} has images {images.shape[1:]} of {images.dtype}, not {size}×{size} bytes: "
            "name the file of this size"
        )
    if len(images) != len(numbers) or not set(numbers.tolist()) <= labels.keys():
        raise DataError(f"{path} has labels that its set has not: name another file")
