"""Decode every image once: one unsigned byte array, an index, and what was found on the way."""

import functools
import hashlib
import io
import os
import warnings
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import PIL
from PIL import Image, ImageOps, UnidentifiedImageError

from hdkd.config import Dataset, Images
from hdkd.data import layouts
from hdkd.data.acquire import sources
from hdkd.data.pieces import PieceFile, in_order, piecewise
from hdkd.errors import DataError, first_few, is_disk_error
from hdkd.files import replacing, write_json
from hdkd.progress import progress

SIZES_SHOWN = 5
PIECE = 64  # images that a thread decodes at a time, and that a kill costs
NOTED = ("digests", "native", "unreadable", "brightest")  # of each piece, until all are there
# Of 16-bit grey, 13 bits make 32 of the 256 shades that are kept: values of a scanner with 10 or 12
# bits, which nobody has stretched to 16, are nearly black.
FEWEST_BITS = 14
OF_OTHER_PROGRAMS = {"EPS", "IPTC"}  # formats for which, or in which, Pillow starts Ghostscript
# Pillow's warning at half of the size that it refuses; slides of that size are no attack.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Decoded:
    """An image as stored, ``(channels, size, size)`` bytes, and its native (width, height).

    ``brightest`` is the highest value of 16-bit grey, 0 for other images.
    """

    pixels: np.ndarray
    native: tuple[int, int]
    brightest: int = 0


def decode(path: Path | BinaryIO, images: Images) -> Decoded:
    """Decode, turn upright, convert and resize (bilinear) one file; black behind transparency.

    Raises ``DataError`` with the reason when the file is not one complete image, or its brightness
    has no agreed scale.
    """
    with opened(path) as image:
        return decode_opened(image, images)


@contextmanager
def opened(
    file: Path | BinaryIO, formats: tuple[str, ...] | None = None
) -> Generator[Image.Image, None, None]:
    """An image of which only the header has been read, in one of the ``formats``.

    They are all but :data:`OF_OTHER_PROGRAMS` where none are given.

    Raises ``DataError`` with the reason for what is no image, and for what the decoder makes of
    damaged ones inside the block.
    """
    try:
        with Image.open(file, formats=formats or readable()) as image:
            yield image
    except (DataError, MemoryError):
        raise
    except FileNotFoundError:
        raise DataError("no such file") from None
    except IsADirectoryError:
        raise DataError("a folder: name its images") from None
    except UnidentifiedImageError:
        wanted = f"an image in one of the formats {', '.join(formats)}" if formats else ""
        raise DataError(f"not {wanted or 'a complete image'}") from None
    except Image.DecompressionBombError:
        raise DataError("more pixels than any image should have") from None
    except Exception as error:  # of a damaged file, decoders raise whatever happens to them
        if isinstance(error, OSError) and is_disk_error(error):
            raise
        raise DataError("not a complete image") from None


@functools.cache
def readable() -> tuple[str, ...]:
    """All formats that Pillow decodes itself."""
    Image.init()
    return tuple(sorted(Image.OPEN.keys() - OF_OTHER_PROGRAMS))


