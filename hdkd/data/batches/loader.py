"""The batches of a run, on the device where its arithmetic happens.

On a GPU the bytes of the whole training set lie in its memory where they fit, and SMOTE's images
are blended there as part of the step. Otherwise batches are gathered in memory: for a GPU ahead of
time, in pages that it can copy from while it computes.
"""

import os
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from hdkd.data.batches.augment import draw
from hdkd.data.batches.imageset import Chosen, TrainingSet
from hdkd.errors import RunError

RESIDENT_SHARE = 0.25  # of a run's share of the GPU's memory
RUNS_ON_GPU = "HDKD_RUNS_ON_GPU"  # how many share it; the workflow sets this variable
PREFETCHED = 2  # batches that wait for a GPU

Batch = tuple[Tensor, Tensor, Tensor]


def as_it_is(images: Tensor, labels: Tensor, draws: Tensor) -> Batch:
    """A batch that needs no gathering."""
    return images, labels, draws


@dataclass(frozen=True)
class Share:
    """What process ``rank`` ``of`` so many takes of each batch of a run."""

    rank: int = 0
    of: int = 1

    def part(self, start: int, stop: int) -> slice:
        """Its own images of the batch ``start`` … ``stop`` - 1; shares differ by one at most."""
        count = stop - start
        return slice(
            start + count * self.rank // self.of, start + count * (self.rank + 1) // self.of
        )


class Loader:
    """Draws the batches of each epoch, of ``epoch_images`` images or (``None``) of all.

    ``resident`` ``None`` asks whether the bytes fit on the GPU. Of each batch it gives the
    ``share`` of its process.
    """

    def __init__(
        self,
        training_set: TrainingSet,
        device: str,
        epoch_images: int | None = None,
        resident: bool | None = None,
        share: Share = Share(),
    ) -> None:
        self.device = device
        self._share = share
        self._epoch_images = epoch_images or len(training_set)
        self._set = training_set
        self._labels = torch.from_numpy(training_set.labels.astype(np.int64)).to(device)
        if resident is None:
            source, positions = training_set.source, training_set.positions
            resident = device == "cuda" and fits_on_gpu(source.chosen(positions))
        self._resident = Resident(training_set, device) if resident else None
        self.gather: Callable[..., Batch] = self._gather_resident if resident else as_it_is

    def __len__(self) -> int:
        """Images of an epoch."""
        return self._epoch_images

    def epoch(
        self, batch_size: int, order: torch.Generator, draws: torch.Generator
    ) -> Iterator[tuple[Tensor, ...]]:
        """In random order what ``gather`` makes batches of.

        A batch is bytes ``(b, channels, h, w)``, labels ``(b,)`` and draws ``(b, 8)``. ``gather``
        runs on the device and can be recorded; what it takes are members ``(b,)`` and draws where
        images are resident, else the batch as it is. Within an epoch no image comes again before
        all have come. Both generators are on the CPU. A single image left over joins the batch
        before it, because batch statistics need two; so do fewer than there are processes. Raises
        ``RunError`` where a batch has fewer.
        """
        if batch_size < self._share.of:
            raise RunError(
                f"a batch of {batch_size} images cannot be shared by {self._share.of} processes: "
                "start fewer"
            )
        rounds = -(-len(self) // len(self._set))
        members = torch.cat(
            [torch.randperm(len(self._set), generator=order) for _ in range(rounds)]
        )
        members = members[: len(self)]
        drawn = draw(len(self), draws).to(self.device)
        bounds = batch_bounds(len(self), batch_size, max(2, self._share.of))
        parts = [self._share.part(*ends) for ends in pairwise(bounds)]
        on_device = members.to(self.device)
        if self._resident:
            return ((on_device[part], drawn[part]) for part in parts)
        labels = self._labels[on_device]
        gathered = (torch.from_numpy(self._set.images(members[part].numpy())) for part in parts)
        images = prefetched(gathered) if self.device == "cuda" else gathered
        return ((each, labels[p], drawn[p]) for p, each in zip(parts, images, strict=True))

    def _gather_resident(self, members: Tensor, draws: Tensor) -> Batch:
        assert self._resident
        return self._resident.images(members), self._labels[members], draws


class Resident:
    """A training set's images in a device's memory, each as two images and how far between them.

    A real image is its base; a synthetic one is base + gap × (neighbour − base), as bytes (see
    :func:`hdkd.data.batches.imageset.blend`).
    """

    def __init__(self, training_set: TrainingSet, device: str) -> None:
        recipes = training_set.recipes
        base = neighbour = training_set.positions
        self._wraps = training_set.arithmetic == "wrapped"
        dtype = np.float64 if self._wraps else np.float32
        gap = np.zeros(len(base), dtype=dtype)
        if recipes is not None:
            base = np.concatenate([base, recipes["base"].to_numpy()])
            neighbour = np.concatenate([neighbour, recipes["neighbour"].to_numpy()])
            gap = np.concatenate([gap, recipes["gap"].to_numpy(dtype=dtype)])
        used, places = np.unique(np.concatenate([base, neighbour]), return_inverse=True)
        self._pixels = torch.from_numpy(training_set.source.images[used]).to(device)
        self._base, self._neighbour = torch.from_numpy(places).to(device).chunk(2)
        self._gap = torch.from_numpy(gap).to(device)[:, None, None, None]
        self._blends = recipes is not None

    def images(self, members: Tensor) -> Tensor:
        """Bytes ``(len(members), channels, h, w)`` of members 0 … n - 1."""
        base = self._pixels[self._base[members]]
        if not self._blends:
            return base
        neighbour = self._pixels[self._neighbour[members]]
        if self._wraps:
            return (base + self._gap[members] * (neighbour - base)).to(torch.int64).to(torch.uint8)
        base, neighbour = base.float(), neighbour.float()
        return (base + self._gap[members] * (neighbour - base)).round().to(torch.uint8)


def batch_bounds(count: int, batch_size: int, fewest: int = 2) -> list[int]:
    """Where batches begin, and ``count``; the last has ``fewest`` images at least."""
    starts = list(range(0, count, batch_size))
    if len(starts) > 1 and count - starts[-1] < fewest:
        starts.pop()
    return [*starts, count]


def fits_on_gpu(images: Chosen | np.ndarray) -> bool:
    """Whether the bytes take no more than a part of a run's share of the GPU's memory."""
    _, memory = torch.cuda.mem_get_info()
    share = memory / int(os.environ.get(RUNS_ON_GPU, "1"))
    return len(images) * images[:1].nbytes <= RESIDENT_SHARE * share


def held(images: Chosen | np.ndarray, device: str) -> Tensor | Chosen | np.ndarray:
    """Images to be evaluated again and again: on a GPU where they fit, else where they are."""
    if device == "cuda" and fits_on_gpu(images):
        return torch.from_numpy(np.array(images[:])).to(device)
    return images


def prefetched(batches: Iterator[Tensor]) -> Iterator[Tensor]:
    """The same tensors on the GPU, gathered by a thread while earlier ones are computed with."""
    waiting: queue.Queue[Tensor | BaseException | None] = queue.Queue(PREFETCHED)
    abandoned = threading.Event()

    def gather() -> None:
        try:
            for batch in batches:
                if abandoned.is_set():
                    return
                waiting.put(batch.pin_memory())
            waiting.put(None)
        except BaseException as error:  # is raised where the batch is asked for
            waiting.put(error)

    threading.Thread(target=gather, daemon=True).start()
    try:
        while (batch := waiting.get()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            yield batch.to("cuda", non_blocking=True)
    finally:
        abandoned.set()
        while not waiting.empty():
            waiting.get_nowait()
