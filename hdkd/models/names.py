"""Names of networks as people read them."""

from hdkd.models.baselines import BASELINES

ROLE_NAMES = {"teacher": "Teacher", "student": "Student alone", "hdkd": "HDKD"}
BLOCK_NAMES = {"mbcsa": "MBCSA", "mbconv": "MBConv"}
FAMILIES = {"teacher": "ConvNet", "student": "Hybrid", "hdkd": "Hybrid"}


def model_name(role: str) -> str:
    """``Teacher``, or the name of a rival as Table 5 prints it."""
    return ROLE_NAMES.get(role) or BASELINES[role].title


def family(role: str) -> str:
    """``ConvNet``, ``ViT`` or ``Hybrid``, as Table 5 sorts them."""
    return FAMILIES.get(role) or BASELINES[role].family


def network_name(role: str, block: str = "", stem_stride: int = 0) -> str:
    """``HDKD (MBConv, stride 2)``."""
    name = model_name(role)
    return f"{name} ({BLOCK_NAMES[block]}, stride {stem_stride})" if block else name
