"""Networks by name: the paper's teacher, student and HDKD, and the baselines of its Table 5."""

from typing import Any

from hdkd.models.baselines import build_baseline
from hdkd.models.output import ImageModel, Output
from hdkd.models.student import HDKD, Student, StudentSizes
from hdkd.models.teacher import Teacher, TeacherSizes
from hdkd.study.names import BASELINES, ROLES

__all__ = ["ImageModel", "Output", "StudentSizes", "TeacherSizes", "build"]


def build(
    name: str, *, num_classes: int, image_size: int, in_channels: int, **sizes: Any
) -> ImageModel:
    """A network with random weights for ``(batch, in_channels, image_size, image_size)``.

    ``name`` is ``teacher``, ``student``, ``hdkd`` or a baseline. ``sizes`` are fields of
    ``TeacherSizes`` or ``StudentSizes``, and ``predicting`` of HDKD; a baseline has none. Raises
    ``ValueError`` for another name, and for sizes that do not exist or do not fit each other.
    """
    if name == "teacher":
        return Teacher(num_classes, in_channels, TeacherSizes(**sizes))
    if name == "student":
        return Student(num_classes, image_size, in_channels, StudentSizes(**sizes))
    if name == "hdkd":
        predicting = sizes.pop("predicting", "both")
        return HDKD(num_classes, image_size, in_channels, StudentSizes(**sizes), predicting)
    if name in BASELINES:
        return build_baseline(name, num_classes, image_size, in_channels, **sizes)
    raise ValueError(f"role must be one of {', '.join([*ROLES, *BASELINES])}, not {name!r}")
