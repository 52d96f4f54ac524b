"""The rivals of the paper's Table 5 by name: published networks, unchanged, from their libraries.

Each takes the profile's image size. Below 224 pixels the last maps of most are only one or two pixels
wide, so their order there is not what it would be at the paper's size.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Baseline:
    """Where a published network comes from, and who builds it."""

    source: str
    build: Callable[[int, int], nn.Module]


class ImageNetwork(nn.Module):
    """A network made for three channels, for images ``(batch, 1 or 3, size, size)``.

    A grey image is repeated in all three, so that the network stays the published one. ``forward``
    and ``predict`` give logits ``(batch, num_classes)``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.expand(-1, 3, -1, -1))

    def predict(self, images: Tensor) -> Tensor:
        return self(images)


def _torchvision(name: str) -> Callable[[int, int], nn.Module]:
    def build(num_classes: int, image_size: int) -> nn.Module:
        from torchvision.models import get_model

        return get_model(name, weights=None, num_classes=num_classes)

    return build


def _timm(name: str) -> Callable[[int, int], nn.Module]:
    def build(num_classes: int, image_size: int) -> nn.Module:
        import timm

        return timm.create_model(name, pretrained=False, num_classes=num_classes)

    return build


def _crossvit(num_classes: int, image_size: int) -> nn.Module:
    # Its two branches cut 12- and 16-pixel patches from the image at two sizes, to which it resizes by
    # itself: 240 and 224 for the paper's 224, and the nearest whole numbers of patches otherwise.
    import timm

    fine = 12 * max(1, round(image_size * 240 / 224 / 12))
    coarse = 16 * max(1, round(image_size / 16))
    scales = (1.0, (coarse + 0.5) / fine)
    return timm.create_model(
        "crossvit_tiny_240",
        pretrained=False,
        num_classes=num_classes,
        img_size=fine,
        img_scale=scales,
    )


def _coatnet(num_classes: int, image_size: int) -> nn.Module:
    # Its attention learns one bias per relative position and wants whole maps: multiples of 32 pixels.
    import timm
    from torchvision.transforms import Resize

    side = -(-image_size // 32) * 32
    network = timm.create_model(
        "coatnet_0_rw_224", pretrained=False, num_classes=num_classes, img_size=side
    )
    return network if side == image_size else nn.Sequential(Resize(side), network)


def _pvt_tiny(num_classes: int, image_size: int) -> nn.Module:
    from hdkd.models.pvt import PVTTiny

    return PVTTiny(num_classes, image_size)


BASELINES: dict[str, Baseline] = {
    "mobilenet_v2": Baseline("torchvision", _torchvision("mobilenet_v2")),
    "mobilenet_v3_large": Baseline("torchvision", _torchvision("mobilenet_v3_large")),
    "efficientnet_b0": Baseline("torchvision", _torchvision("efficientnet_b0")),
    "pvt_tiny": Baseline("built here from its paper", _pvt_tiny),
    "crossvit_tiny": Baseline("timm crossvit_tiny_240", _crossvit),
    "mobilevit_s": Baseline("timm", _timm("mobilevit_s")),
    "pvt_v2_b0": Baseline("timm", _timm("pvt_v2_b0")),
    "coatnet_0": Baseline("timm coatnet_0_rw_224", _coatnet),
}


def build_baseline(name: str, num_classes: int, image_size: int, in_channels: int) -> ImageNetwork:
    """A rival with random weights. Raises ``ValueError`` for ``in_channels`` other than 1 and 3."""
    if in_channels not in (1, 3):
        raise ValueError(f"{name} takes images with 1 or 3 channels, not {in_channels}")
    return ImageNetwork(BASELINES[name].build(num_classes, image_size))
