"""One step of a training, computed as the device does it fastest.

On a CPU that is one pass in float32. On a GPU the passes can run in bfloat16 (the losses stay in
float32), be compiled, and be recorded once as a CUDA graph, because at the paper's batch size the
GPU would otherwise wait for its kernels to be launched. Nothing in a step waits for the device.
"""

import os
import resource
import sys
from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from hdkd.config import Augmentation, Engine
from hdkd.data.batches.augment import augment, normalise
from hdkd.distillation.hdkd import Teaching, distillation_loss
from hdkd.models import ImageModel

Batch = tuple[Tensor, Tensor, Tensor]  # images, labels, draws
EAGER_STEPS = 3  # before a graph is recorded, so that kernels are chosen and states exist


def prepare_process(threads: int | None) -> None:
    """Set up torch for reproducible training in this process, on so many ``threads`` of the CPU."""
    if threads:
        torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may vary
    # As use_deterministic_algorithms(True, warn_only=True), which imports the compiler, too.
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def peak_memory(device: str) -> int:
    """Bytes that this process has taken at most, of the GPU's memory or of the machine's."""
    if device == "cuda":
        return torch.cuda.max_memory_reserved()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@dataclass(frozen=True)
class Recording:
    """A step as a CUDA graph, and where it finds its batch."""

    graph: torch.cuda.CUDAGraph
    inputs: Batch

    def replay(self, batch: Batch) -> None:
        """The recorded step on another ``batch`` of the same size."""
        for place, value in zip(self.inputs, batch, strict=True):
            place.copy_(value)
        self.graph.replay()


class Step:
    """Callable: one step of ``optimizer`` on a batch, adding to ``sums``.

    ``sums`` has each loss term times the images it is of, and under ``accuracy`` how many were
    right, as scalars on the device. Every batch of ``batch_size`` images can use the graph; others
    do without. The teacher is frozen here. ``layout`` is how images and teacher lie in memory; the
    model should lie so, too.
    """

    def __init__(
        self,
        model: ImageModel,
        optimizer: torch.optim.Optimizer,
        augmentation: Augmentation,
        engine: Engine,
        device: str,
        batch_size: int,
        teaching: Teaching | None = None,
        layout: torch.memory_format = torch.channels_last,
    ) -> None:
        self.model, self.optimizer, self.device = model, optimizer, device
        self.augmentation, self.layout = augmentation, layout
        self.sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=device))
        self.finite_steps = torch.zeros((), device=device)  # whose loss was a finite number
        on_gpu = device == "cuda"
        self._half = on_gpu and engine.precision == "bfloat16"
        compiled = torch.compile if on_gpu and engine.compile else lambda network: network
        self._forward = compiled(model)
        self._teaching = teaching
        if teaching:
            teacher = teaching.teacher.eval().requires_grad_(False)
            self._teacher = compiled(teacher.to(device).to(memory_format=layout))
        self._batch_size = batch_size
        self._wants_graph = on_gpu and engine.cuda_graph
        self._eager_steps = 0
        self._stream: torch.cuda.Stream | None = None
        self._recording: Recording | None = None

    def __call__(self, images: Tensor, labels: Tensor, draws: Tensor) -> None:
        """Bytes ``(b, channels, h, w)``, labels ``(b,)``, draws ``(b, 8)``, all on the device."""
        batch = images, labels, draws
        if not self._wants_graph or len(labels) != self._batch_size:
            self._compute(*batch)
        elif self._eager_steps < EAGER_STEPS:
            self._eager_steps += 1
            self._on_side_stream(batch)
        else:
            self._recording = self._recording or self._record(batch)
            if self._recording:
                self._recording.replay(batch)
            else:
                self._compute(*batch)

    def means(self, images: int) -> dict[str, float]:
        """The sums over ``images`` images, and zero from here; the only wait for a GPU."""
        values = (torch.stack([*self.sums.values()]) / images).tolist()
        for value in self.sums.values():
            value.zero_()
        return dict(zip(self.sums, values, strict=True))

    def _compute(self, images: Tensor, labels: Tensor, draws: Tensor) -> None:
        images = augment(images.float() / 255, draws, self.augmentation)
        self.update(normalise(images).contiguous(memory_format=self.layout), labels)

    def update(self, images: Tensor, labels: Tensor) -> None:
        """The arithmetic of a step, on images as the network gets them."""
        terms, logits = self.losses(images, labels)
        self.optimizer.zero_grad(set_to_none=True)
        terms["loss"].backward()
        self.optimizer.step()
        for name, value in terms.items():
            self.sums[name] += value.detach() * len(labels)
        self.sums["accuracy"] += (logits.detach().argmax(dim=1) == labels).sum()
        self.finite_steps += self.sums["loss"].isfinite()

    def losses(self, images: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Loss terms by name, and the logits that predict: cross-entropy, or the method's terms.

        ``images`` are normalised. One pass of the teacher and one of the student give all terms.
        """
        with torch.autocast(self.device, torch.bfloat16, enabled=self._half, cache_enabled=False):
            if self._teaching is None:
                logits = self.model.combine(self._forward(images)).float()
                return {"loss": F.cross_entropy(logits, labels)}, logits
            with torch.no_grad():
                taught = self._teacher(images)
            output = self._forward(images)
        output = output.float()
        terms = distillation_loss(output, taught.float(), labels, self._teaching.settings)
        return terms, self.model.combine(output)

    def _on_side_stream(self, batch: Batch) -> None:
        """A step on a stream of its own, as recording needs its predecessors to be."""
        self._stream = self._stream or torch.cuda.Stream()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._compute(*batch)
        torch.cuda.current_stream().wait_stream(self._stream)

    def _record(self, batch: Batch) -> Recording | None:
        """Record a step on copies of ``batch``, which computes nothing; ``None`` where it fails."""
        images, labels, draws = (value.clone() for value in batch)
        self.optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._compute(images, labels, draws)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            print(f"warning: steps are not recorded as a CUDA graph ({reason})", file=sys.stderr)
            self._wants_graph = False
            return None
        return Recording(graph, (images, labels, draws))
