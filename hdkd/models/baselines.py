"""The baselines of the paper's Table 5: published networks, unchanged, from their libraries.

Their names and where they come from are in ``hdkd/study/names.py``. Each takes the profile's image
size. Below 224 pixels the last maps of most are only one or two pixels wide, so their order there
is not what it would be at the paper's size.
"""

from typing import Any

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
        """Logits only: a baseline gives no features."""
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
        network = build_from_timm(baseline.network, num_classes, image_size)
    else:
        from hdkd.models.pvt import PVTTiny

        network = PVTTiny(num_classes, image_size)
    return ImageNetwork(network)


def build_from_timm(network: str, num_classes: int, image_size: int) -> nn.Module:
    """Timm's ``network`` with random weights, for images of ``image_size`` pixels per side."""
    import timm
    from torchvision.transforms import Resize

    options: dict[str, Any] = {}
    side = image_size
    if network.startswith("crossvit"):
        options = crossvit_sizes(image_size)
    elif network.startswith("coatnet"):
        # Its attention learns one bias per relative position and needs maps without remainder.
        side = -(-image_size // 32) * 32
        options = {"img_size": side}
    built = timm.create_model(network, pretrained=False, num_classes=num_classes, **options)
    return built if side == image_size else nn.Sequential(Resize(side), built)


def crossvit_sizes(image_size: int) -> dict[str, Any]:
    """The sizes at which CrossViT's two branches see the image, to which it resizes by itself.

    They cut patches of 12 and of 16 pixels: from 240 and 224 pixels for the paper's 224, and from
    the nearest whole numbers of patches otherwise.
    """
    fine = 12 * max(1, round(image_size * 240 / 224 / 12))
    coarse = 16 * max(1, round(image_size / 16))
    return {"img_size": fine, "img_scale": (1.0, (coarse + 0.5) / fine)}
