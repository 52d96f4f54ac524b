"""DIST (Huang et al., 2022): correlation with the teacher's probabilities instead of divergence."""

from torch import Tensor
from torch.nn import functional as F

from hdkd.distillation.method import Method, Seen, Term

ABOUT = {
    "title": "DIST",
    "origin": "Huang et al. (2022) ask only that student and teacher agree in the order of classes "
    "for an image, and of images for a class. The second is noisy with sixteen images a batch, and "
    "with two classes the first says nothing.",
    "source": "hunto/image_classification_sota, lib/models/losses/dist_kd.py",
    "licence": "Apache-2.0",
    "published": "β and γ 1, temperature 1, both terms times 2",
    "logits": "correlation, by batch and by classes",
    "networks": ["hybrid", "vit"],
    "predicting": "both",
    "taught": True,
    "fewest_classes": 3,
}
WEIGHT = 2.0


def anticorrelation(a: Tensor, b: Tensor) -> Tensor:
    """1 minus the mean of Pearson's correlation of the rows of ``(n, values)``."""
    a, b = (each - each.mean(dim=1, keepdim=True) for each in (a, b))
    return 1 - F.cosine_similarity(a, b, dim=1, eps=1e-8).mean()


class DIST(Method):
    """Cross-entropy, and what correlations lack to 1: within images and within classes."""

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The terms ``cross_entropy``, ``within_images`` and ``within_classes``."""
        output = student.output
        assert teacher is not None
        assert output.distillation_logits is not None
        own = output.distillation_logits.softmax(dim=1)
        taught = teacher.output.logits.softmax(dim=1)
        return {
            "cross_entropy": Term(F.cross_entropy(output.logits, labels)),
            "within_images": Term(anticorrelation(own, taught), WEIGHT),
            "within_classes": Term(anticorrelation(own.T, taught.T), WEIGHT),
        }
