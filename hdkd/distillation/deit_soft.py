"""DeiT's soft distillation (Touvron et al., 2021): HDKD without its feature term."""

from torch import Tensor
from torch.nn import functional as F

from hdkd.distillation.hdkd import kl_divergence
from hdkd.distillation.method import Method, Seen, Term

ABOUT = {
    "title": "DeiT, soft",
    "origin": "Touvron et al. (2021) give a vision transformer a second token, which a "
    "convolutional teacher's probabilities teach. HDKD took its logit term from this code.",
    "source": "facebookresearch/deit, losses.py",
    "licence": "Apache-2.0",
    "published": "α 0.5, temperature 1: the defaults of the code",
    "logits": "KL, by batch × classes",
    "networks": ["hybrid", "vit"],
    "predicting": "both",
    "taught": True,
}
ALPHA = 0.5
TEMPERATURE = 1.0


class SoftDeiT(Method):
    """(1 - α) cross-entropy + α t² KL(teacher ‖ student) on the second token's logits."""

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The terms ``cross_entropy`` and ``kl``."""
        output = student.output
        assert teacher is not None
        assert output.distillation_logits is not None
        taught = teacher.output.logits
        kl = kl_divergence(output.distillation_logits, taught, TEMPERATURE, "batch_and_classes")
        return {
            "cross_entropy": Term(F.cross_entropy(output.logits, labels), 1 - ALPHA),
            "kl": Term(kl, ALPHA),
        }
