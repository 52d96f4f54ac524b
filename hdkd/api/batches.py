"""The batches of anyone's loaders, checked."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from hdkd.api.networks import described
from hdkd.errors import DataError

Batches = Iterable[Sequence[Tensor]]


class Loader:
    """Batches of images and labels on a device, laid out for a step.

    ``source`` gives those of an epoch each time it is iterated over: pairs of images ``(batch,
    channels, height, width)``, floats as the networks want them, and labels ``(batch,)``, whole
    numbers from 0. Raises ``DataError`` where it does not.
    """

    def __init__(self, source: Batches, what: str, device: str) -> None:
        self._source, self._what, self._device = source, what, device
        self._begun: Iterator[Sequence[Tensor]] | None = None
        if not hasattr(source, "__iter__") and not hasattr(source, "__getitem__"):
            raise DataError(
                f"the {what} loader is {described(source)}: pass a DataLoader or a list of batches"
            )
        if isinstance(source, Iterator):
            raise DataError(
                f"the {what} loader gives its batches once, and every epoch needs them: pass a "
                "DataLoader or a list"
            )

    def first(self) -> Tensor:
        """The images of the first batch of the next epoch, which has them all the same."""
        batches = iter(self._source)
        batch = next(batches, None)
        if batch is None:
            raise DataError(f"the {self._what} loader gives no batches")
        self._begun = chain([batch], batches)
        return self._checked(batch)[0]

    def epoch(self, classes: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch, whose labels are below ``classes``."""
        batches, self._begun = self._begun or iter(self._source), None
        empty = True
        for batch in batches:
            empty = False
            images, labels = self._checked(batch)
            self._check_range(labels, classes)
            yield images, labels.to(self._device, torch.int64, non_blocking=True)
        if empty:
            raise DataError(f"the {self._what} loader gives no batches")

    def _checked(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Images as a step takes them, and labels as they are."""
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise DataError(
                f"the {self._what} loader must give (images, labels), not {_listed(batch)}"
            )
        images, labels = batch
        if not _is_floats(images, 4) or not _is_whole(labels, len(images)):
            raise DataError(
                f"the {self._what} loader must give floats (batch, channels, height, width) and "
                f"whole numbers (batch,), not {_listed(batch)}"
            )
        images = images.to(self._device, torch.float32, non_blocking=True)
        return images.contiguous(memory_format=torch.channels_last), labels

    def _check_range(self, labels: Tensor, classes: int) -> None:
        """On a GPU a label out of range would end the process; asking it would make it wait."""
        if labels.device.type == "cpu" and len(labels):
            low, high = int(labels.min()), int(labels.max())
            if low < 0 or high >= classes:
                raise DataError(
                    f"the {self._what} loader gives labels from {low} to {high}, and the student "
                    f"has {classes} classes"
                )


def _is_floats(value: Any, ndim: int) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point() and value.ndim == ndim


def _is_whole(value: Any, count: int) -> bool:
    if not isinstance(value, Tensor) or value.shape != (count,):
        return False
    return not value.is_floating_point() and value.dtype != torch.bool


def _listed(batch: Any) -> str:
    return " and ".join(map(described, batch if isinstance(batch, list | tuple) else [batch]))
