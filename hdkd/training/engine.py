"""One step of training, computed as the device does it fastest.

On a CPU that is one pass in float32. On a GPU the passes can run in bfloat16 (the losses stay in
float32), be compiled, and be recorded once as a CUDA graph, because at the paper's batch size the
GPU would otherwise wait for its kernels to be launched. Nothing in a step waits for the device.
"""

import os
import resource
import sys
from collections import defaultdict

import torch
from torch import Tensor
from torch.nn import functional as F

from hdkd.config import Augmentation, Engine
from hdkd.data.batches.augment import augment, normalise
from hdkd.data.batches.loader import Batch
from hdkd.distillation.hdkd import Teaching, distillation_loss
from hdkd.models import ImageModel

EAGER_STEPS = 3  # before a graph is recorded, so that kernels are chosen and states exist


def prepare_process(threads: int | None) -> None:
    """Set up torch for reproducible training in this process, on ``threads`` of the CPU."""
    if threads:
        torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may vary
    # As use_deterministic_algorithms(True, warn_only=True), which imports the compiler, too.
    torch.set_deterministic_debug_mode("warn")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set by torch, not declared


def peak_memory(device: str) -> int:
    """Most bytes that this process has had so far, of the GPU's memory or of the machine's."""
    if device == "cuda":
        return torch.cuda.max_memory_reserved()
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Step:
    """Callable: one step of ``optimizer`` on a batch, adding to ``sums``.

    ``sums`` has each loss term times its number of images, and under ``accuracy`` how many were
    predicted correctly, as scalars on the device. Batches of ``batch_size`` images can use the
    graph, others do without. The teacher is frozen here. ``layout`` is the memory format of images
    and teacher; the model should have it, too.
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
        self.finite_steps = torch.zeros((), device=device)  # number of steps with a finite loss
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
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: Batch  # where the graph reads its batch

    def __call__(self, images: Tensor, labels: Tensor, draws: Tensor) -> None:
        """Bytes ``(b, channels, h, w)``, labels ``(b,)``, draws ``(b, 8)``, all on the device."""
        batch = images, labels, draws
        if not self._wants_graph or len(labels) != self._batch_size:
            self._compute(*batch)
        elif self._eager_steps < EAGER_STEPS:
            self._eager_steps += 1
            self._on_side_stream(batch)
        else:
            self._graph = self._graph or self._record(batch)
            if self._graph is None:
                return self._compute(*batch)
            for place, value in zip(self._inputs, batch, strict=True):
                place.copy_(value)
            self._graph.replay()

    def means(self, images: int) -> dict[str, float]:
        """The sums divided by ``images``; sets them to zero. The only wait for a GPU."""
        values = (torch.stack([*self.sums.values()]) / images).tolist()
        for value in self.sums.values():
            value.zero_()
        return dict(zip(self.sums, values, strict=True))

    def _compute(self, images: Tensor, labels: Tensor, draws: Tensor) -> None:
        images = augment(images.float() / 255, draws, self.augmentation)
        self.update(normalise(images).contiguous(memory_format=self.layout), labels)

    def update(self, images: Tensor, labels: Tensor) -> None:
        """The arithmetic of a step, on augmented and normalised images."""
        terms, logits = self.losses(images, labels)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(terms["loss"])
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
        """A step on a stream of its own, as those before a recording have to be."""
        self._stream = self._stream or torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._compute(*batch)
        torch.cuda.current_stream().wait_stream(self._stream)

    def _record(self, batch: Batch) -> torch.cuda.CUDAGraph | None:
        """Record a step on copies of ``batch``, which computes nothing; ``None`` where it fails."""
        images, labels, draws = self._inputs = (
            batch[0].clone(),
            batch[1].clone(),
            batch[2].clone(),
        )
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
        return graph
