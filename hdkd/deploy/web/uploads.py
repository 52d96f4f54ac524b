"""What a stranger sends, before anything is computed with it."""

import io
import threading
from contextlib import nullcontext

import numpy as np

from hdkd.config import Images
from hdkd.data.prepare import decode_opened, opened, too_dark
from hdkd.errors import DataError

LIMIT = 32 * 2**20  # bytes of a file
PIXELS = 50_000_000  # of an image
# Decoding takes up to sixteen bytes for each pixel, so above this size one image has its turn after
# the other.
LARGE = 4_000_000
# Those of other formats go to decoders that few people test, or to other programs.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_one_large = threading.Lock()


def decoded(content: bytes, images: Images) -> np.ndarray:
    """A file as the network takes it: bytes ``(channels, size, size)``.

    Raises ``DataError`` for what is no image of an accepted format or size, or not a complete one.
    """
    with opened(io.BytesIO(content), FORMATS) as image:
        pixels = image.width * image.height
        if pixels > PIXELS:
            raise DataError(
                f"{image.width}×{image.height} pixels, more than the {PIXELS // 10**6} million "
                "that an image may have here"
            )
        with nullcontext() if pixels <= LARGE else _one_large:
            decoded = decode_opened(image, images)
    if reason := too_dark(decoded.brightest):
        raise DataError(reason)
    return decoded.pixels
