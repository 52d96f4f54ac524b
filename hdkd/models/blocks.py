"""Convolutional blocks that teacher and student share (paper, sections 3.1 and 3.3, figure 1).

Every block maps ``(batch, in_channels, height, width)`` to ``(batch, out_channels, height / stride,
width / stride)``. Where the paper and the released implementation differ, the released one is
followed, because it is the one whose parameter counts are the paper's.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hdkd.models.attend import attend

EXPANSION = 4
CHANNEL_REDUCTION = 16
SPATIAL_KERNEL = 7


class StemBlock(nn.Sequential):
    """3×3 convolution without bias, batch normalisation, GELU (paper, section 3.4)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.GELU(),
        )


class GlobalMaxPool(nn.Module):
    """``(batch, channels, height, width)`` to the maxima ``(batch, channels, 1, 1)``.

    Equal maxima share the gradient. ``nn.AdaptiveMaxPool2d(1)`` gives it all to the first, but lets
    one of 256 threads of a GPU work, and its gradient there varies from run to run.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The largest of each map."""
        return x.amax((2, 3), keepdim=True)


class ChannelAttention(nn.Module):
    """Weights in (0, 1) per channel, shape ``(batch, channels, 1, 1)`` (equation 4)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        reduced = max(1, channels // CHANNEL_REDUCTION)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, reduced, 1, bias=False),
            nn.GELU(),
            nn.Conv2d(reduced, channels, 1, bias=False),
        )
        self.average_pool = nn.AdaptiveAvgPool2d(1)
        self.max_pool = GlobalMaxPool()
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """From mean and maximum over the positions of ``(batch, channels, height, width)``."""
        return self.weights(self.average_pool(x), self.max_pool(x))

    def weights(self, average: Tensor, maximum: Tensor) -> Tensor:
        """The same from the pooled maps, both of that shape."""
        return self.sigmoid(self.mlp(average) + self.mlp(maximum))


class SpatialAttention(nn.Module):
    """Weights in (0, 1) per position, shape ``(batch, 1, height, width)`` (equation 5)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, SPATIAL_KERNEL, padding=SPATIAL_KERNEL // 2, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """From mean and maximum over the channels of ``(batch, channels, height, width)``."""
        pooled = [x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)]
        return self.weights(torch.cat(pooled, dim=1))

    def weights(self, pooled: Tensor) -> Tensor:
        """The same from mean and maximum over the channels, ``(batch, 2, height, width)``."""
        return self.sigmoid(self.conv(pooled))


class CBAM(nn.Module):
    """Channel attention, then spatial attention (equation 3).

    The residual connection around both is in the released implementation and not in equation 3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel = ChannelAttention(channels)
        self.spatial = SpatialAttention()

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with both attentions, added to ``x``; the same shape."""
        # On a CPU the gradient written out, of all weights, is quicker (reports/benchmarks.md).
        whole = x.requires_grad and all(p.requires_grad for p in self.parameters())
        if whole and not x.is_cuda:
            return attend(x, self.channel, self.spatial)
        return self.plain(x)

    def plain(self, x: Tensor) -> Tensor:
        """The same, with the gradient left to automatic differentiation."""
        attended = self.channel(x) * x
        return torch.addcmul(x, attended, self.spatial(attended))


