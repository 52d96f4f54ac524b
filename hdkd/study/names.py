"""Names: of groups of trainings and of networks, and how people read these."""

GROUPS = ("teacher", "tuning", "students", "ablations", "baselines")
ROLES = ("teacher", "student", "hdkd")

ROLE_NAMES = {"teacher": "Teacher", "student": "Student alone", "hdkd": "HDKD"}
BLOCK_NAMES = {"mbcsa": "MBCSA", "mbconv": "MBConv"}
FAMILIES = {"teacher": "ConvNet", "student": "Hybrid", "hdkd": "Hybrid"}
# The rivals and their families as Table 5 prints them.
RIVALS = {
    "mobilenet_v2": ("MobileNetV2", "ConvNet"),
    "mobilenet_v3_large": ("MobileNetV3-L", "ConvNet"),
    "efficientnet_b0": ("EfficientNetB0", "ConvNet"),
    "pvt_tiny": ("PVT-Tiny", "ViT"),
    "crossvit_tiny": ("CrossViT-Ti", "ViT"),
    "mobilevit_s": ("MobileViT-S", "Hybrid"),
    "pvt_v2_b0": ("PVTv2-B0", "Hybrid"),
    "coatnet_0": ("CoAtNet-0", "Hybrid"),
}
BASELINES = tuple(RIVALS)


def model_name(role: str) -> str:
    """``Teacher``, or the name of a rival as Table 5 prints it."""
    return ROLE_NAMES.get(role) or RIVALS[role][0]


def family(role: str) -> str:
    """``ConvNet``, ``ViT`` or ``Hybrid``, as Table 5 sorts them."""
    return FAMILIES.get(role) or RIVALS[role][1]


def network_name(role: str, block: str = "", stem_stride: int = 0) -> str:
    """``HDKD (MBConv, stride 2)``."""
    name = model_name(role)
    return f"{name} ({BLOCK_NAMES[block]}, stride {stem_stride})" if block else name
