"""VkD (Miles et al., 2024): the last features, through a projection that keeps angles."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.distillation.hdkd import kl_divergence
from hdkd.distillation.method import Method, Pair, Seen, Term

ABOUT = {
    "title": "VkD",
    "origin": "Miles et al. (2024) compare the last features of a transformer with a convolutional "
    "teacher's through an orthogonal projection, so that the projection cannot do the student's "
    "work. The teacher's features are normalised first.",
    "source": "roymiles/vkd, engine.py",
    "licence": "no licence stated",
    "published": "all terms 1, temperature 1",
    "logits": "KL, by batch",
    "networks": ["hybrid", "vit"],
    "predicting": "both",
    "taught": True,
}


class OrthogonalProjection(nn.Module):
    """A linear map from ``dim`` to ``channels`` numbers whose rows, or columns, are orthonormal.

    A product of Householder's reflections, whatever its parameters are: weight decay cannot break
    it, as it does torch's own parametrization of this form, and a recorded step can have it.
    """

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__()
        tall, narrow = max(dim, channels), min(dim, channels)
        self.base: Tensor
        self.register_buffer("base", nn.init.orthogonal_(torch.empty(tall, tall)))
        self.reflectors = nn.Parameter(torch.zeros(tall, narrow))
        self.wide = channels < dim

    @property
    def weight(self) -> Tensor:
        """``(channels, dim)``."""
        below = self.reflectors.tril(-1)  # the diagonal is taken to be 1
        lengths = 1 + below.square().sum(dim=0)
        tall = self.base @ torch.linalg.householder_product(below, 2 / lengths)
        return tall.T if self.wide else tall

    def forward(self, x: Tensor) -> Tensor:
        """``(batch, dim)`` to ``(batch, channels)``."""
        return F.linear(x, self.weight)


class VkD(Method):
    """Cross-entropy, KL by batch, smooth L1 of projected to normalised features."""

    def __init__(self, dim: int, channels: int) -> None:
        super().__init__()
        self.projection = OrthogonalProjection(dim, channels)

    @classmethod
    def of(cls, pair: Pair) -> "VkD":
        """From the tokens' width to the channels of the teacher's last stage."""
        return cls(pair.student.layers[0].shape[2], pair.maps[-1].shape[1])

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The terms ``cross_entropy``, ``kl`` and ``features``."""
        output = student.output
        assert teacher is not None
        assert output.distillation_logits is not None
        assert output.patches is not None
        taught = teacher.output.features[-1].mean(dim=(2, 3))
        projected = self.projection(output.patches.mean(dim=1))
        features = F.smooth_l1_loss(projected, F.layer_norm(taught, taught.shape[1:]))
        kl = kl_divergence(output.distillation_logits, teacher.output.logits, 1.0, "batch")
        return {
            "cross_entropy": Term(F.cross_entropy(output.logits, labels)),
            "kl": Term(kl),
            "features": Term(features),
        }
