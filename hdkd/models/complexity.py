"""Parameters and multiply-accumulates, counted as the paper's tables count them."""

import copy
from dataclasses import dataclass

import torch
from ptflops import get_model_complexity_info
from ptflops.pytorch_ops import MODULES_MAPPING
from torch import nn
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Complexity:
    """``parameters``, ``macs`` and ``unseen_macs`` of one image, all as plain counts.

    ``macs`` is ptflops' figure, the paper's "FLOPs": it counts a multiply-accumulate once and adds
    normalisations and activations. It does not see products of activations written as ``a @ b`` or as
    fused attention, as some rivals have them; those are ``unseen_macs``.
    """

    parameters: int
    macs: int
    unseen_macs: int


def complexity(model: nn.Module, image_size: int, in_channels: int = 3) -> Complexity:
    """Count ``model`` on one image of ``in_channels`` × ``image_size`` × ``image_size``."""
    shape = (in_channels, image_size, image_size)
    with torch.inference_mode():
        macs, parameters = get_model_complexity_info(
            model.eval(), shape, as_strings=False, print_per_layer_stat=False, backend="pytorch"
        )
    return Complexity(int(parameters), int(macs), unseen_macs(model, shape))


def unseen_macs(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """The products of activations that ptflops does not see, for one image of ``shape``."""
    # Shapes are all that is needed: tensors without data cost nothing to multiply.
    model = copy.deepcopy(model).to("meta").eval()
    products = UnseenProducts(model)
    with torch.inference_mode(), products:
        model(torch.empty(1, *shape, device="meta"))
    return products.macs


class UnseenProducts(TorchFunctionMode):
    """Counts the products of activations in a forward pass that ptflops does not see."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.macs = 0
        self._seen = 0  # depth inside modules that ptflops counts as a whole
        for module in model.modules():
            if type(module) in MODULES_MAPPING and list(module.children()):
                module.register_forward_pre_hook(self._enter)
                module.register_forward_hook(self._leave)

    def _enter(self, *_) -> None:
        self._seen += 1

    def _leave(self, *_) -> None:
        self._seen -= 1

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if not self._seen:
            if (
                func is torch.Tensor.matmul
            ):  # how ``@`` arrives here; torch.matmul is another function
                self.macs += result.numel() * args[0].shape[-1]
            elif func is torch.nn.functional.scaled_dot_product_attention:
                query, key, value = args[:3]
                scores = query.numel() // query.shape[-1] * key.shape[-2]
                self.macs += scores * (query.shape[-1] + value.shape[-1])
        return result
