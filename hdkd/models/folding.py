"""A frozen network with its normalisations folded into its convolutions."""

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def folded(model: nn.Module) -> nn.Module:
    """A copy of ``model`` for inference only: equal outputs up to rounding, fewer operations.

    In evaluation mode a batch normalisation is a fixed scale and shift per channel. One that follows
    a convolution is folded into it; so is one before a 1×1 convolution without padding, such as the
    first of each block (paper, figure 1).
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for sequence in [m for m in model.modules() if isinstance(m, nn.Sequential)]:
        for k in range(len(sequence) - 1):
            first, second = sequence[k], sequence[k + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                sequence[k], sequence[k + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
        for k in range(len(sequence) - 1):
            first, second = sequence[k], sequence[k + 1]
            if isinstance(first, nn.BatchNorm2d) and is_pointwise(second):
                sequence[k], sequence[k + 1] = nn.Identity(), after_norm(second, first)
    return model


def is_pointwise(layer: nn.Module) -> bool:
    """Whether a layer is a 1×1 convolution that pads nothing, which a shift passes unchanged."""
    if not isinstance(layer, nn.Conv2d):
        return False
    return layer.kernel_size == (1, 1) and layer.padding == (0, 0) and layer.groups == 1


def after_norm(layer: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """The 1×1 convolution that does what ``norm`` and then ``layer`` do."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    fused = copy.deepcopy(layer)
    bias = layer.weight[:, :, 0, 0] @ shift
    fused.bias = nn.Parameter(bias if layer.bias is None else bias + layer.bias, False)
    fused.weight = nn.Parameter(layer.weight * scale[None, :, None, None], False)
    return fused
