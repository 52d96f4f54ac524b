"""Parts that several methods use: places in an image, and what lies between two widths."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


def side_of(patches: Tensor) -> int:
    """How many patches ``(batch, patches, dim)`` lie beside each other."""
    return math.isqrt(patches.shape[1])


def pooled(maps: Tensor, side: int) -> Tensor:
    """Means over squares of ``(batch, channels, n · side, n · side)``, with ``side`` per side."""
    return F.avg_pool2d(maps, maps.shape[-1] // side)


def as_tokens(maps: Tensor) -> Tensor:
    """``(batch, channels, side, side)`` to ``(batch, side², channels)``, row by row."""
    return maps.flatten(2).transpose(1, 2)


def spread(layers: Sequence[Tensor]) -> list[Tensor]:
    """The first, the middle and the last of ``layers``; of two layers the last two are the same."""
    return [layers[0], layers[len(layers) // 2], layers[-1]]


def projectors(students: Sequence[Tensor], teachers: Sequence[Tensor]) -> nn.ModuleList:
    """A 1×1 convolution for each pair of maps, to the teacher's number of channels."""
    return nn.ModuleList(
        nn.Conv2d(student.shape[1], teacher.shape[1], 1, bias=False)
        for student, teacher in zip(students, teachers, strict=True)
    )
