"""PVT-Tiny, the first pyramid vision transformer (Wang et al., ICCV 2021, arXiv:2102.12122).

Built here from its paper, because the libraries used for the other baselines have only its
successor. 13.2 M parameters with 1000 classes, as that paper's Table 2 prints.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Table 1 of the PVT paper, column PVT-Tiny, one value per stage.
PATCH_SIZES = (4, 2, 2, 2)
WIDTHS = (64, 128, 320, 512)
DEPTHS = (2, 2, 2, 2)
HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)
EXPANSIONS = (8, 8, 4, 4)
DEVIATION = 0.02


class SpatialReductionAttention(nn.Module):
    """Multi-head attention whose keys and values come from a map ``reduction`` times smaller.

    Equations 1 to 3 of the PVT paper; tokens are ``(batch, height × width [+ 1], dim)``.
    """

    def __init__(self, dim: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.out = nn.Linear(dim, dim)
        self.reduce = nn.Conv2d(dim, dim, reduction, reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(dim, eps=1e-6) if reduction > 1 else None

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Tokens to tokens of the same shape; ``height`` and ``width`` are those of their map."""
        batch, tokens, dim = x.shape
        query = self.query(x).view(batch, tokens, self.heads, -1).transpose(1, 2)
        source = x
        if self.reduce is not None and self.norm is not None:
            source = self.reduce(x.transpose(1, 2).reshape(batch, dim, height, width))
            source = self.norm(source.flatten(2).transpose(1, 2))
        key_value = self.key_value(source).view(batch, -1, 2, self.heads, dim // self.heads)
        key, value = key_value.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.out(attended.transpose(1, 2).reshape(batch, tokens, dim))


class EncoderLayer(nn.Module):
    """Attention, then a two-layer perceptron, each normalised before and with a residual path."""

    def __init__(self, dim: int, heads: int, reduction: int, expansion: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attention = SpatialReductionAttention(dim, heads, reduction)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(dim, expansion * dim), nn.GELU(), nn.Linear(expansion * dim, dim)
        )

    def forward(self, x: Tensor, height: int, width: int) -> Tensor:
        """Tokens to tokens of the same shape."""
        x = x + self.attention(self.norm1(x), height, width)
        return x + self.mlp(self.norm2(x))


class Stage(nn.Module):
    """Patch embedding, positions and encoder layers: a map to a smaller one, or to its class token.

    The last stage (``classifies``) puts a class token before its patches and returns that token
    ``(batch, width)``; the others return maps ``(batch, width, size / patch, size / patch)``.
    """

    def __init__(self, index: int, in_channels: int, size: int, classifies: bool) -> None:
        super().__init__()
        width, patch = WIDTHS[index], PATCH_SIZES[index]
        self.embed = nn.Conv2d(in_channels, width, patch, patch)
        self.norm = nn.LayerNorm(width)
        self.token = nn.Parameter(torch.zeros(1, 1, width)) if classifies else None
        self.positions = nn.Parameter(torch.zeros(1, (size // patch) ** 2 + classifies, width))
        self.layers = nn.ModuleList(
            EncoderLayer(width, HEADS[index], REDUCTIONS[index], EXPANSIONS[index])
            for _ in range(DEPTHS[index])
        )

    def forward(self, x: Tensor) -> Tensor:
        """A map ``(batch, in_channels, size, size)`` to what the class says."""
        x = self.embed(x)
        batch, width, rows, columns = x.shape
        x = self.norm(x.flatten(2).transpose(1, 2))
        if self.token is not None:
            x = torch.cat([self.token.expand(batch, -1, -1), x], dim=1)
        x = x + self.positions
        for layer in self.layers:
            x = layer(x, rows, columns)
        if self.token is not None:
            return x[:, 0]
        return x.transpose(1, 2).reshape(batch, width, rows, columns)


class PVTTiny(nn.Module):
    """Maps ``(batch, 3, image_size, image_size)`` to logits ``(batch, num_classes)``.

    Raises ``ValueError`` for an ``image_size`` below 32 pixels: the last stage has no patch then.
    """

    def __init__(self, num_classes: int, image_size: int) -> None:
        super().__init__()
        if image_size < 32:
            raise ValueError(f"pvt_tiny needs images of at least 32 pixels, not {image_size}")
        stages: list[Stage] = []
        channels, size = 3, image_size
        for index, patch in enumerate(PATCH_SIZES):
            stages.append(Stage(index, channels, size, classifies=index == 3))
            channels, size = WIDTHS[index], size // patch
        self.stages = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.head = nn.Linear(channels, num_classes)
        self.apply(initialise)
        for stage in stages:
            nn.init.trunc_normal_(stage.positions, std=DEVIATION)
            if stage.token is not None:
                nn.init.trunc_normal_(stage.token, std=DEVIATION)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of the last stage's class token."""
        return self.head(self.norm(self.stages(images)))


def initialise(module: nn.Module) -> None:
    """Truncated normal weights, as usual for vision transformers."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=DEVIATION)
        nn.init.zeros_(module.bias)
