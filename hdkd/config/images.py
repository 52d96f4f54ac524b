"""How images are prepared, and how those to train on are changed at random."""

from typing import Annotated, Literal

from pydantic import Field

from hdkd.config.fields import AsWritten, AtLeastZero, Flag, Fraction, Rate, model

Size = Annotated[int, Field(strict=True, ge=8)]


@model
class Images:
    """How images are prepared: ``size`` in pixels per side, ``colour`` ``grey`` or ``rgb``."""

    size: Size
    colour: Literal["grey", "rgb"]

    @property
    def channels(self) -> int:
        """1 or 3."""
        return 1 if self.colour == "grey" else 3


@model
class ImageSection:
    """:class:`Images` of every dataset; ``colour`` ``None`` takes the dataset's own."""

    size: Size
    colour: Literal["grey", "rgb", None]


@model
class Augmentation:
    """Random changes to training images (see :mod:`hdkd.data.batches.augment`).

    ``rotation`` is in degrees either way, ``blur`` the smallest and largest sigma in pixels.
    """

    rotation: Annotated[float, Field(strict=True, ge=0, le=180), AsWritten]
    horizontal_flip: Flag
    vertical_flip: Flag
    brightness: Fraction
    contrast: Fraction
    sharpness: AtLeastZero
    blur: Annotated[tuple[Rate, ...], Field(min_length=2, max_length=2)] | None
