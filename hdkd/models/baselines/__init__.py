"""The baselines of the paper's Table 5: published networks, unchanged, from their libraries.

Their names and where they come from are in ``hdkd/study/names.py``. Each takes the profile's image
size. Below 224 pixels the last maps of most are only one or two pixels wide, so their order there
is not what it would be at the paper's size.
"""

from torch import Tensor, nn

from hdkd.models.output import ImageModel, Output
from hdkd.study.names import BASELINES


class ImageNetwork(ImageModel):
    """A network made for three channels, for images ``(batch, 1 or 3, size, size)``.

    A grey image is repeated in all three, so that the network stays the published one.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Output:
        return Output(self.network(images.expand(-1, 3, -1, -1)))


def build_baseline(name: str, num_classes: int, image_size: int, in_channels: int) -> ImageNetwork:
    """A baseline with random weights. Raises ``ValueError`` for ``in_channels`` but 1 and 3."""
    if in_channels not in (1, 3):
        raise ValueError(f"{name} takes images with 1 or 3 channels, not {in_channels}")
    # The libraries are slow to import, and no other network needs them.
    baseline = BASELINES[name]
    if baseline.library == "torchvision":
        from torchvision.models import get_model

        network = get_model(baseline.network, weights=None, num_classes=num_classes)
    elif baseline.library == "timm":
        from hdkd.models.baselines.from_timm import build_from_timm

        network = build_from_timm(baseline.network, num_classes, image_size)
    else:
        from hdkd.models.baselines.pvt import PVTTiny

        network = PVTTiny(num_classes, image_size)
    return ImageNetwork(network)
