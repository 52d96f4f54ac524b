"""Parameters and multiply-accumulates, counted as the paper's tables count them.

The paper counts with ptflops, which does not see the two products of fused attention. The released
code writes its attention out, so the paper's figures have them for its own networks, and not for
most baselines.
"""

import copy
from dataclasses import dataclass
from typing import Any

import torch
from ptflops import get_model_complexity_info
from ptflops.pytorch_ops import MODULES_MAPPING
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from hdkd.models.blocks import GlobalMaxPool
from hdkd.models.student import SelfAttention


@dataclass(frozen=True)
class Complexity:
    """``parameters``, ``macs`` and ``unseen_macs`` of one image, all as plain counts.

    ``macs`` is the paper's "FLOPs": a multiply-accumulate counts once, and normalisations and
    activations are added. ``unseen_macs`` are products of activations in baselines, written as
    ``a @ b`` or as fused attention, that are not among them.
    """

    parameters: int
    macs: int
    unseen_macs: int


def complexity(model: nn.Module, image_size: int, in_channels: int = 3) -> Complexity:
    """Count ``model`` on one image of ``in_channels`` × ``image_size`` × ``image_size``."""
    shape = (in_channels, image_size, image_size)
    with torch.inference_mode():
        macs, parameters = get_model_complexity_info(
            model.eval(),
            shape,
            as_strings=False,
            print_per_layer_stat=False,
            backend="pytorch",
            custom_modules_hooks={GlobalMaxPool: count_max_pool},
        )
    # Shapes are all that the products need: tensors without data cost nothing to multiply.
    model = copy.deepcopy(model).to("meta").eval()
    products = AttentionProducts(model)
    with torch.inference_mode(), products:
        model(torch.empty(1, *shape, device="meta"))
    return Complexity(int(parameters), int(macs) + products.written_out, products.unseen)


def count_max_pool(module: Any, inputs: tuple[torch.Tensor, ...], _: torch.Tensor) -> None:
    """As ptflops counts the released code's pooling layer: that, and the function that it calls."""
    module.__flops__ += 2 * inputs[0].numel()


class AttentionProducts(TorchFunctionMode):
    """Counts what ptflops does not see in a forward pass.

    ``written_out`` is what it would count of our attention, had we written it out as the released
    code does: two products and a softmax. ``unseen`` are the products in baselines.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.written_out = 0
        self.unseen = 0
        # Modules that are running: our attention, and those that ptflops counts as one.
        self._ours: list[nn.Module] = []
        self._counted: list[nn.Module] = []
        for module in model.modules():
            if isinstance(module, SelfAttention):
                note_running(module, self._ours)
            elif type(module) in MODULES_MAPPING and list(module.children()):
                note_running(module, self._counted)

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is F.scaled_dot_product_attention:
            query, key, value = args[:3]
            scores = query.numel() // query.shape[-1] * key.shape[-2]
            products = scores * (query.shape[-1] + value.shape[-1])
            if self._ours:
                self.written_out += products + scores
            elif not self._counted:
                self.unseen += products
        elif func is torch.Tensor.matmul and not self._counted:
            # How ``a @ b`` arrives here; torch.matmul is another function, which ptflops sees.
            self.unseen += result.numel() * args[0].shape[-1]
        return result


def note_running(module: nn.Module, running: list[nn.Module]) -> None:
    """Have ``module`` in the list ``running`` during its forward passes."""

    def enter(*_: Any) -> None:
        running.append(module)

    def leave(*_: Any) -> None:
        running.pop()

    module.register_forward_pre_hook(enter)
    module.register_forward_hook(leave)
