"""The convolutional teacher (paper, section 3.4 and Table 1)."""

from torch import Tensor, nn

from hdkd.models.blocks import ConvolutionalStages


class Teacher(nn.Module):
    """Three convolutional stages, global average pooling and two linear layers.

    ``forward`` maps ``(batch, in_channels, size, size)`` to logits ``(batch, num_classes)``; with
    ``return_features`` it returns ``(logits, [stage 1, stage 2, stage 3])`` from the same pass.
    """

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        channels: tuple[int, int, int],
        depths: tuple[int, int, int],
        block: str,
        stem_stride: int,
        head_width: int,
    ) -> None:
        super().__init__()
        self.convolutions = ConvolutionalStages(in_channels, channels, depths, block, stem_stride)
        self.pool = nn.AdaptiveAvgPool2d(1)
        # The released implementation has no activation between these two.
        self.head = nn.Sequential(
            nn.Linear(channels[2], head_width), nn.Linear(head_width, num_classes)
        )

    def forward(
        self, images: Tensor, return_features: bool = False
    ) -> Tensor | tuple[Tensor, list[Tensor]]:
        features = self.convolutions(images)
        logits = self.head(self.pool(features[-1]).flatten(1))
        return (logits, features) if return_features else logits

    def predict(self, images: Tensor) -> Tensor:
        """Logits for prediction, shape ``(batch, num_classes)``."""
        return self(images)
