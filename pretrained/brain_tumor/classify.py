"""Classify image files with an exported model: needs onnxruntime, numpy and Pillow, nothing else.

python classify.py model.onnx image.png [another.jpg ...]

Prints a JSON object for each image, as `hdkd predict --json` does. Not for clinical use.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")


def prepared(path: str, size: int, colour: str) -> tuple[np.ndarray, int]:
    """One image as the model takes it: bytes ``(1, channels, size, size)``.

    And the highest value of 16-bit grey, 0 for other images.
    """
    opened = Image.open(path, formats=FORMATS)
    if getattr(opened, "is_animated", False) and opened.format != "MPO":
        raise SystemExit(f"{path}: several frames instead of one")
    image = ImageOps.exif_transpose(opened)
    if image.mode == "F":
        raise SystemExit(f"{path}: brightness as fractions, of which no scale is known")
    brightest = 0
    if image.mode.startswith("I"):  # 16-bit grey
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise SystemExit(f"{path}: brightness of more than 16 bits, of which no scale is known")
        brightest = int(values.max())
        image = Image.fromarray((values >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (0, 0, 0, 255)), image)
    image = image.convert("L" if colour == "grey" else "RGB")
    pixels = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
    return np.atleast_3d(pixels).transpose(2, 0, 1)[None], brightest


def main() -> None:
    """Classify the files that the command line names, after the model."""
    if len(sys.argv) < 3:
        raise SystemExit("usage: python classify.py model.onnx image.png [another.jpg ...]")
    session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
    about = session.get_modelmeta().custom_metadata_map
    classes = json.loads(about["classes"])
    images = {}
    for path in sys.argv[2:]:
        try:
            images[path] = prepared(path, int(about["size"]), about["colour"])
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            raise SystemExit(f"{path}: {error.strerror}") from None
        except (OSError, Image.DecompressionBombError):
            raise SystemExit(f"{path}: not a complete image, or of too many pixels") from None
    # All of them together: of a series one image may be dark.
    if 0 < max(brightest for _, brightest in images.values()) < 0x2000:
        raise SystemExit("16-bit grey of which few bits are used: nearly black")
    for path, (pixels, _) in images.items():
        (row,) = session.run(["probabilities"], {"pixels": pixels})[0]
        probabilities = {name: round(float(p), 6) for name, p in zip(classes, row, strict=True)}
        answer = {"image": path, "class": classes[row.argmax()], "probabilities": probabilities}
        print(json.dumps(answer, ensure_ascii=False))


if __name__ == "__main__":
    main()
