"""Logit standardisation (Sun et al., 2024): KL of z-scores instead of logits."""

from torch import Tensor
from torch.nn import functional as F

from hdkd.distillation.hdkd import kl_divergence
from hdkd.distillation.method import Method, Seen, Term

ABOUT = {
    "title": "Logit standardisation",
    "origin": "Sun et al. (2024) divide each image's logits by their standard deviation first, so "
    "that the student need not reach the teacher's scale. With few classes z-scores cannot be "
    "large: at the published temperature of 2 a teacher of four classes is never surer than 0.48, "
    "so it is 1 here.",
    "source": "sunshangquan/logit-standardization-KD, mdistiller/distillers/KD.py",
    "licence": "no licence stated",
    "published": "labels 0.1, KL 9, temperature 2 (here 1)",
    "logits": "KL, by batch",
    "networks": ["hybrid", "vit"],
    "predicting": "both",
    "taught": True,
    "fewest_classes": 3,
}
LABELS, WEIGHT, TEMPERATURE = 0.1, 9.0, 1.0
SMALLEST = 1e-7


def standardised(logits: Tensor) -> Tensor:
    """The z-scores of each row of ``(batch, classes)``, with the unbiased standard deviation."""
    mean, deviation = logits.mean(dim=1, keepdim=True), logits.std(dim=1, keepdim=True)
    return (logits - mean) / (SMALLEST + deviation)


class LogitStandardisation(Method):
    """Cross-entropy, and KL by batch of standardised logits."""

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The terms ``cross_entropy`` and ``kl``."""
        output = student.output
        assert teacher is not None
        assert output.distillation_logits is not None
        own, taught = standardised(output.distillation_logits), standardised(teacher.output.logits)
        return {
            "cross_entropy": Term(F.cross_entropy(output.logits, labels), LABELS),
            "kl": Term(kl_divergence(own, taught, TEMPERATURE, "batch"), WEIGHT),
        }
