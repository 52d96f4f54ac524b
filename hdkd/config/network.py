"""Sizes of the networks."""

from typing import Annotated, Any, Literal

from pydantic import Field

from hdkd.config.fields import Count, Triple, model

Block = Literal["mbcsa", "mbconv"]
Stride = Literal[2, 4]
Channels = Annotated[int, Field(strict=True, ge=8, multiple_of=8)]


@model
class Network:
    """Sizes of the networks (paper, Table 1)."""

    block: Block
    stem_stride: Stride
    patch_size: Count
    channels: Annotated[tuple[Channels, ...], Field(min_length=3, max_length=3)]
    teacher_depths: Triple
    student_depths: Triple
    head_width: Count
    layers: Count
    embed_dim: Count
    heads: Count
    head_dim: Count

    def arguments(self, role: str) -> dict[str, Any]:
        """Keyword arguments for :func:`hdkd.models.build`, but for classes and images.

        A rival of Table 5 has none: it is a published network.
        """
        if role not in ("teacher", "student", "hdkd"):
            return {}
        common = {
            "block": self.block,
            "stem_stride": self.stem_stride,
            "channels": self.channels,
        }
        if role == "teacher":
            return common | {"depths": self.teacher_depths, "head_width": self.head_width}
        return common | {
            "depths": self.student_depths,
            "layers": self.layers,
            "patch_size": self.patch_size,
            "embed_dim": self.embed_dim,
            "heads": self.heads,
            "head_dim": self.head_dim,
        }
