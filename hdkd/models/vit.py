"""A plain vision transformer (Dosovitskiy et al., 2021); with two heads, DeiT (Touvron et al.).

Most methods of distillation were made for it. Its patches are as many, and its tokens as wide, as
the hybrid student's, so that it differs in having no convolutional stages.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from hdkd.models.output import ImageModel, Output, in_float32


@dataclass(frozen=True, kw_only=True)
class ViTSizes:
    """``patch_pixels`` is the side of a patch; the rest as in ``StudentSizes``."""

    patch_pixels: int
    layers: int
    embed_dim: int
    heads: int


class PlainViT(ImageModel):
    """Timm's vision transformer, with a class token or with that and a distillation token.

    Maps ``(batch, in_channels, image_size, image_size)`` to an ``Output`` without features. Raises
    ``ValueError`` for an ``image_size`` that is not a multiple of the patch.
    """

    def __init__(
        self, num_classes: int, image_size: int, in_channels: int, sizes: ViTSizes, predicting: str
    ) -> None:
        super().__init__()
        # Slow to import, and no other network of ours needs it.
        from timm.models.deit import VisionTransformerDistilled
        from timm.models.vision_transformer import VisionTransformer

        if image_size % sizes.patch_pixels:
            raise ValueError(
                f"image_size must be a multiple of the patch, {sizes.patch_pixels} pixels, "
                f"not {image_size}"
            )
        self.predicting = predicting
        two = predicting != "class"
        self.transformer = (VisionTransformerDistilled if two else VisionTransformer)(
            img_size=image_size,
            patch_size=sizes.patch_pixels,
            in_chans=in_channels,
            num_classes=0,
            embed_dim=sizes.embed_dim,
            depth=sizes.layers,
            num_heads=sizes.heads,
        )
        self.class_head = nn.Linear(sizes.embed_dim, num_classes)
        self.distillation_head = nn.Linear(sizes.embed_dim, num_classes) if two else None

    def forward(self, images: Tensor) -> Output:
        """Logits of the first token, and of the second if there is one; the patches' tokens."""
        given: Any = self.transformer.forward_intermediates(images, output_fmt="NLC")
        tokens, layers = given
        logits = in_float32(self.class_head, tokens[:, 0])
        special = 1 if self.distillation_head is None else 2
        second = None if special == 1 else self.classify(tokens[:, 1])
        return Output(logits, second, (), tuple(layers), tokens[:, special:])

    def classify(self, vectors: Tensor) -> Tensor:
        """Logits ``(…, classes)`` of tokens ``(…, embed_dim)``, by the head that is taught."""
        return in_float32(self.distillation_head or self.class_head, vectors)
