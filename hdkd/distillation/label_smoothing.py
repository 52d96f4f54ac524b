"""Label smoothing: the control that tells what a teacher knows from what soft targets do anyway."""

from torch import Tensor
from torch.nn import functional as F

from hdkd.distillation.method import Method, Seen, Term

ABOUT = {
    "title": "Label smoothing",
    "origin": "Szegedy et al. (2016) give a tenth of each label to all classes alike. No teacher "
    "is asked, so this row shows what softer targets do by themselves.",
    "source": "torch.nn.functional.cross_entropy",
    "licence": "BSD-3-Clause",
    "published": "0.1 of each label",
    "logits": "",
    "networks": ["hybrid", "vit"],
    "predicting": "class",
    "taught": False,
}
SMOOTHING = 0.1


class LabelSmoothing(Method):
    """Cross-entropy with labels of which a tenth is spread over all classes."""

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The cross-entropy with labels, and that with all classes alike, which is the control."""
        logits = student.output.logits
        uniform = F.cross_entropy(logits, labels, label_smoothing=1.0)
        return {
            "cross_entropy": Term(F.cross_entropy(logits, labels), 1 - SMOOTHING),
            "uniform": Term(uniform, SMOOTHING),
        }
