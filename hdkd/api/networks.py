"""Anyone's networks as the methods see networks."""

from typing import Any

import torch
from torch import Tensor, nn

from hdkd.distillation.method import in_mode
from hdkd.errors import DataError, ParameterError
from hdkd.models import ImageModel, Output

PREDICTING = ("class", "distillation", "both", "both_and_patches")  # as ImageModel has it


class Adapted(ImageModel):
    """A module that maps images to logits, as a network that maps them to an ``Output``.

    The module may return logits ``(batch, classes)``, a pair of them (of a class token and of a
    distillation token), or an ``Output``. Of a pair those predict that its ``predicting`` names
    (:class:`~hdkd.models.ImageModel`), where it has one, or else the mean. A method that teaches a
    second head teaches the only one where there is no second. Raises ``ParameterError`` for another
    ``predicting``, ``DataError`` for anything else that the module returns.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = network.training
        self.predicting = getattr(network, "predicting", "both")
        if self.predicting not in PREDICTING:
            raise ParameterError(
                f"the network's predicting must be one of {', '.join(PREDICTING)}, not "
                f"{self.predicting!r}"
            )

    def forward(self, images: Tensor) -> Output:
        """What the module returns, with the logits in place of second ones that it lacks."""
        output = as_output(self.network(images))
        if output.distillation_logits is None:
            return output._replace(distillation_logits=output.logits)
        return output

    def combine(self, output: Output) -> Tensor:
        """The logits that predict: as the module combines them, or the mean of both heads."""
        if isinstance(self.network, ImageModel):
            return self.network.combine(output)
        return super().combine(output)

    def classify(self, vectors: Tensor) -> Tensor:
        """What the module's own ``classify`` makes of vectors ``(…, dim)``: logits."""
        own: Any = self.network
        return own.classify(vectors)

    @property
    def classifies(self) -> bool:
        """Whether the module has a ``classify`` of its own."""
        own = getattr(type(self.network), "classify", None)
        return own is not None and own is not ImageModel.classify


def as_output(returned: Any) -> Output:
    """What a network has ``returned``, as an ``Output``. Raises ``DataError`` where it is none."""
    if isinstance(returned, Output):
        return returned
    if is_logits(returned):
        return Output(returned)
    # A named tuple is something else: the auxiliary classifiers of some networks, for example.
    if type(returned) in (tuple, list) and len(returned) == 2 and all(map(is_logits, returned)):
        return Output(*returned)
    raise DataError(
        "a network must return logits (batch, classes), a pair of them or an hdkd.models.Output, "
        f"not {described(returned)}: wrap it in a module that does"
    )


def is_logits(value: Any) -> bool:
    """Whether ``value`` is a tensor ``(batch, classes)`` of floats."""
    return isinstance(value, Tensor) and value.ndim == 2 and value.is_floating_point()


def described(value: Any) -> str:
    """A type, and of a tensor its element type and shape."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {value.dtype}"
    return f"a {type(value).__name__}"


@torch.no_grad()
def given_for(network: Adapted, images: Tensor, training: bool = False) -> Output:
    """What a network gives for ``images``, in evaluation or training; its state stays as it is."""
    before = [
        (module, name, buffer, buffer.clone())
        for module in network.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if training
    ]
    try:
        with in_mode(network, training):
            return network(images)
    finally:
        for module, name, buffer, value in before:
            setattr(module, name, buffer.copy_(value))
