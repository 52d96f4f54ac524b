"""Weights in half precision: the form in which models travel and teachers teach."""

import torch
from safetensors.torch import load, save


def in_half_precision(weights: bytes) -> bytes:
    """Weights as safetensors, with every float32 tensor as float16."""
    tensors = load(weights)
    return save({n: t.half() if t.dtype == torch.float32 else t for n, t in tensors.items()})
