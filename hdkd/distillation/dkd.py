"""DKD (Zhao et al., 2022): the KL divergence in two parts, of which one weighs more."""

import torch
from torch import Tensor
from torch.nn import functional as F

from hdkd.distillation.hdkd import kl_divergence
from hdkd.distillation.method import Method, Seen, Term

ABOUT = {
    "title": "DKD",
    "origin": "Zhao et al. (2022) show that the KL divergence is one of how sure the teacher is of "
    "the true class, and one of the other classes, which counts less the surer it is. They weigh "
    "the two freely. The published twenty epochs of warm-up, of 240, are a twelfth of the epochs "
    "here.",
    "source": "megvii-research/mdistiller, distillers/DKD.py",
    "licence": "MIT",
    "published": "α 1, β 8, temperature 4, warm-up",
    "logits": "KL, by batch",
    "networks": ["hybrid", "vit"],
    "predicting": "both",
    "taught": True,
    "fewest_classes": 3,
}
ALPHA, BETA, TEMPERATURE = 1.0, 8.0, 4.0
WARMUP = 20 / 240  # of the epochs
MASK = -1000.0  # what the published code adds to the logit of the true class to leave it out


def parts(
    logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """t² KL of (true class, all others), and t² KL within the others, mean over the batch.

    Logits are ``(batch, classes)``, labels ``(batch,)``. The KL divergence is the first plus the
    second times what the teacher's probability of the true class lacks to 1, image by image.
    """
    mask = F.one_hot(labels, logits.shape[1]).bool()

    def pair(values: Tensor) -> Tensor:
        """Logarithms of the probabilities of the true class, and of all others together."""
        log_p = (values / temperature).log_softmax(dim=1)
        true = log_p.gather(1, labels[:, None])
        others = log_p.masked_fill(mask, MASK).logsumexp(dim=1, keepdim=True)
        return torch.cat([true, others], dim=1) * temperature

    def others(values: Tensor) -> Tensor:
        return values + mask * MASK * temperature

    target = kl_divergence(pair(logits), pair(teacher_logits), temperature, "batch")
    rest = kl_divergence(others(logits), others(teacher_logits), temperature, "batch")
    return target, rest


class DKD(Method):
    """Cross-entropy, and the two parts of the divergence, which rise in the first epochs."""

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The terms ``cross_entropy``, ``target_kl`` and ``others_kl``."""
        output = student.output
        assert teacher is not None
        assert output.distillation_logits is not None
        target, rest = parts(output.distillation_logits, teacher.output.logits, labels, TEMPERATURE)
        warm = (progress / WARMUP).clamp(max=1.0)
        return {
            "cross_entropy": Term(F.cross_entropy(output.logits, labels)),
            "target_kl": Term(target, ALPHA * warm),
            "others_kl": Term(rest, BETA * warm),
        }
