"""How networks are trained: optimiser, schedule, and the engine of a GPU."""

from typing import Annotated, Any, Literal

from pydantic import Field

from hdkd.config.fields import AtLeastZero, ChangesOf, Count, Flag, Rate, Whole, model

EpochImages = Annotated[int, Field(strict=True, ge=2)] | None


@model
class Optimisation:
    """What the trainings of teachers and students have in common.

    ``warmup_epochs``, ``epochs`` and ``evaluate_every`` count epochs. An epoch is every training
    image once, or ``epoch_images`` of them: then a training takes the same number of steps however
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
    """One training; ``keep`` is the epoch whose weights stay, ``offset`` how late the rate is."""

    epoch_images: EpochImages = None
    keep: Literal["last", "best_on_validation", "best_on_test"] = "last"
    offset: Whole = 0


@model
class TeacherTraining(Optimisation):
    """The section ``teacher`` without ``by_dataset``."""

    keep: Literal["last", "best_on_validation", "best_on_test"]
    seed: Whole


@model
class StudentTraining(Optimisation):
    """The section ``student`` without ``by_dataset``; ``epochs_on_all`` are those on all images."""

    keep: Literal["last", "best_on_validation"]
    epochs_on_all: Count | None


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
class Engine:
    """How a GPU computes; a CPU computes in float32 and ignores all of it."""

    precision: Literal["float32", "bfloat16"]
    cuda_graph: Flag
    compile: Flag
