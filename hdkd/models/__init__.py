"""Networks by name: the paper's, with its sizes as defaults (Table 1 as corrected), and the baselines."""

from torch import nn

from hdkd.models.baselines import build_baseline
from hdkd.models.student import Student
from hdkd.models.teacher import Teacher
from hdkd.study.plan import BASELINES, ROLES

__all__ = [
    "Student",
    "Teacher",
    "build",
    "build_baseline",
    "build_student",
    "build_teacher",
]

# Table 1 prints 128 for the second stage; only 96 gives its own parameter and FLOP figures.
CHANNELS = (64, 96, 192)


def build_teacher(
    num_classes: int = 7,
    image_size: int = 224,
    in_channels: int = 3,
    block: str = "mbcsa",
    stem_stride: int = 2,
    channels: tuple[int, int, int] = CHANNELS,
    depths: tuple[int, int, int] = (6, 6, 9),
    head_width: int = 128,
) -> Teacher:
    """The convolutional teacher, 3.95 M parameters by default.

    ``image_size`` (pixels per side) is accepted for symmetry: the teacher takes any size. Raises
    ``ValueError`` for an unknown ``block`` or ``stem_stride``, and for ``channels`` that are not
    multiples of 8.
    """
    del image_size
    return Teacher(
        num_classes, in_channels, tuple(channels), tuple(depths), block, stem_stride, head_width
    )


def build_student(
    num_classes: int = 7,
    image_size: int = 224,
    in_channels: int = 3,
    block: str = "mbcsa",
    stem_stride: int = 2,
    channels: tuple[int, int, int] = CHANNELS,
    depths: tuple[int, int, int] = (2, 2, 3),
    layers: int = 3,
    patch_size: int = 2,
    embed_dim: int = 256,
    heads: int = 8,
    head_dim: int = 32,
    distilled: bool = False,
    predicting: str = "both",
) -> Student:
    """The hybrid student, 3.72 M parameters by default; with ``distilled`` it is HDKD.

    ``predicting`` names the heads of HDKD whose logits predict: ``both``, ``class`` or
    ``distillation``.

    Raises ``ValueError`` for an unknown ``block`` or ``stem_stride``, for ``channels`` that are not
    multiples of 8, and for an ``image_size`` that is not a multiple of 4 × ``stem_stride`` ×
    ``patch_size``.
    """
    return Student(
        num_classes,
        image_size,
        in_channels,
        tuple(channels),
        tuple(depths),
        block,
        stem_stride,
        layers,
        patch_size,
        embed_dim,
        heads,
        head_dim,
        distilled,
        predicting,
    )


def build(role: str, **arguments) -> nn.Module:
    """The network of a role: ``teacher``, ``student``, ``hdkd``, or a baseline of Table 5.

    Raises ``ValueError`` for others.
    """
    if role == "teacher":
        return build_teacher(**arguments)
    if role in ("student", "hdkd"):
        return build_student(distilled=role == "hdkd", **arguments)
    if role in BASELINES:
        return build_baseline(role, **arguments)
    raise ValueError(f"role must be one of {', '.join([*ROLES, *BASELINES])}, not {role!r}")
