"""The student alone: what every method is compared with."""

from torch import Tensor
from torch.nn import functional as F

from hdkd.distillation.method import Method, Seen, Term

ABOUT = {
    "title": "Student alone",
    "origin": "The labels teach, and nothing else does. What a method gains is its accuracy minus "
    "that of this row.",
    "source": "the paper, section 4",
    "licence": "",
    "published": "",
    "logits": "",
    "networks": ["hybrid", "vit"],
    "predicting": "class",
    "taught": False,
}


class Alone(Method):
    """Cross-entropy with the labels."""

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """One term."""
        return {"cross_entropy": Term(F.cross_entropy(student.output.logits, labels))}
