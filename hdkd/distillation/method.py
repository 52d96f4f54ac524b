"""What every method of distillation has in common."""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hdkd.config import Distillation
from hdkd.models import ImageModel, Output


class Seen(NamedTuple):
    """A network and what it gave for the batch, in float32."""

    network: ImageModel
    output: Output


class Term(NamedTuple):
    """A part of the loss: a scalar, what it is multiplied with, whether labels alone give it."""

    value: Tensor
    weight: float | Tensor = 1.0
    labels: bool = False


@dataclass(frozen=True)
class Pair:
    """What a method is built for: what student and teacher give for an image, and the parameters.

    Outputs are of an image or two, for their shapes; a method without a teacher has none of it.
    """

    student: Output
    teacher: Output | None
    settings: Distillation

    @property
    def maps(self) -> tuple[Tensor, ...]:
        """The maps of the teacher's stages."""
        assert self.teacher is not None, "the method has no teacher"
        return self.teacher.features


class Method(nn.Module):
    """How a student is taught. What it learns itself is trained along, and never exported."""

    @classmethod
    def of(cls, pair: Pair) -> "Method":
        """The method for two networks."""
        return cls()

    def prepare(self, student: nn.Module) -> None:
        """Change what the method has to change of the student before its first step."""

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The terms of the loss by name, that of the labels among them as ``cross_entropy``.

        ``labels`` are ``(batch,)``. ``progress`` is the share of the epochs that are over, a scalar
        on the device: what depends on it must be computed from it by tensors, so that a recorded
        step sees it change.
        """
        raise NotImplementedError


def total(terms: Mapping[str, Term], strength: float = 1.0) -> Tensor:
    """The loss: the sum of all terms, those not given by labels multiplied with ``strength``."""
    summands = []
    for name, (value, weight, labels) in terms.items():
        spared = labels or name == "cross_entropy" or strength == 1
        summands.append((weight if spared else weight * strength) * value)
    loss = summands[0]
    for each in summands[1:]:
        loss = loss + each
    return loss


@dataclass(frozen=True)
class Teaching:
    """How a student is taught: by whom, how, and how strongly beside what is published."""

    teacher: ImageModel | None
    method: Method
    strength: float = 1.0

    def losses(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Tensor]:
        """``loss``, and the value of each of its terms by name, all of them scalars."""
        terms = self.method(student, teacher, labels, progress)
        values = {name: term.value for name, term in terms.items()}
        return {"loss": total(terms, self.strength), **values}


def build_method(
    name: str,
    student: ImageModel,
    teacher: ImageModel | None,
    image: tuple[int, int, int],
    settings: Distillation,
) -> Method:
    """The method of the file ``name`` for two networks that see an ``image`` of this shape.

    Its own weights come from torch's generator. Raises ``ModuleNotFoundError`` where there is no
    such file.
    """
    module = importlib.import_module(f"hdkd.distillation.{name}")
    kinds = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]
    (kind,) = [each for each in kinds if issubclass(each, Method)]
    taught = None if teacher is None else shapes(teacher, image)
    return kind.of(Pair(shapes(student, image), taught, settings))


def shapes(network: ImageModel, image: tuple[int, int, int]) -> Output:
    """What ``network`` gives for one image of this shape; its state stays as it is."""
    parameter = next(network.parameters())
    with torch.no_grad(), in_mode(network, training=False):
        return network(torch.zeros(1, *image, device=parameter.device))


@contextmanager
def in_mode(network: nn.Module, training: bool) -> Iterator[None]:
    """``network`` in training or evaluation; afterwards each module is in the mode it was in."""
    modes = {module: module.training for module in network.modules()}
    network.train(training)
    try:
        yield
    finally:
        for module, before in modes.items():
            module.training = before
