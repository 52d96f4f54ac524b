"""The hybrid student and HDKD: shared convolutional stages, then the distilled feature-level
transformer (DFLT; paper, sections 3.2 and 3.4, Tables 1 and 2)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.models.blocks import ConvolutionalStages

MLP_EXPANSION = 4


class SelfAttention(nn.Module):
    """Pre-normalised multi-head self-attention (equation 1) over ``(batch, tokens, dim)``."""

    def __init__(self, dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_dim = head_dim
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * heads * head_dim, bias=False)
        self.out = nn.Linear(heads * head_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, tokens, 3, self.heads, self.head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.out(attended.transpose(1, 2).reshape(batch, tokens, -1))


class TransformerLayer(nn.Module):
    """Self-attention and a two-layer perceptron, each with a residual connection (equation 2).

    The perceptron has no normalisation of its own in the released implementation, which equation 2
    shows; parameter counts agree with the released form only.
    """

    def __init__(self, dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        self.attention = SelfAttention(dim, heads, head_dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, MLP_EXPANSION * dim), nn.GELU(), nn.Linear(MLP_EXPANSION * dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(x)
        return x + self.mlp(x)


class DFLT(nn.Module):
    """Distilled feature-level transformer: a map ``(batch, channels, side, side)`` to tokens.

    Returns ``(batch, tokens, dim)`` of which token 0 is the class token and, with ``distilled``,
    token 1 the distillation token. ``side`` must be a multiple of ``patch_size``.
    """

    def __init__(
        self,
        channels: int,
        side: int,
        patch_size: int,
        dim: int,
        layers: int,
        heads: int,
        head_dim: int,
        distilled: bool,
    ) -> None:
        super().__init__()
        self.patch_size = patch_size
        patch_dim = channels * patch_size**2
        special = 2 if distilled else 1
        self.embed = nn.Sequential(
            nn.LayerNorm(patch_dim), nn.Linear(patch_dim, dim), nn.LayerNorm(dim)
        )
        self.tokens = nn.Parameter(torch.randn(1, special, dim))
        self.positions = nn.Parameter(torch.randn(1, special + (side // patch_size) ** 2, dim))
        self.layers = nn.Sequential(
            *(TransformerLayer(dim, heads, head_dim) for _ in range(layers))
        )
        self.norm = nn.LayerNorm(dim)

    def patches(self, x: Tensor) -> Tensor:
        """``(batch, channels, side, side)`` to ``(batch, patches, patch² × channels)``."""
        batch, channels, height, width = x.shape
        p = self.patch_size
        x = x.view(batch, channels, height // p, p, width // p, p)
        return x.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, p * p * channels)

    def forward(self, x: Tensor) -> Tensor:
        patches = self.embed(self.patches(x))
        tokens = torch.cat([self.tokens.expand(len(x), -1, -1), patches], dim=1)
        return self.norm(self.layers(tokens + self.positions))


class Student(nn.Module):
    """The hybrid student; with ``distilled`` it is HDKD (paper, Table 2).

    ``forward`` maps ``(batch, in_channels, size, size)`` to logits ``(batch, num_classes)``, or for
    HDKD to the pair (class logits, distillation logits), in training and evaluation alike. With
    ``return_features`` it returns ``(logits, [stage 1, stage 2, stage 3])`` from the same pass.
    ``predict`` gives what inference uses: the logits, for HDKD the mean of the pair (section 3.4), or
    with ``predicting`` ``class`` or ``distillation`` that one of the two.
    """

    def __init__(
        self,
        num_classes: int,
        image_size: int,
        in_channels: int,
        channels: tuple[int, int, int],
        depths: tuple[int, int, int],
        block: str,
        stem_stride: int,
        layers: int,
        patch_size: int,
        embed_dim: int,
        heads: int,
        head_dim: int,
        distilled: bool,
        predicting: str,
    ) -> None:
        super().__init__()
        reduction = 4 * stem_stride
        if image_size % (reduction * patch_size):
            raise ValueError(
                f"image_size must be a multiple of {reduction * patch_size} "
                f"(4 × stem stride × patch size), not {image_size}"
            )
        self.distilled = distilled
        self.predicting = predicting
        self.convolutions = ConvolutionalStages(in_channels, channels, depths, block, stem_stride)
        self.transformer = DFLT(
            channels[2],
            image_size // reduction,
            patch_size,
            embed_dim,
            layers,
            heads,
            head_dim,
            distilled,
        )
        self.class_head = nn.Linear(embed_dim, num_classes)
        self.distillation_head = nn.Linear(embed_dim, num_classes) if distilled else None

    def forward(self, images: Tensor, return_features: bool = False):
        features = self.convolutions(images)
        tokens = self.transformer(features[-1])
        logits = self.class_head(tokens[:, 0])
        if self.distillation_head is not None:
            logits = (logits, self.distillation_head(tokens[:, 1]))
        return (logits, features) if return_features else logits

    def predict(self, images: Tensor) -> Tensor:
        """Logits for prediction, shape ``(batch, num_classes)``."""
        return self.combine(self(images))

    def combine(self, logits: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """The logits that predict, from what ``forward`` returns."""
        if isinstance(logits, Tensor):
            return logits
        if self.predicting == "both":
            return (logits[0] + logits[1]) / 2
        return logits[0] if self.predicting == "class" else logits[1]
