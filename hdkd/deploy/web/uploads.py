"""What a stranger sends, before anything is computed with it."""

import io

import numpy as np
from PIL import Image, UnidentifiedImageError

from hdkd.config import Images
from hdkd.data.prepare import decode
from hdkd.errors import DataError

LIMIT = 32 * 2**20  # bytes of a file
PIXELS = 64_000_000  # of an image; decoding takes some twelve bytes for each
# Those of other formats go to decoders that few people test, or to other programs.
FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


def decoded(content: bytes, images: Images) -> np.ndarray:
    """A file as the network takes it: bytes ``(channels, size, size)``.

    Raises ``DataError`` for what is no image of an accepted format or size, or not a complete one.
    """
    try:
        # Reads the header only.
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            width, height = opened.size
    except UnidentifiedImageError:
        raise DataError(f"not an image in one of the formats {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        raise DataError(_too_many("")) from None
    except (OSError, SyntaxError, ValueError, EOFError):
        raise DataError("not a complete image") from None
    if width * height > PIXELS:
        raise DataError(_too_many(f": {width}×{height}"))
    return decode(io.BytesIO(content), images).pixels


def _too_many(shape: str) -> str:
    return f"more than the {PIXELS // 10**6} million pixels that an image may have here{shape}"
