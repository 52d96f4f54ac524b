"""Names: of groups of runs, of networks, and what people call these."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Baseline:
    """A published network: ``title`` and ``family`` as Table 5 prints them.

    ``network`` is its name in ``library``, which is ``torchvision``, ``timm``, or ``hdkd`` where it
    is built here from its own paper.
    """

    title: str
    family: str
    library: str
    network: str


BASELINES = {
    "mobilenet_v2": Baseline("MobileNetV2", "ConvNet", "torchvision", "mobilenet_v2"),
    "mobilenet_v3_large": Baseline("MobileNetV3-L", "ConvNet", "torchvision", "mobilenet_v3_large"),
    "efficientnet_b0": Baseline("EfficientNetB0", "ConvNet", "torchvision", "efficientnet_b0"),
    "pvt_tiny": Baseline("PVT-Tiny", "ViT", "hdkd", "pvt_tiny"),
    "crossvit_tiny": Baseline("CrossViT-Ti", "ViT", "timm", "crossvit_tiny_240"),
    "mobilevit_s": Baseline("MobileViT-S", "Hybrid", "timm", "mobilevit_s"),
    "pvt_v2_b0": Baseline("PVTv2-B0", "Hybrid", "timm", "pvt_v2_b0"),
    "coatnet_0": Baseline("CoAtNet-0", "Hybrid", "timm", "coatnet_0_rw_224"),
}
GROUPS = ("teacher", "tuning", "students", "ablations", "baselines", "methods")
ROLES = ("teacher", "student", "hdkd", "hybrid", "vit")
ROLE_NAMES = {"teacher": "Teacher", "student": "Student alone", "hdkd": "HDKD"}
# The students of the methods, which are taught in one way or another.
NETWORKS = {"hybrid": "Hybrid student", "vit": "Plain ViT"}
BLOCK_NAMES = {"mbcsa": "MBCSA", "mbconv": "MBConv"}
FAMILIES = {
    "teacher": "ConvNet",
    "student": "Hybrid",
    "hdkd": "Hybrid",
    "hybrid": "Hybrid",
    "vit": "ViT",
}


def model_name(role: str) -> str:
    """``Teacher``, or the name of a baseline as Table 5 prints it."""
    return (ROLE_NAMES | NETWORKS).get(role) or BASELINES[role].title


def family(role: str) -> str:
    """``ConvNet``, ``ViT`` or ``Hybrid``, as Table 5 sorts them."""
    return FAMILIES.get(role) or BASELINES[role].family


def network_name(role: str, block: str = "", stem_stride: int = 0) -> str:
    """``HDKD (MBConv, stride 2)``."""
    name = model_name(role)
    return f"{name} ({BLOCK_NAMES[block]}, stride {stem_stride})" if block else name
