"""DeiT's hard distillation (Touvron et al., 2021, equation 3)."""

from torch import Tensor
from torch.nn import functional as F

from hdkd.distillation.hdkd import hard_label_loss
from hdkd.distillation.method import Method, Seen, Term

ABOUT = {
    "title": "DeiT, hard",
    "origin": "Touvron et al. (2021) give a vision transformer a second token, for which the most "
    "probable class of a convolutional teacher is the label. It is the form that their paper "
    "recommends.",
    "source": "facebookresearch/deit, losses.py",
    "licence": "Apache-2.0",
    "published": "α 0.5",
    "logits": "cross-entropy, by batch",
    "networks": ["hybrid", "vit"],
    "predicting": "both",
    "taught": True,
}
ALPHA = 0.5


class HardDeiT(Method):
    """(1 - α) cross-entropy with the labels + α cross-entropy with the teacher's answers."""

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The terms ``cross_entropy`` and ``hard_labels``."""
        output = student.output
        assert teacher is not None
        assert output.distillation_logits is not None
        hard_labels = hard_label_loss(output.distillation_logits, teacher.output.logits)
        return {
            "cross_entropy": Term(F.cross_entropy(output.logits, labels), 1 - ALPHA),
            "hard_labels": Term(hard_labels, ALPHA),
        }
