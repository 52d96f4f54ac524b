"""Attention transfer (Zagoruyko and Komodakis, 2017): where activations are large."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from hdkd.distillation.method import Method, Seen, Term
from hdkd.distillation.parts import pooled, side_of, spread

ABOUT = {
    "title": "Attention transfer",
    "origin": "Zagoruyko and Komodakis (2017) compare where activations are large, which needs no "
    "equal number of channels. Maps are pooled to the patches here, because the mean over the "
    "positions of larger ones would make the published weight mean less.",
    "source": "megvii-research/mdistiller, distillers/AT.py",
    "licence": "MIT",
    "published": "feature term 1000, p 2",
    "logits": "",
    "networks": ["hybrid", "vit"],
    "predicting": "class",
    "taught": True,
}
WEIGHT = 1000.0


def of_maps(maps: Tensor, side: int) -> Tensor:
    """Where ``(batch, channels, size, size)`` is large, pooled: unit vectors ``(batch, side²)``."""
    return F.normalize(pooled(maps.square().mean(dim=1, keepdim=True), side).flatten(1), dim=1)


def of_tokens(tokens: Tensor) -> Tensor:
    """Where ``(batch, patches, dim)`` is large: unit vectors ``(batch, patches)``."""
    return F.normalize(tokens.square().mean(dim=2), dim=1)


def attention_loss(students: Sequence[Tensor], teachers: Sequence[Tensor]) -> Tensor:
    """Sum over the stages of the mean squared difference of attention ``(batch, positions)``."""
    errors = [F.mse_loss(s, t) for s, t in zip(students, teachers, strict=True)]
    return sum(errors[1:], errors[0])


class AttentionTransfer(Method):
    """Cross-entropy, and :func:`attention_loss` of the stages, or of three layers."""

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The terms ``cross_entropy`` and ``features``."""
        output = student.output
        assert teacher is not None
        assert output.patches is not None
        side = side_of(output.patches)
        taught = [of_maps(maps, side) for maps in teacher.output.features]
        own = [of_maps(maps, side) for maps in output.features]
        own = own or [of_tokens(tokens) for tokens in spread(output.layers)]
        return {
            "cross_entropy": Term(F.cross_entropy(output.logits, labels)),
            "features": Term(attention_loss(own, taught), WEIGHT),
        }
