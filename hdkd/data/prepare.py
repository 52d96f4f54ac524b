"""Decode every image once: one unsigned byte array, an index, and what was found on the way."""

import hashlib
import struct
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from hdkd.config import Dataset, Images
from hdkd.data import layouts
from hdkd.data.acquire import sources
from hdkd.errors import DataError, first_few, is_disk_error
from hdkd.files import replacing, write_json
from hdkd.progress import progress

SIZES_SHOWN = 5
# Pillow's warning at half of the size that it refuses; slides of that size are no attack.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Decoded:
    """An image as stored, ``(channels, size, size)`` bytes, and its native (width, height)."""

    pixels: np.ndarray
    native: tuple[int, int]


def decode(path: Path | BinaryIO, images: Images) -> Decoded:
    """Decode, turn upright, convert and resize (bilinear) one file; black behind transparency.

    Raises ``DataError`` with the reason when the file is not one complete image, or its brightness
    has no agreed scale.
    """
    try:
        with Image.open(path) as opened:
            return _decode(opened, images)
    except FileNotFoundError:
        raise DataError("no such file") from None
    except Image.DecompressionBombError:
        raise DataError("more pixels than any image should have") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        if isinstance(error, OSError) and is_disk_error(error):
            raise
        raise DataError("not a complete image") from None


def _decode(opened: Image.Image, images: Images) -> Decoded:
    # Photographs of some telephones carry a small copy of themselves as a second frame.
    frames = getattr(opened, "n_frames", 1)
    if frames > 1 and opened.format != "MPO":
        raise DataError(f"{frames} frames instead of one")
    image = ImageOps.exif_transpose(opened)
    native = image.size
    if image.mode == "F":
        raise DataError("brightness as fractions, of which no scale is known")
    if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip instead of scaling
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise DataError("brightness of more than 16 bits, of which no scale is known")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    image = image.convert("L" if images.colour == "grey" else "RGB")
    image = image.resize((images.size, images.size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return Decoded(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), native)


def prepare(name: str, dataset: Dataset, images: Images, manifest: Path, folder: Path) -> None:
    """Write ``images.npy``, ``index.csv`` and ``facts.json`` of dataset ``name`` into ``folder``.

    ``images.npy`` is ``(n, channels, size, size)`` unsigned bytes in the order of ``index.csv``,
    which has for each image its path, label, class, part, lesion and a digest of its pixels.
    Raises ``DataError`` that names the files that are no images, unless the dataset's
    ``unreadable`` is ``leave_out``: then they are listed in ``facts.json``. ``unreadable.csv`` has
    all of them with the reasons.
    """
    files = manifest.parent / "files"
    table = layouts.listing(name, files, dataset.layout)

    def attempt(path: str) -> Decoded | DataError:
        try:
            return decode(files / path, images)
        except DataError as error:
            return error

    folder.mkdir(parents=True, exist_ok=True)
    unreadable: dict[str, str] = {}
    digests: list[str] = []
    native: Counter[str] = Counter()
    with replacing(folder / "images.npy") as partial:
        # Written front to back: a file mapped into memory would end the process on a full disk.
        with partial.open("wb") as file, ThreadPoolExecutor() as pool:
            _write_header(file, len(table), images)
            decoded = progress(pool.map(attempt, table["path"]), "decoding", len(table))
            for path, image in zip(table["path"], decoded, strict=True):
                if isinstance(image, DataError):
                    unreadable[path] = str(image)
                    continue
                content = image.pixels.tobytes()
                file.write(content)
                digests.append(hashlib.sha256(content).hexdigest())
                native[f"{image.native[0]}×{image.native[1]}"] += 1
            file.seek(0)
            _write_header(file, len(digests), images)
        _report(name, dataset, unreadable, len(table), folder)
    table = table[~table["path"].isin(list(unreadable))].reset_index(drop=True)

    classes = sorted(set(table["class"]))
    published = dataset.classes
    if published and set(published) != set(classes):
        raise DataError(
            f"dataset {name}: its classes are {', '.join(classes)}, but datasets.{name}.classes "
            f"names {', '.join(sorted(published))}: correct the parameter or the images"
        )
    table.insert(1, "label", table["class"].map(classes.index))
    table["digest"] = digests
    with replacing(folder / "index.csv") as partial:
        table.to_csv(partial, index=False)
    facts = {
        "dataset": name,
        "title": dataset.title,
        "synthetic": dataset.synthetic,
        "classes": classes,
        "images": len(table),
        "size": images.size,
        "colour": images.colour,
        "native_sizes": dict(native.most_common(SIZES_SHOWN)),
        "native_size_count": len(native),
        "published_size": dataset.published_size,
        "left_out": list(unreadable),
        "content_hash": sources.content_hash(manifest),
    }
    write_json(folder / "facts.json", facts)


def _write_header(file: BinaryIO, count: int, images: Images) -> None:
    """The header of ``images.npy``, whose length does not depend on ``count``."""
    shape = (count, images.channels, images.size, images.size)
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )


def _report(
    name: str, dataset: Dataset, unreadable: dict[str, str], count: int, folder: Path
) -> None:
    """List files that are no images in ``unreadable.csv``; raise ``DataError`` unless left out."""
    listed = folder / "unreadable.csv"
    listed.unlink(missing_ok=True)
    if not unreadable:
        return
    pd.DataFrame(unreadable.items(), columns=["path", "reason"]).to_csv(listed, index=False)
    if dataset.unreadable == "stop" or len(unreadable) == count:
        found = first_few(f"{path}: {reason}" for path, reason in unreadable.items())
        raise DataError(
            f"dataset {name}: {len(unreadable)} of {count} files are not usable images ({found}; "
            f"listed in {listed}): replace them, or set datasets.{name}.unreadable to leave_out"
        )
