"""Parameters and multiply-accumulates, counted as the paper's tables count them."""

from dataclasses import dataclass

import torch
from ptflops import get_model_complexity_info
from torch import nn


@dataclass(frozen=True)
class Complexity:
    """``parameters`` and ``macs`` (multiply-accumulates of one image), both as plain counts.

    The paper's "FLOPs" are ptflops' figure, which counts a multiply-accumulate once and adds
    normalisations and activations.
    """

    parameters: int
    macs: int


def complexity(model: nn.Module, image_size: int, in_channels: int = 3) -> Complexity:
    """Count ``model`` on one image of ``in_channels`` × ``image_size`` × ``image_size``."""
    with torch.inference_mode():
        macs, parameters = get_model_complexity_info(
            model.eval(),
            (in_channels, image_size, image_size),
            as_strings=False,
            print_per_layer_stat=False,
            backend="pytorch",
        )
    return Complexity(parameters=int(parameters), macs=int(macs))