class SqueezeExcitation(nn.Module):
    """Channel weights from average-pooled features; MBConv's attention (paper, section 3.1).

    ``reduced`` is a quarter of the block's input channels, not of the expanded ones.
    """

    def __init__(self, channels: int, reduced: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mlp = nn.Sequential(
            nn.Linear(channels, reduced, bias=False),
            nn.GELU(),
            nn.Linear(reduced, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``x`` times the weights of its channels; the same shape."""
        return x * self.mlp(self.pool(x).flatten(1))[:, :, None, None]


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, attention, project, around a skip path (paper, figure 1).

    With ``stride`` 2 the expansion strides, and the skip path is a 3×3 max-pool and a 1×1
    convolution; with stride 1 it is the identity, so ``in_channels`` must equal ``out_channels``.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, attention: nn.Module
    ) -> None:
        super().__init__()
        if stride == 1 and in_channels != out_channels:
            raise ValueError("a block of stride 1 keeps the number of channels")
        hidden = in_channels * EXPANSION
        self.skip = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(
                nn.MaxPool2d(3, stride, padding=1),
                nn.Conv2d(in_channels, out_channels, 1, bias=False),
            )
        )
        self.main = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, hidden, 1, stride, bias=False),
            nn.BatchNorm2d(hidden),
            nn.GELU(),
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.GELU(),
            attention,
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both paths, ``out_channels`` maps of 1/``stride`` of the height and width."""
        return self.skip(x) + self.main(x)


class MBCSA(InvertedResidual):
    """The paper's block: an inverted residual with CBAM (section 3.3)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__(in_channels, out_channels, stride, CBAM(in_channels * EXPANSION))


class MBConv(InvertedResidual):
    """What it is compared with in Table 6: an inverted residual with squeeze-and-excitation."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        attention = SqueezeExcitation(in_channels * EXPANSION, max(1, in_channels // 4))
        super().__init__(in_channels, out_channels, stride, attention)


BLOCKS: dict[str, Callable[[int, int, int], InvertedResidual]] = {"mbcsa": MBCSA, "mbconv": MBConv}
STEM_STRIDES = (2, 4)
# oneDNN writes past its memory in strided 1×1 convolutions of 2 to 6 channels (its issue 6035).
CHANNEL_MULTIPLE = 8


@dataclass(frozen=True, kw_only=True)
class StageSizes:
    """Sizes of the convolutional stages; defaults are the paper's (Table 1).

    ``block`` is one of ``BLOCKS``, ``stem_stride`` of ``STEM_STRIDES``; ``channels`` and ``depths``
    (stem blocks, then blocks) are one per stage.
    """

    block: str = "mbcsa"
    stem_stride: int = 2
    # Table 1 prints 128 for the second stage; only 96 gives its own parameter and FLOP figures.
    channels: tuple[int, int, int] = (64, 96, 192)
    depths: tuple[int, int, int]


class ConvolutionalStages(nn.Module):
    """The three stages that teacher and student share (paper, section 3.4, Table 1).

    Maps images ``(batch, in_channels, size, size)`` to three maps of ``channels[j]`` channels and
    sizes ``size / stem_stride`` times 1, 1/2 and 1/4. Raises ``ValueError`` for an unknown
    ``block`` or ``stem_stride``, and for ``channels`` that are not multiples of 8.
    """

    def __init__(self, in_channels: int, sizes: StageSizes) -> None:
        super().__init__()
        if sizes.block not in BLOCKS:
            raise ValueError(f"block must be one of {', '.join(BLOCKS)}, not {sizes.block!r}")
        if sizes.stem_stride not in STEM_STRIDES:
            raise ValueError(f"stem_stride must be 2 or 4, not {sizes.stem_stride}")
        if any(count % CHANNEL_MULTIPLE for count in sizes.channels):
            given = ", ".join(map(str, sizes.channels))
            raise ValueError(f"channels must be multiples of {CHANNEL_MULTIPLE}, not {given}")
        block, channels, depths = BLOCKS[sizes.block], sizes.channels, sizes.depths
        stem = [StemBlock(in_channels, channels[0], sizes.stem_stride)]
        stem += [StemBlock(channels[0], channels[0]) for _ in range(depths[0] - 1)]
        self.stages = nn.ModuleList([nn.Sequential(*stem)])
        for j in (1, 2):
            blocks = [block(channels[j - 1], channels[j], 2)]
            blocks += [block(channels[j], channels[j], 1) for _ in range(depths[j] - 1)]
            self.stages.append(nn.Sequential(*blocks))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """The three maps, first stage first."""
        features = []
        for stage in self.stages:
            images = stage(images)
            features.append(images)
        return tuple(features)
