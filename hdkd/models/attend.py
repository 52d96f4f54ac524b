"""CBAM's gradient written out, in as few passes over the map as it needs.

On a CPU the convolutions of a block run close to what the machine can do; what is left are passes
over maps in memory. Automatic differentiation makes about twenty of them for one CBAM, this makes
nine, and a step is some 1.1 times as fast (`reports/benchmarks.md`, "without the attention's own
gradient"). Of equal maxima the first takes the gradient here.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

if TYPE_CHECKING:
    from hdkd.models.blocks import ChannelAttention, SpatialAttention


def attend(x: Tensor, channel: "ChannelAttention", spatial: "SpatialAttention") -> Tensor:
    """X + s·a with a = c·x (equation 3 and a residual connection), ``(batch, channels, h, w)``.

    ``channel.weights`` gives c (equation 4) from x's mean and maximum over positions, both
    ``(batch, channels, 1, 1)``; ``spatial.weights`` gives s (equation 5) from a's mean and maximum
    over channels, ``(batch, 2, h, w)``.
    """
    return _Attend.apply(x, channel, spatial, *channel.parameters(), *spatial.parameters())


class _Attend(torch.autograd.Function):
    """Keeps x, a, and the small graphs of c and s, through which automatic differentiation goes."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, channel: "ChannelAttention", spatial: "SpatialAttention", *_: Tensor
    ) -> Tensor:
        average = x.mean((2, 3), keepdim=True).requires_grad_()
        maximum, brightest = F.adaptive_max_pool2d(x, 1, return_indices=True)
        maximum.requires_grad_()
        with torch.enable_grad():
            c = channel.weights(average, maximum)
        attended = c.detach() * x
        top, strongest = attended.max(dim=1, keepdim=True)
        pooled = torch.cat([attended.mean(dim=1, keepdim=True), top], dim=1).requires_grad_()
        with torch.enable_grad():
            s = spatial.weights(pooled)
        ctx.save_for_backward(x, attended, brightest, strongest)
        ctx.channel = c, (average, maximum, *channel.parameters())
        ctx.spatial = s, (pooled, *spatial.parameters())
        return torch.addcmul(x, attended, s.detach())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, attended, brightest, strongest = ctx.saved_tensors
        (c, of_channel), (s, of_spatial) = ctx.channel, ctx.spatial
        # From y = x + s·a: what s gets, and what a gets directly and through its mean and maximum.
        to_s = (gradient * attended).sum(dim=1, keepdim=True)
        to_pooled, *to_spatial = torch.autograd.grad(s, of_spatial, to_s)
        to_attended = torch.addcmul(to_pooled[:, :1] / x.shape[1], gradient, s.detach())
        to_attended.scatter_add_(1, strongest, to_pooled[:, 1:])
        # From a = c·x: what c gets, and what x gets directly and through its mean and maximum.
        to_c = (to_attended * x).sum((2, 3), keepdim=True)
        to_average, to_maximum, *to_channel = torch.autograd.grad(c, of_channel, to_c)
        to_x = torch.addcmul(gradient, to_attended, c.detach())
        to_x += to_average / x[0, 0].numel()
        to_x.flatten(2).scatter_add_(2, brightest.flatten(2), to_maximum.flatten(2))
        return to_x, None, None, *to_channel, *to_spatial
