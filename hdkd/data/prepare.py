"""Decode every image once: one unsigned byte array, an index, and what was found on the way."""

import hashlib
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from hdkd.config import Images
from hdkd.data import layouts, sources
from hdkd.errors import DataError

SHOWN = 5


@dataclass(frozen=True)
class Decoded:
    """An image as stored, ``(channels, size, size)`` bytes, and its native (width, height)."""

    pixels: np.ndarray
    native: tuple[int, int]


def decode(path: Path, images: Images) -> Decoded:
    """Decode, turn upright, convert and resize (bilinear) one file.

    Raises ``OSError`` or ``SyntaxError`` (as Pillow does) when the file is no whole image.
    """
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        native = image.size
        if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip instead of scaling
            image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
        image = image.convert("L" if images.colour == "grey" else "RGB")
        image = image.resize((images.size, images.size), Image.Resampling.BILINEAR)
        pixels = np.asarray(image)
    return Decoded(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), native)


def prepare(
    name: str, dataset: dict[str, Any], images: Images, manifest: Path, folder: Path
) -> None:
    """Write ``images.npy``, ``index.csv`` and ``facts.json`` of dataset ``name`` into ``folder``.

    ``images.npy`` is ``(n, channels, size, size)`` unsigned bytes in the order of ``index.csv``,
    which has for each image its path, label, class, part, lesion and a digest of its pixels.
    Raises ``DataError`` that names the files that are no images, unless the dataset's
    ``unreadable`` is ``leave_out``: then they are listed in ``facts.json``.
    """
    files = manifest.parent / "files"
    table = layouts.listing(name, files, dataset["layout"])

    def attempt(path: str) -> Decoded | None:
        try:
            return decode(files / path, images)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return None

    folder.mkdir(parents=True, exist_ok=True)
    stored = folder / "images.npy"
    shape = (len(table), images.channels, images.size, images.size)
    array = np.lib.format.open_memmap(stored, "w+", np.uint8, shape)
    unreadable, digests, native = [], [], Counter()
    with ThreadPoolExecutor() as pool:
        for path, image in zip(table["path"], pool.map(attempt, table["path"]), strict=True):
            if image is None:
                unreadable.append(path)
                continue
            array[len(digests)] = image.pixels
            digests.append(hashlib.sha256(image.pixels.tobytes()).hexdigest())
            native[f"{image.native[0]}×{image.native[1]}"] += 1
    array.flush()
    if unreadable:
        if dataset["unreadable"] == "stop" or not digests:
            stored.unlink()
            shown = ", ".join(unreadable[:SHOWN]) + (", …" if len(unreadable) > SHOWN else "")
            raise DataError(
                f"dataset {name}: {len(unreadable)} of {len(table)} files are not whole images "
                f"({shown}): replace them, or set datasets.{name}.unreadable to leave_out"
            )
        np.save(folder / "kept.npy", array[: len(digests)])
        (folder / "kept.npy").replace(stored)
        table = table[~table["path"].isin(unreadable)].reset_index(drop=True)

    classes = sorted(set(table["class"]))
    published = dataset["classes"]
    if published and set(published) != set(classes):
        raise DataError(
            f"dataset {name}: its classes are {', '.join(classes)}, but datasets.{name}.classes "
            f"names {', '.join(sorted(published))}: correct the parameter or the images"
        )
    table.insert(1, "label", table["class"].map(classes.index))
    table["digest"] = digests
    table.to_csv(folder / "index.csv", index=False)
    facts = {
        "dataset": name,
        "title": dataset["title"],
        "synthetic": dataset["synthetic"],
        "classes": classes,
        "images": len(table),
        "size": images.size,
        "colour": images.colour,
        "native_sizes": dict(native.most_common(SHOWN)),
        "native_size_count": len(native),
        "published_size": dataset["layout"].get("image_size"),
        "left_out": unreadable,
        "content_hash": sources.content_hash(manifest),
    }
    (folder / "facts.json").write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
