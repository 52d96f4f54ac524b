"""What each method adds to a step of its students: parameters, and time on this machine."""

from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch

from hdkd.config import Settings, methods
from hdkd.data.batches.augment import draw
from hdkd.distillation.method import Teaching, build_method
from hdkd.models import ImageModel, build
from hdkd.progress import progress
from hdkd.training.engine import Step
from hdkd.training.schedule import build_optimizer

ROUNDS = 5


@dataclass(frozen=True)
class Addition:
    """Parameters that a method trains beside those of the student alone, and a step's duration.

    ``exported`` of the parameters stay with the student; ``ratio`` is to the student alone.
    """

    parameters: int
    exported: int
    ratio: float


def additions(settings: Settings, dataset: str, network: str) -> dict[str, Addition]:
    """What every method that teaches ``network`` adds, with the networks of a dataset's study.

    Steps are of the section ``student``, on noise; the methods take turns, and the median of some
    rounds counts.
    """
    names = [name for name, about in methods().items() if network in about.networks]
    tried = {name: Trial(settings, dataset, network, name) for name in names}
    for _ in progress(range(ROUNDS), f"steps of a {network}", ROUNDS):
        for trial in tried.values():
            trial.step()
    alone = tried["alone"]
    return {
        name: Addition(
            trial.parameters.trained - alone.parameters.trained,
            trial.parameters.exported - alone.parameters.exported,
            median(trial.seconds) / median(alone.seconds),
        )
        for name, trial in tried.items()
    }


@dataclass(frozen=True)
class Parameters:
    """How many a student ``exported`` has, and how many are ``trained`` with the method's."""

    exported: int
    trained: int


def built(
    settings: Settings, dataset: str, network: str, name: str, classes: int
) -> tuple[ImageModel, Teaching, tuple[int, int, int]]:
    """A student, how it is taught, and the shape of its images."""
    images = settings.images(dataset)
    shape = (images.channels, images.size, images.size)

    def made(role: str, **heads: str) -> ImageModel:
        return build(
            role,
            num_classes=classes,
            image_size=images.size,
            in_channels=images.channels,
            **settings.network().arguments(role),
            **heads,
        )

    about = methods()[name]
    student = made(network, predicting=about.predicting).train()
    teacher = made("teacher") if about.taught else None
    method = build_method(name, student, teacher, shape, settings.distillation())
    return student, Teaching(teacher, method), shape


def parameters(
    settings: Settings, dataset: str, network: str, name: str, classes: int
) -> Parameters:
    """What a method trains on a dataset of so many classes."""
    student, teaching, _ = built(settings, dataset, network, name, classes)
    return count(student, teaching)


def count(student: ImageModel, teaching: Teaching) -> Parameters:
    """Parameters of a student, and those with its method's."""
    exported = sum(p.numel() for p in student.parameters())
    return Parameters(exported, exported + sum(p.numel() for p in teaching.method.parameters()))


class Trial:
    """A student with a method, and how long its steps take on a batch of noise."""

    def __init__(self, settings: Settings, dataset: str, network: str, name: str) -> None:
        # Where no counts are published, two classes stand for however many there are.
        classes = len(settings.dataset(dataset).classes or ()) or 2
        student, teaching, shape = built(settings, dataset, network, name, classes)
        self.parameters = count(student, teaching)
        self.seconds: list[float] = []
        training = settings.training("student", dataset)
        self._step = Step(
            student,
            build_optimizer(student, training, teaching.method),
            settings.parameters.augmentation,
            settings.parameters.engine,
            "cpu",
            teaching,
        )
        generator, images = torch.Generator().manual_seed(0), training.batch_size
        self._batch = (
            torch.randint(0, 256, (images, *shape), dtype=torch.uint8, generator=generator),
            torch.randint(0, classes, (images,), generator=generator),
            draw(images, generator),
        )
        self._step(*self._batch)  # warms up

    def step(self) -> None:
        """Take a step."""
        started = perf_counter()
        self._step(*self._batch)
        self.seconds.append(perf_counter() - started)
