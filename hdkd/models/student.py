"""The hybrid student and HDKD (paper, sections 3.2 and 3.4, Tables 1 and 2).

Convolutional stages, which are the teacher's, too; then the distilled feature-level transformer.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.models.blocks import ConvolutionalStages, StageSizes
from hdkd.models.output import ImageModel, Output, in_float32

MLP_EXPANSION = 4


@dataclass(frozen=True, kw_only=True)
class StudentSizes(StageSizes):
    """The student's and HDKD's sizes; defaults are the paper's, which have 3.7 M parameters.

    ``patch_size`` counts positions of the last stage, ``layers`` those of the transformer, whose
    tokens have ``embed_dim`` numbers and whose attention has ``heads`` of ``head_dim`` numbers.
    """

    depths: tuple[int, int, int] = (2, 2, 3)
    patch_size: int = 2
    layers: int = 3
    embed_dim: int = 256
    heads: int = 8
    head_dim: int = 32


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
        """Softmax(QKᵀ / √head_dim) V of all heads, projected back to ``dim``."""
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
        """``(batch, tokens, dim)`` to the same shape."""
        x = x + self.attention(x)
        return x + self.mlp(x)


class DFLT(nn.Module):
    """Distilled feature-level transformer: a map ``(batch, channels, side, side)`` to tokens.

    They are ``(batch, tokens, embed_dim)``, of which the first ``special`` belong to no patch: the
    class token, and HDKD's distillation token. ``side`` must be a multiple of the patch size.
    """

    def __init__(self, side: int, sizes: StudentSizes, special: int) -> None:
        super().__init__()
        self.special = special
        self.patch_size, dim = sizes.patch_size, sizes.embed_dim
        patch_dim = sizes.channels[2] * sizes.patch_size**2
        self.embed = nn.Sequential(
            nn.LayerNorm(patch_dim), nn.Linear(patch_dim, dim), nn.LayerNorm(dim)
        )
        patches = (side // sizes.patch_size) ** 2
        self.tokens = nn.Parameter(torch.randn(1, special, dim))
        self.positions = nn.Parameter(torch.randn(1, special + patches, dim))
        self.layers = nn.Sequential(
            *(TransformerLayer(dim, sizes.heads, sizes.head_dim) for _ in range(sizes.layers))
        )
        self.norm = nn.LayerNorm(dim)

    def patches(self, x: Tensor) -> Tensor:
        """``(batch, channels, side, side)`` to ``(batch, patches, patch² × channels)``."""
        batch, channels, height, width = x.shape
        p = self.patch_size
        x = x.view(batch, channels, height // p, p, width // p, p)
        return x.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, p * p * channels)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Embed patches, put the special tokens before them, add positions, apply the layers.

        Returns all tokens, normalised, and the patches' tokens after each layer.
        """
        patches = self.embed(self.patches(x))
        tokens = torch.cat([self.tokens.expand(len(x), -1, -1), patches], dim=1) + self.positions
        after = []
        for layer in self.layers:
            tokens = layer(tokens)
            after.append(tokens[:, self.special :])
        return self.norm(tokens), tuple(after)


class Student(ImageModel):
    """The hybrid student: convolutional stages, the transformer, a head on the class token.

    Maps ``(batch, in_channels, image_size, image_size)`` to an ``Output``. Raises ``ValueError``
    for an ``image_size`` that is not a multiple of 4 × ``stem_stride`` × ``patch_size``, and as
    ``ConvolutionalStages`` does.
    """

    special_tokens = 1

    def __init__(
        self, num_classes: int, image_size: int, in_channels: int, sizes: StudentSizes
    ) -> None:
        super().__init__()
        reduction = 4 * sizes.stem_stride
        if image_size % (reduction * sizes.patch_size):
            raise ValueError(
                f"image_size must be a multiple of {reduction * sizes.patch_size} "
                f"(4 × stem stride × patch size), not {image_size}"
            )
        self.convolutions = ConvolutionalStages(in_channels, sizes)
        self.transformer = DFLT(image_size // reduction, sizes, self.special_tokens)
        self.class_head = nn.Linear(sizes.embed_dim, num_classes)

    def forward(self, images: Tensor) -> Output:
        """Logits of the first token, the features of the three stages, and the patches' tokens."""
        features = self.convolutions(images)
        tokens, layers = self.transformer(features[-1])
        logits = in_float32(self.class_head, tokens[:, 0])
        return Output(logits, None, features, layers, tokens[:, self.special_tokens :])

    def classify(self, vectors: Tensor) -> Tensor:
        """Logits ``(…, classes)`` of tokens ``(…, embed_dim)``."""
        return in_float32(self.class_head, vectors)


class HDKD(Student):
    """The student with a second token and a head on it, which the teacher trains (paper, Table 2).

    The paper predicts with the mean of ``both`` heads (section 3.4).
    """

    special_tokens = 2

    def __init__(
        self,
        num_classes: int,
        image_size: int,
        in_channels: int,
        sizes: StudentSizes,
        predicting: str,
    ) -> None:
        super().__init__(num_classes, image_size, in_channels, sizes)
        self.predicting = predicting
        self.distillation_head = nn.Linear(sizes.embed_dim, num_classes)

    def forward(self, images: Tensor) -> Output:
        """As the student's, with the logits of the second token."""
        features = self.convolutions(images)
        tokens, layers = self.transformer(features[-1])
        logits = in_float32(self.class_head, tokens[:, 0])
        second = self.classify(tokens[:, 1])
        return Output(logits, second, features, layers, tokens[:, self.special_tokens :])

    def classify(self, vectors: Tensor) -> Tensor:
        """Logits ``(…, classes)`` of tokens ``(…, embed_dim)``, by the head that is taught."""
        return in_float32(self.distillation_head, vectors)
