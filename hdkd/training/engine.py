"""One step of training, computed as the device does it fastest.

On a CPU that is one pass in float32. On a GPU the passes can run in bfloat16 (losses and our
networks' heads stay in float32), be compiled, and be recorded as CUDA graphs, because at the
paper's batch size the GPU would otherwise wait for its kernels to be launched. Nothing in a step
waits for the device.
"""

import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.config import Augmentation, Engine
from hdkd.data.batches.augment import augment, normalise
from hdkd.data.batches.loader import Batch, as_it_is
from hdkd.distillation.method import Seen, Teaching
from hdkd.errors import RunError
from hdkd.models import ImageModel
from hdkd.training import parallel

EAGER_STEPS = 3  # before a graph is recorded, so that kernels are chosen and states exist
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


class Step:
    """Callable: one step of ``optimizer`` on a batch, adding to ``sums``.

    ``sums`` has each loss term times its number of images, and under ``accuracy`` how many were
    predicted correctly, as scalars on the device. ``gather`` turns what the step is given into
    images, labels and draws, as part of the step (see :meth:`Loader.gather`). The model is laid out
    in memory as the step wants it, and the teacher is frozen, here. Where several processes train,
    the batch is this one's share, and the step is that of all shares together.
    """

    def __init__(
        self,
        model: ImageModel,
        optimizer: torch.optim.Optimizer,
        augmentation: Augmentation,
        engine: Engine,
        device: str,
        teaching: Teaching | None = None,
        gather: Callable[..., Batch] = as_it_is,
    ) -> None:
        on_gpu = device == "cuda"
        self.layout = LAYOUTS[engine.layout]
        self.model, self.optimizer, self.device = model, optimizer, device
        self.sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=device))
        self.finite_steps = torch.zeros((), device=device)  # number of steps with a finite loss
        self.progress = torch.zeros((), device=device)  # share of the epochs that are over
        self._augmentation, self._gather = augmentation, gather
        self._half = on_gpu and engine.precision == "bfloat16"
        alone = parallel.share().of == 1
        compiled = torch.compile if on_gpu and engine.compile and alone else lambda network: network
        if not alone:
            parallel.share_statistics(model)
            if teaching:
                parallel.share_statistics(teaching.method)
        self._forward = compiled(model.to(memory_format=self.layout))
        self._teaching = teaching
        self._teacher: ImageModel | None = None
        if teaching and teaching.teacher:
            teacher = teaching.teacher.eval().requires_grad_(False)
            teacher = teacher.to(device).to(memory_format=self.layout)
            self._teacher = hold_in_half(teacher) if self._half else teacher
            self._ask = compiled(self._teacher)
        self._graphs: Graphs | None = None
        if on_gpu and engine.cuda_graph and alone:
            self._graphs = Graphs(self._compute, optimizer)

    def __call__(self, *batch: Tensor) -> None:
        """Take a step on what ``gather`` makes a batch of, which is on the device.

        Raises ``RunError`` where the step cannot be recorded.
        """
        if self._graphs:
            self._graphs(*batch)
        else:
            self._compute(*batch)

    def means(self, images: int) -> dict[str, float]:
        """The sums divided by ``images``; sets them to zero. The only wait for a GPU.

        Sums are those of all processes.
        """
        values = (parallel.summed(torch.stack([*self.sums.values()])) / images).tolist()
        for value in self.sums.values():
            value.zero_()
        return dict(zip(self.sums, values, strict=True))

    def _compute(self, *batch: Tensor) -> None:
        images, labels, draws = self._gather(*batch)
        images = augment(images.float() / 255, draws, self._augmentation)
        self.update(normalise(images).contiguous(memory_format=self.layout), labels)

    def update(self, images: Tensor, labels: Tensor) -> None:
        """The arithmetic of a step, on augmented and normalised images."""
        terms, logits = self.losses(images, labels)
        self.optimizer.zero_grad(set_to_none=True)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        parallel.backward(terms["loss"], len(labels), parameters)
        self.optimizer.step()
        for name, value in terms.items():
            self.sums[name] += value.detach() * len(labels)
        self.sums["accuracy"] += (logits.detach().argmax(dim=1) == labels).sum()
        self.finite_steps += self.sums["loss"].isfinite()

    def losses(self, images: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Loss terms by name, and the logits that predict: cross-entropy, or the method's terms.

        ``images`` are normalised. One pass of the teacher and one of the student give all terms.
        """
        taught = None
        with torch.autocast(self.device, torch.bfloat16, enabled=self._half, cache_enabled=False):
            if self._teacher is not None:
                with torch.no_grad():
                    taught = Seen(self._teacher, self._ask(images).float())
            output = self._forward(images).float()
        logits = self.model.combine(output)
        if self._teaching is None:
            return {"loss": F.cross_entropy(logits, labels)}, logits
        student = Seen(self.model, output)
        return self._teaching.losses(student, taught, labels, self.progress), logits


def hold_in_half(teacher: ImageModel) -> ImageModel:
    """Keep a frozen network's convolutions in bfloat16, as autocast would cast them at each step.

    Normalisations and heads stay in float32, in which they are computed.
    """
    for module in teacher.modules():
        if isinstance(module, nn.Conv2d):
            module.to(torch.bfloat16)
    return teacher


class Graphs:
    """Callable: ``compute`` on a batch, recorded once for each number of images and replayed then.

    An epoch has two, that of a batch and that of the images left over. The first steps of each are
    computed eagerly, because kernels are chosen and the optimiser's state is made in them.
    """

    def __init__(self, compute: Callable[..., None], optimizer: torch.optim.Optimizer) -> None:
        self._compute, self._optimizer = compute, optimizer
        self._eager_steps: Counter[int] = Counter()
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        # Graphs are replayed one at a time, and none needs what another has left in memory.
        self._pool = torch.cuda.graph_pool_handle()
        self._recorded: dict[int, tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]] = {}

    def __call__(self, *batch: Tensor) -> None:
        """Compute a step of a batch. Raises ``RunError`` where it cannot be recorded."""
        count = len(batch[0])
        if count not in self._recorded and self._eager_steps[count] < EAGER_STEPS:
            self._eager_steps[count] += 1
            return self._on_side_stream(batch)
        if count not in self._recorded:
            self._recorded[count] = self._record(batch)
        graph, inputs = self._recorded[count]
        for place, value in zip(inputs, batch, strict=True):
            place.copy_(value)
        graph.replay()

    def _on_side_stream(self, batch: tuple[Tensor, ...]) -> None:
        """A step on a stream of its own, as those before a recording have to be."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            self._compute(*batch)
        torch.cuda.current_stream().wait_stream(self._stream)

    def _record(self, batch: tuple[Tensor, ...]) -> tuple[torch.cuda.CUDAGraph, tuple[Tensor, ...]]:
        """Record a step on copies of ``batch``, which computes nothing."""
        inputs = tuple(each.clone() for each in batch)
        self._optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        try:
            # The thread that gathers batches pins memory, which must not end the recording.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                self._compute(*inputs)
        except RuntimeError as error:
            cause: BaseException = error
            while cause.__context__:  # the end of a recording that failed is an error of its own
                cause = cause.__context__
            reason = (str(cause).splitlines() or [type(cause).__name__])[0]
            raise RunError(
                f"a step cannot be recorded as a CUDA graph ({innermost(cause)}: {reason}): set "
                "engine.cuda_graph to false in the parameters"
            ) from error
        return graph, inputs


def innermost(error: BaseException) -> str:
    """The last line of this project that an error went through."""
    project = Path(__file__).parents[1]
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if Path(each.filename).is_relative_to(project)] or frames
    return f"{Path(ours[-1].filename).name}, line {ours[-1].lineno}"
