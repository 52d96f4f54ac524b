"""The schedule of DearKD (Chen et al., 2022): distillation at first, then the labels alone."""

from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.config import Distillation
from hdkd.distillation.hdkd import HDKD, feature_loss
from hdkd.distillation.method import Pair, Seen, Term
from hdkd.distillation.parts import as_tokens, pooled, side_of

ABOUT = {
    "title": "DearKD-style",
    "origin": "Chen et al. (2022) distil early features and logits for most of the training, and "
    "let the labels teach alone in the rest. No code is public: this has their schedule, not their "
    "attention, and what the papers do not say (length, weights) is HDKD's or chosen here.",
    "source": "no public code",
    "licence": "",
    "published": "distils for 5/6 of the epochs; weights as HDKD's, 1 for a plain ViT's features",
    "logits": "KL, by batch × classes",
    "networks": ["hybrid", "vit"],
    "predicting": "both",
    "taught": True,
}
DISTILLED = 5 / 6  # of the epochs
EARLY_LAYERS = 3


class Aligner(nn.Module):
    """Maps ``(batch, channels, size, size)`` to tokens: pooled, projected, normalised, GELU."""

    def __init__(self, channels: int, dim: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.layers = nn.Sequential(nn.Linear(channels, dim), nn.LayerNorm(dim), nn.GELU())

    def forward(self, maps: Tensor) -> Tensor:
        """``(batch, side², dim)``."""
        return self.layers(as_tokens(pooled(maps, self.side)))


class DearKD(HDKD):
    """HDKD's terms until its time is over; then the labels teach the second head, too.

    A plain transformer, which has no stages, is given aligned maps for its first layers instead.
    """

    distilled = DISTILLED

    def __init__(self, settings: Distillation, aligners: nn.ModuleList | None = None) -> None:
        super().__init__(settings)
        self.aligners = aligners

    @classmethod
    def of(cls, pair: Pair) -> "DearKD":
        """With aligners where the student has no stages of its own."""
        if pair.student.features:
            return cls(pair.settings)
        layer = pair.student.layers[0]
        aligners = [Aligner(each.shape[1], layer.shape[2], side_of(layer)) for each in pair.maps]
        return cls(pair.settings, nn.ModuleList(aligners))

    def prepare(self, student: nn.Module) -> None:
        """As HDKD, where the student has stages."""
        if self.aligners is None:
            super().prepare(student)

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """HDKD's terms, and ``second_cross_entropy``."""
        output, settings = student.output, self.settings
        assert teacher is not None
        assert output.distillation_logits is not None
        # A recorded step computes both, so the teacher is asked until the end.
        distils = (progress < self.distilled).float()
        name, taught = self.logit_term(output.distillation_logits, teacher.output.logits)
        if self.aligners is None:
            weight = settings.feature_weight
            features = feature_loss(output.features, teacher.output.features, settings.stage_power)
        else:
            weight = 1.0
            pairs = zip(self.aligners, teacher.output.features, strict=True)
            aligned = [align(maps) for align, maps in pairs]
            early = [output.layers[min(j, len(output.layers) - 1)] for j in range(EARLY_LAYERS)]
            features = feature_loss(early, aligned, 0.0)
        alone = F.cross_entropy(output.distillation_logits, labels)
        return {
            "cross_entropy": Term(F.cross_entropy(output.logits, labels), 1 - settings.alpha),
            name: Term(taught, settings.alpha * distils),
            "features": Term(features, weight * distils),
            "second_cross_entropy": Term(alone, settings.alpha * (1 - distils), labels=True),
        }
