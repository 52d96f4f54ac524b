"""Relational distillation (Park et al., 2019): distances and angles between images."""

import torch
from torch import Tensor
from torch.nn import functional as F

from hdkd.distillation.method import Method, Seen, Term

ABOUT = {
    "title": "RKD",
    "origin": "Park et al. (2019) teach how images lie to each other: distances between two, "
    "angles between three, of the last features. With sixteen images a batch these are few.",
    "source": "megvii-research/mdistiller, distillers/RKD.py",
    "licence": "MIT",
    "published": "distances 25, angles 50",
    "logits": "",
    "networks": ["hybrid", "vit"],
    "predicting": "class",
    "taught": True,
}
DISTANCES, ANGLES = 25.0, 50.0
SMALLEST = 1e-12  # squared distance, whose root has a gradient


def distances(features: Tensor) -> Tensor:
    """Distances ``(n, n)`` of ``features`` ``(n, dim)``, divided by their mean off the diagonal.

    Of a single image it is zero.
    """
    squares = (features[:, None] - features[None]).square().sum(dim=2)
    off = 1 - torch.eye(len(features), device=features.device)
    roots = squares.clamp(min=SMALLEST).sqrt() * off
    return roots / (roots.sum() / off.sum().clamp(min=1)).clamp(min=SMALLEST)


def angles(features: Tensor) -> Tensor:
    """Cosines ``(n, n, n)`` of the angle at the first of three ``features`` ``(n, dim)``."""
    directions = F.normalize(features[None] - features[:, None], dim=2)
    return directions @ directions.transpose(1, 2)


class RKD(Method):
    """Cross-entropy, and smooth L1 of distances and of angles."""

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The terms ``cross_entropy``, ``distances`` and ``angles``."""
        assert teacher is not None
        assert student.output.patches is not None
        own = student.output.patches.mean(dim=1)
        taught = teacher.output.features[-1].mean(dim=(2, 3))
        return {
            "cross_entropy": Term(F.cross_entropy(student.output.logits, labels)),
            "distances": Term(F.smooth_l1_loss(distances(own), distances(taught)), DISTANCES),
            "angles": Term(F.smooth_l1_loss(angles(own), angles(taught)), ANGLES),
        }
