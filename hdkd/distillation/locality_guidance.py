"""Locality guidance (Li et al., 2022): tokens imitate the maps of a small convolutional network."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.distillation.method import Method, Pair, Seen, Term
from hdkd.distillation.parts import as_tokens, pooled, side_of, spread

ABOUT = {
    "title": "Locality guidance",
    "origin": "Li et al. (2022) train vision transformers on tiny sets, a medical one among them, "
    "by having their tokens imitate the maps of a small convolutional network. The teacher's "
    "logits are not used. The maps are pooled to the patches here, where the published code "
    "resizes both. The stages guide the first, the middle and the last layer: in a student of two "
    "layers the second and the third stage guide the same one.",
    "source": "lkhl/tiny-transformers, pycls/models/distill.py",
    "licence": "Apache-2.0",
    "published": "feature term 2.5, three stages alike",
    "logits": "",
    "networks": ["hybrid", "vit"],
    "predicting": "class",
    "taught": True,
}
WEIGHT = 2.5


def guidance_loss(tokens: Sequence[Tensor], maps: Sequence[Tensor]) -> Tensor:
    """Sum over the stages of the mean squared error of tokens ``(batch, patches, channels)``.

    They are compared with ``maps`` ``(batch, channels, size, size)``, pooled to the patches.
    """
    side = side_of(tokens[0])
    errors = [
        F.mse_loss(each, as_tokens(pooled(target, side)))
        for each, target in zip(tokens, maps, strict=True)
    ]
    return sum(errors[1:], errors[0])


class LocalityGuidance(Method):
    """Cross-entropy, and :func:`guidance_loss` of projected tokens of three layers."""

    def __init__(self, projections: nn.ModuleList) -> None:
        super().__init__()
        self.projections = projections

    @classmethod
    def of(cls, pair: Pair) -> "LocalityGuidance":
        """With a linear projection to the channels of each of the teacher's stages."""
        dim = pair.student.layers[0].shape[2]
        return cls(nn.ModuleList(nn.Linear(dim, each.shape[1]) for each in pair.maps))

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The terms ``cross_entropy`` and ``features``."""
        assert teacher is not None
        layers = spread(student.output.layers)
        tokens = [project(each) for project, each in zip(self.projections, layers, strict=True)]
        return {
            "cross_entropy": Term(F.cross_entropy(student.output.logits, labels)),
            "features": Term(guidance_loss(tokens, teacher.output.features), WEIGHT),
        }
