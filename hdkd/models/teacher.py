"""The convolutional teacher (paper, section 3.4 and Table 1)."""

from dataclasses import dataclass

from torch import Tensor, nn

from hdkd.models.blocks import ConvolutionalStages, StageSizes
from hdkd.models.output import ImageModel, Output, in_float32


@dataclass(frozen=True, kw_only=True)
class TeacherSizes(StageSizes):
    """The teacher's sizes; defaults are the paper's, which have 3.95 M parameters."""

    depths: tuple[int, int, int] = (6, 6, 9)
    head_width: int = 128


class Teacher(ImageModel):
    """Three convolutional stages, global average pooling and two linear layers.

    Maps ``(batch, in_channels, size, size)`` of any size to an ``Output``. Raises ``ValueError`` as
    ``ConvolutionalStages`` does.
    """

    def __init__(self, num_classes: int, in_channels: int, sizes: TeacherSizes) -> None:
        super().__init__()
        self.convolutions = ConvolutionalStages(in_channels, sizes)
        self.pool = nn.AdaptiveAvgPool2d(1)
        # The released implementation has no activation between these two.
        self.head = nn.Sequential(
            nn.Linear(sizes.channels[2], sizes.head_width),
            nn.Linear(sizes.head_width, num_classes),
        )

    def forward(self, images: Tensor) -> Output:
        """Logits from the mean over the last stage's positions, and the features of all three."""
        features = self.convolutions(images)
        logits = in_float32(self.head, self.pool(features[-1]).flatten(1))
        return Output(logits, features=features)

    def classify(self, vectors: Tensor) -> Tensor:
        """Logits ``(…, classes)`` of vectors ``(…, channels)`` of the last stage.

        The head is affine: the mean of its logits over positions are those of the whole image.
        """
        return in_float32(self.head, vectors)
