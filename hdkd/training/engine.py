"""One step of a training, computed as the device does it fastest.

On a CPU that is one pass in float32. On a GPU the passes can run in bfloat16 (the losses stay in
float32), be compiled, and be recorded once as a CUDA graph, because at the paper's batch size the GPU
would otherwise wait for its kernels to be launched. Nothing in a step waits for the device.
"""

import dataclasses
import os
import resource
import sys
from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.config import Augmentation, Distillation, Engine
from hdkd.data.batches.augment import augment, normalise
from hdkd.distillation.losses import distillation_loss

EAGER_STEPS = 3  # before a graph is recorded, so that kernels are chosen and states exist


@dataclasses.dataclass(frozen=True)
class Teaching:
    """A frozen teacher and how its knowledge enters the loss."""

    teacher: nn.Module
    settings: Distillation


def prepare_process(threads: int | None) -> None:
    """Set up torch for reproducible training in this process, on so many ``threads`` of the CPU."""
    if threads:
        torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may vary
    # As use_deterministic_algorithms(True, warn_only=True), which imports the compiler, too.
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False


def peak_memory(device: str) -> int:
    """Bytes that this process has taken at most: of the GPU, or of the machine where it computes on the CPU."""
    if device == "cuda":
        return torch.cuda.max_memory_reserved()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Step:
    """Callable: one step of ``optimizer`` on a batch, adding to ``sums``.

    ``sums`` has each loss term times the images it is of, and under ``accuracy`` how many were right,
    as scalars on the device. Every batch of ``batch_size`` images can use the graph; others do without.
    """

    memory_format = torch.channels_last

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        augmentation: Augmentation,
        engine: Engine,
        device: str,
        batch_size: int,
        teaching: Teaching | None = None,
    ) -> None:
        self.model, self.optimizer, self.device = model, optimizer, device
        self.augmentation = augmentation
        self.sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=device))
        self.sound_steps = torch.zeros((), device=device)  # whose loss was a finite number
        on_gpu = device == "cuda"
        self._half = on_gpu and engine.precision == "bfloat16"
        self._settings = self._teacher = None
        if teaching:
            self._settings = teaching.settings
            teacher = teaching.teacher.eval().requires_grad_(False)
            self._teacher = teacher.to(device, memory_format=self.memory_format)
        self._forward = model
        if on_gpu and engine.compile:
            self._forward = torch.compile(model)
            self._teacher = self._teacher and torch.compile(self._teacher)
        self._batch_size = batch_size
        self._wants_graph = on_gpu and engine.cuda_graph
        self._eager_steps = 0
        self._stream = torch.cuda.Stream() if self._wants_graph else None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, Tensor, Tensor] | None = None

    def __call__(self, images: Tensor, labels: Tensor, draws: Tensor) -> None:
        """Bytes ``(b, channels, h, w)``, labels ``(b,)`` and draws ``(b, 8)``, all on the device."""
        batch = images, labels, draws
        if not self._wants_graph or len(labels) != self._batch_size:
            return self._compute(*batch)
        if self._eager_steps < EAGER_STEPS:
            self._eager_steps += 1
            return self._aside(batch)
        if self._graph is None and not self._record(batch):
            return self._compute(*batch)
        for place, value in zip(self._inputs, batch, strict=True):
            place.copy_(value)
        return self._graph.replay()

    def means(self, images: int) -> dict[str, float]:
        """The sums over ``images`` images, and zero from here. The one place that waits for a GPU."""
        values = (torch.stack([*self.sums.values()]) / images).tolist()
        for value in self.sums.values():
            value.zero_()
        return dict(zip(self.sums, values, strict=True))

    def _compute(self, images: Tensor, labels: Tensor, draws: Tensor) -> None:
        images = augment(images.float() / 255, draws, self.augmentation)
        self.update(normalise(images).contiguous(memory_format=self.memory_format), labels)

    def update(self, images: Tensor, labels: Tensor) -> None:
        """The arithmetic of a step, on images as the network gets them."""
        terms, logits = self.losses(images, labels)
        self.optimizer.zero_grad(set_to_none=True)
        terms["loss"].backward()
        self.optimizer.step()
        for name, value in terms.items():
            self.sums[name] += value.detach() * len(labels)
        self.sums["accuracy"] += (logits.detach().argmax(dim=1) == labels).sum()
        self.sound_steps += self.sums["loss"].isfinite()

    def losses(self, images: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Loss terms by name, and the logits that predict: cross-entropy, or equation 8.

        ``images`` are normalised. One pass of the teacher and one of the student give all terms.
        """
        with torch.autocast(self.device, torch.bfloat16, enabled=self._half, cache_enabled=False):
            if self._teacher is None:
                logits = self._forward(images).float()
                return {"loss": F.cross_entropy(logits, labels)}, logits
            with torch.no_grad():
                taught, guides = self._teacher(images, return_features=True)
            logits, features = self._forward(images, return_features=True)
        logits = tuple(each.float() for each in logits)
        settings = dataclasses.asdict(self._settings)
        del settings["batchnorm_updates"]
        terms = distillation_loss(
            logits,
            [each.float() for each in features],
            taught.float(),
            [each.float() for each in guides],
            labels,
            **settings,
        )
        return terms, self.model.combine(logits)

    def _aside(self, batch: tuple[Tensor, Tensor, Tensor]) -> None:
        """A step on a stream of its own, as recording needs its predecessors to be."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._compute(*batch)
        torch.cuda.current_stream().wait_stream(self._stream)

    def _record(self, batch: tuple[Tensor, Tensor, Tensor]) -> bool:
        """Record a step on copies of ``batch``; recording computes nothing. False where it fails."""
        self._inputs = tuple(value.clone() for value in batch)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._compute(*self._inputs)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            print(f"warning: steps are not recorded as a CUDA graph ({reason})", file=sys.stderr)
            self._wants_graph = False
            return False
        self._graph = graph
        return True
