"""Networks by name: the paper's teacher, student and HDKD, the baselines of its Table 5.

And the students of the other methods: the hybrid, with one head or two, and a plain transformer.
"""

from typing import Any

from hdkd.models.baselines import build_baseline
from hdkd.models.output import ImageModel, Output
from hdkd.models.student import HDKD, Student, StudentSizes
from hdkd.models.teacher import Teacher, TeacherSizes
from hdkd.models.vit import PlainViT, ViTSizes
from hdkd.study.names import BASELINES, ROLES

__all__ = ["ImageModel", "Output", "StudentSizes", "TeacherSizes", "build"]


def build(
    name: str, *, num_classes: int, image_size: int, in_channels: int, **sizes: Any
) -> ImageModel:
    """A network with random weights for ``(batch, in_channels, image_size, image_size)``.

    ``name`` is one of ``ROLES`` or a baseline. ``sizes`` are fields of ``TeacherSizes``,
    ``StudentSizes`` or ``ViTSizes``, and what is ``predicting`` (see ``ImageModel``) where there
    can be two heads; a baseline has none. Raises ``ValueError`` for another name, and for sizes
    that do not exist or do not fit each other.
    """
    predicting = sizes.pop("predicting", "both") if name in ("hdkd", "hybrid", "vit") else "class"
    if name == "teacher":
        return Teacher(num_classes, in_channels, TeacherSizes(**sizes))
    if name == "vit":
        return PlainViT(num_classes, image_size, in_channels, ViTSizes(**sizes), predicting)
    if name == "student" or (name == "hybrid" and predicting == "class"):
        return Student(num_classes, image_size, in_channels, StudentSizes(**sizes))
    if name in ("hdkd", "hybrid"):
        return HDKD(num_classes, image_size, in_channels, StudentSizes(**sizes), predicting)
    if name in BASELINES:
        return build_baseline(name, num_classes, image_size, in_channels, **sizes)
    raise ValueError(f"role must be one of {', '.join([*ROLES, *BASELINES])}, not {name!r}")
