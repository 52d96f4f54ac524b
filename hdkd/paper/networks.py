"""The networks that the paper measures, built at its own size: their cost and their dimensions."""

import copy
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from hdkd.paper.published import PaperNetwork
from hdkd.study.names import BASELINES

if TYPE_CHECKING:
    from hdkd.models import ImageModel
    from hdkd.models.complexity import Complexity

IMAGE_SIZE, CLASSES, CHANNELS = 224, 7, 3


@cache
def complexity(network: PaperNetwork) -> "Complexity":
    """Parameters and MACs at the paper's image size and 7 classes."""
    from hdkd.models import complexity as counting

    return counting.complexity(build_network(network, CLASSES), IMAGE_SIZE)


@cache
def parameters(network: PaperNetwork, classes: int) -> int:
    """How many parameters the paper's network has for so many classes."""
    return sum(values.numel() for values in build_network(network, classes).parameters())


@cache
def table1(network: PaperNetwork) -> dict[str, tuple[int, ...]]:
    """The dimensions that Table 1 prints of a network, without naming block and stride."""
    return dimensions(build_network(replace(network, block="mbcsa", stem_stride=2), CLASSES))


def build_network(network: PaperNetwork, classes: int) -> "ImageModel":
    """The paper's network, untrained."""
    from hdkd.models import build

    sizes = {"block": network.block, "stem_stride": network.stem_stride}
    return build(
        network.model,
        num_classes=classes,
        image_size=IMAGE_SIZE,
        in_channels=CHANNELS,
        **({} if network.model in BASELINES else sizes),
    )


def dimensions(model: "ImageModel") -> dict[str, tuple[int, ...]]:
    """Table 1's settings of a teacher, student or HDKD, read from its modules and their shapes."""
    import torch

    from hdkd.models.student import SelfAttention, Student
    from hdkd.models.teacher import Teacher

    assert isinstance(model, Teacher | Student), "Table 1 has no other network"
    # Shapes are all that is needed, and tensors without data have them.
    convolutions = copy.deepcopy(model.convolutions).to("meta").eval()
    with torch.inference_mode():
        features = convolutions(torch.empty(1, CHANNELS, IMAGE_SIZE, IMAGE_SIZE, device="meta"))
    found = {
        "depths": tuple(len([*stage.children()]) for stage in model.convolutions.stages),
        "channels": tuple(feature.shape[1] for feature in features),
    }
    if isinstance(model, Student):
        attention = next(m for m in model.modules() if isinstance(m, SelfAttention))
        found |= {
            "patch_size": (model.transformer.patch_size,),
            "embed_dim": (model.transformer.tokens.shape[-1],),
            "heads": (attention.heads,),
            "head_dim": (attention.head_dim,),
        }
    return found
