"""One run in several processes, which ``torchrun`` starts: each computes its share of every batch.

Gradients are summed over processes in one message after each step; with a few million parameters
there is nothing that hiding it behind the backward pass, as torch's wrapper does, could save.
Normalisations take their statistics over all shares, so that a run computes what it would compute
alone. torch's own ``SyncBatchNorm`` does so on a GPU only. The process of rank 0 leads: it
evaluates, saves and reports, while the others wait with their next message.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from typing_extensions import override

from hdkd.data.batches.loader import Share
from hdkd.errors import RunError

LONGEST_WAIT = timedelta(hours=6)  # for the one that evaluates and saves


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Find the other processes of this run meanwhile, where ``torchrun`` has started several."""
    if not distributed.is_available() or not distributed.is_torchelastic_launched():
        yield
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=LONGEST_WAIT)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def share() -> Share:
    """Which process of how many this is."""
    if not distributed.is_available() or not distributed.is_initialized():
        return Share()
    return Share(distributed.get_rank(), distributed.get_world_size())


def leads() -> bool:
    """Whether this process evaluates, saves and reports."""
    return share().rank == 0


def wait() -> None:
    """Go on when all processes have come here."""
    if share().of > 1:
        distributed.barrier()


def agreed(value: bool, device: str) -> bool:
    """What the leading process says."""
    if share().of == 1:
        return value
    message = torch.tensor(int(value), device=device)
    distributed.broadcast(message, src=0)
    return bool(message)


def summed(values: Tensor) -> Tensor:
    """The sum of the processes' ``values``, whose memory is used."""
    if share().of > 1:
        distributed.all_reduce(values)
    return values


def backward(loss: Tensor, images: int, parameters: Sequence[nn.Parameter]) -> None:
    """Give ``parameters`` the gradient of the mean over all processes' images.

    ``loss`` is the mean over the ``images`` of this process.
    """
    if share().of == 1:
        torch.autograd.backward(loss)
        return
    torch.autograd.backward(loss * images)
    gradients = [p.grad for p in parameters if p.grad is not None]
    pieces = [loss.new_tensor([images]), *(gradient.reshape(-1) for gradient in gradients)]
    total = summed(torch.cat(pieces))
    means = torch.split(total[1:] / total[0], [gradient.numel() for gradient in gradients])
    for gradient, mean in zip(gradients, means, strict=True):
        gradient.copy_(mean.view(gradient.shape))


class Sum(torch.autograd.Function):
    """The sum of the processes' tensors, through which gradients go to all of them."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        """Sum them; the same shape."""
        return summed(values.clone())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """What each process' tensor adds to the losses of all."""
        return summed(gradient.clone())


class SharedBatchNorm(_BatchNorm):
    """Batch normalisation whose statistics are those of the whole batch, not of a share."""

    @override
    def _check_input_dim(self, input: Tensor) -> None:
        """Take maps and vectors alike."""

    @override
    def forward(self, input: Tensor) -> Tensor:
        """As torch's: ``(batch, channels)``, or with height and width after them."""
        if not self.training:
            return super().forward(input)
        values = input.float()
        over = [axis for axis in range(input.dim()) if axis != 1]
        count = summed(values.new_tensor(input.numel() / input.shape[1]))
        mean = Sum.apply(values.sum(over, keepdim=True)) / count
        centred = values - mean
        variance = Sum.apply(centred.square().sum(over, keepdim=True)) / count
        self._note(mean.detach().flatten(), variance.detach().flatten() * count / (count - 1))
        shape = mean.shape
        scaled = centred * (variance + self.eps).rsqrt()
        return (scaled * self.weight.view(shape) + self.bias.view(shape)).to(input.dtype)

    def _note(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, as torch's own does."""
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def share_statistics(network: nn.Module) -> None:
    """Give ``network`` normalisations over all processes, with its own parameters and statistics.

    Raises ``RunError`` for a kind of batch normalisation that is not known here.
    """
    for parent in network.modules():
        for name, child in parent.named_children():
            if not isinstance(child, _BatchNorm) or isinstance(child, SharedBatchNorm):
                continue
            if type(child) not in (nn.BatchNorm1d, nn.BatchNorm2d):
                raise RunError(
                    f"{type(child).__name__} cannot be shared by several processes: train this "
                    "network in one"
                )
            setattr(parent, name, _shared(child))


def _shared(module: _BatchNorm) -> SharedBatchNorm:
    shared = SharedBatchNorm(module.num_features, module.eps, module.momentum)
    shared.weight, shared.bias = module.weight, module.bias
    for name, buffer in module.named_buffers():
        setattr(shared, name, buffer)
    return shared.train(module.training)
