"""The networks, how they are trained and distilled, and the engine of a GPU."""

from typing import Annotated, Any, Literal

from pydantic import Field

from hdkd.config.fields import (
    AtLeastZero,
    ChangesOf,
    Count,
    Flag,
    Fraction,
    Number,
    Rate,
    Seed,
    Triple,
    Whole,
    model,
)

Block = Literal["mbcsa", "mbconv"]
Stride = Literal[2, 4]
Channels = Annotated[int, Field(strict=True, ge=8, multiple_of=8)]
EpochImages = Annotated[int, Field(strict=True, ge=2)] | None


@model
class Network:
    """Sizes of the networks (paper, Table 1); ``vit_layers`` are a plain transformer's."""

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
    vit_layers: Count

    def arguments(self, role: str) -> dict[str, Any]:
        """Sizes for :func:`hdkd.models.build`; none for a baseline, a published network."""
        sizes = vars(self)
        if role == "vit":  # with as many patches, and tokens as wide, as the hybrid student has
            return {
                "patch_pixels": 4 * self.stem_stride * self.patch_size,
                "layers": self.vit_layers,
                "embed_dim": self.embed_dim,
                "heads": self.heads,
            }
        common = {name: sizes[name] for name in ("block", "stem_stride", "channels")}
        if role == "teacher":
            return common | {"depths": self.teacher_depths, "head_width": self.head_width}
        if role not in ("student", "hdkd", "hybrid"):
            return {}
        names = ("layers", "patch_size", "embed_dim", "heads", "head_dim")
        return common | {"depths": self.student_depths} | {name: sizes[name] for name in names}


@model
class Optimisation:
    """What the runs of teachers and students have in common.

    ``warmup_epochs``, ``epochs`` and ``evaluate_every`` count epochs. An epoch is every training
    image once, or ``epoch_images`` of them: then a run takes the same number of steps however
    many images there are.
    """

    optimizer: Literal["adam", "adamw"]
    lr: Rate
    min_lr: Rate
    warmup_lr: Rate
    warmup_epochs: Whole
    weight_decay: AtLeastZero
    epochs: Count
    batch_size: Annotated[int, Field(strict=True, ge=2)]
    evaluate_every: Count
    epoch_images: EpochImages


@model
class Training(Optimisation):
    """One run; ``keep`` is the epoch whose weights stay, ``offset`` how late the rate is."""

    epoch_images: EpochImages = None
    keep: Literal["last", "best_on_validation", "best_on_test"] = "last"
    offset: Whole = 0


@model
class TeacherTraining(Optimisation):
    """The section ``teacher`` without ``by_dataset``."""

    keep: Literal["last", "best_on_validation", "best_on_test"]
    seed: Seed


@model
class StudentTraining(Optimisation):
    """The section ``student`` without ``by_dataset``."""

    keep: Literal["last", "best_on_validation"]


@model
class Teacher(TeacherTraining):
    """The section ``teacher``; ``by_dataset`` changes it for one dataset."""

    by_dataset: dict[str, Annotated[dict[str, Any], ChangesOf(TeacherTraining)]]


@model
class Student(StudentTraining):
    """The section ``student``; ``by_dataset`` changes it for one dataset."""

    by_dataset: dict[str, Annotated[dict[str, Any], ChangesOf(StudentTraining)]]


@model
class Schedule:
    """By how many epochs the learning rate lags behind."""

    offset: Whole


@model
class Distillation:
    """Equations 6 to 8: α, t, λ (``feature_weight``) and the power of the stage.

    ``targets`` are ``soft`` (the teacher's probabilities) or ``hard`` (its most probable class).
    """

    alpha: Fraction
    temperature: Rate
    targets: Literal["soft", "hard"]
    kl_normalisation: Literal["batch", "batch_and_classes"]
    feature_weight: AtLeastZero
    stage_power: Number
    batchnorm_updates: Triple

    @property
    def heads(self) -> str:
        """Heads that predict: those that the loss trains (α = 0 and α = 1 leave one out)."""
        return {0.0: "class", 1.0: "distillation"}.get(float(self.alpha), "both")


@model
class Engine:
    """How a step is computed; a CPU computes in float32, and only ``layout`` is for it, too."""

    precision: Literal["float32", "tf32", "bfloat16"]
    deterministic: Flag
    layout: Literal["channels_last", "contiguous"]
    cuda_graph: Flag
    compile: Flag
