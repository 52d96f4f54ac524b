"""HDKD: hybrid data-efficient knowledge distillation for medical image classification."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdkd.api import distill, load

__version__ = "0.1.0"
__all__ = ["distill", "load"]


def __getattr__(name: str) -> Any:
    """What :mod:`hdkd.api` has, imported when it is asked for, because torch takes seconds."""
    if name in __all__:
        return getattr(importlib.import_module("hdkd.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