def decode_opened(opened: Image.Image, images: Images) -> Decoded:
    """An ``opened`` image, decoded as :func:`decode` does."""
    # Photographs of some telephones carry a small copy of themselves as a second frame.
    # How many frames there are is not asked, which takes minutes in a file made for that.
    if getattr(opened, "is_animated", False) and opened.format != "MPO":
        opened.seek(1)  # a damaged file may have none
        raise DataError("several frames instead of one")
    image = ImageOps.exif_transpose(opened)
    native, brightest = image.size, 0
    if image.mode == "F":
        raise DataError("brightness as fractions, of which no scale is known")
    if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip instead of scaling
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise DataError("brightness of more than 16 bits, of which no scale is known")
        brightest = int(values.max())
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    image = image.convert("L" if images.colour == "grey" else "RGB")
    image = image.resize((images.size, images.size), Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return Decoded(pixels, native, brightest)


def too_dark(brightest: int) -> str:
    """Why 16-bit grey is not usable whose highest value this is; empty where it is usable."""
    bits = brightest.bit_length()
    if not brightest or bits >= FEWEST_BITS:
        return ""
    return (
        f"16-bit grey of which {bits} bits are used (the brightest value is {brightest}): nearly "
        "black, unless you scale all images by one factor, so that the brightest has about 65535"
    )


@dataclass(frozen=True)
class Piece:
    """Decoded images: ``pixels``, one after the other, and of each the SHA-256 of its pixels.

    ``native`` counts native sizes; ``unreadable`` are the reasons by path of those that are none;
    ``brightest`` is the highest value of those in 16-bit grey, 0 without any.
    """

    pixels: bytes
    digests: list[str]
    native: dict[str, int]
    unreadable: dict[str, str]
    brightest: int


def decode_piece(paths: Sequence[str], files: Path, images: Images) -> Piece:
    """The images at ``paths`` below ``files``, in this order (see :func:`decode`)."""
    pixels: list[bytes] = []
    native: Counter[str] = Counter()
    unreadable: dict[str, str] = {}
    brightest = 0
    for path in paths:
        try:
            image = decode(files / path, images)
        except DataError as error:
            unreadable[path] = str(error)
            continue
        pixels.append(image.pixels.tobytes())
        native[f"{image.native[0]}×{image.native[1]}"] += 1
        brightest = max(brightest, image.brightest)
    digests = [hashlib.sha256(content).hexdigest() for content in pixels]
    return Piece(b"".join(pixels), digests, dict(native), unreadable, brightest)


def prepare(
    name: str,
    dataset: Dataset,
    images: Images,
    manifest: Path,
    folder: Path,
    threads: int | None = None,
) -> None:
    """Write ``images.npy``, ``index.csv`` and ``facts.json`` of dataset ``name`` into ``folder``.

    ``images.npy`` is ``(n, channels, size, size)`` unsigned bytes in the order of ``index.csv``,
    which has for each image its path, label, class, part, lesion and a digest of its pixels.
    ``threads`` (one a core) decode at once. What a killed process has decoded is not decoded again.
    Raises ``DataError`` that names the files that are no images, unless the dataset's
    ``unreadable`` is ``leave_out``: then they are listed in ``facts.json``, and it raises for a
    class that has no others. It also raises where 16-bit grey uses a few bits only.
    ``unreadable.csv`` has all files that are no images, with the reasons.
    """
    files = manifest.parent / "files"
    table = layouts.listing(name, files, dataset.layout)
    classes = sorted(set(table["class"]))
    published = dataset.classes
    if published and set(published) != set(classes):
        raise DataError(
            f"dataset {name}: its classes are {', '.join(classes)}, but datasets.{name}.classes "
            f"names {', '.join(sorted(published))}: correct the parameter or the images"
        )
    folder.mkdir(parents=True, exist_ok=True)
    content_hash = sources.content_hash(manifest)
    decoded_from = identity(content_hash, table, images)
    with piecewise(folder / "images.npy", decoded_from, header(len(table), images)) as array:
        _decode_into(array, table["path"].tolist(), files, images, threads or cores())
        unreadable = {path: why for note in array.notes for path, why in note["unreadable"].items()}
        _report(name, dataset, unreadable, len(table), folder)
        if reason := too_dark(max((note["brightest"] for note in array.notes), default=0)):
            raise DataError(f"dataset {name}: {reason}")
        table = table[~table["path"].isin(list(unreadable))].reset_index(drop=True)
        if lost := sorted(set(classes).difference(table["class"])):
            raise DataError(
                f"dataset {name}: no image of the class {', '.join(lost)} is usable (the reasons "
                f"are in {folder / 'unreadable.csv'}): convert its files, or remove the class"
            )
        digests = [digest for note in array.notes for digest in note["digests"]]
        array.finish(header(len(digests), images))
    native: Counter[str] = Counter()
    for note in array.notes:
        native.update(note["native"])
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
        "content_hash": content_hash,
    }
    write_json(folder / "facts.json", facts)


def _decode_into(
    array: PieceFile, paths: list[str], files: Path, images: Images, threads: int
) -> None:
    """Append to ``array`` the pieces that it lacks.

    Threads are enough: Pillow decodes and resizes without Python's lock.
    """
    starts = range(len(array.notes) * PIECE, len(paths), PIECE)
    pieces = (paths[start : start + PIECE] for start in starts)
    work = functools.partial(decode_piece, files=files, images=images)
    with closing(in_order(work, pieces, threads)) as decoded:
        for piece in progress(decoded, "decoding", len(starts)):
            array.append(piece.pixels, {key: getattr(piece, key) for key in NOTED})


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0))


def identity(content_hash: str, table: pd.DataFrame, images: Images) -> str:
    """What pixels follow from: files, their order, settings, and the code that decodes."""
    hasher = hashlib.sha256(f"{content_hash} {images} {PIECE} {PIL.__version__}".encode())
    hasher.update("\n".join(table["path"]).encode())
    hasher.update(Path(__file__).read_bytes())
    return hasher.hexdigest()


def header(count: int, images: Images) -> bytes:
    """That of ``images.npy``, whose length does not depend on ``count``."""
    file = io.BytesIO()
    shape = (count, images.channels, images.size, images.size)
    np.lib.format.write_array_header_1_0(
        file, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


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
