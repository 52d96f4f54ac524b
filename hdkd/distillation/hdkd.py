"""HDKD (paper, section 3.5, equations 6 to 8)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.config import Distillation
from hdkd.distillation.method import Method, Pair, Seen, Term
from hdkd.models.student import Student

ABOUT = {
    "title": "HDKD",
    "origin": "El-Assiouti et al. (2024) teach a second token by the teacher's probabilities, and "
    "the convolutional stages by the teacher's maps, which are of the same shapes. This is the "
    "paper that this project reproduces.",
    "source": "omarsherif200/HDKD, losses.py",
    "licence": "MIT",
    "published": "α 0.5, temperature 1, λ 10, stage j weighs j",
    "logits": "KL, by batch × classes",
    "networks": ["hybrid"],
    "predicting": "both",
    "taught": True,
}
KL_NORMALISATIONS = ("batch", "batch_and_classes")
BATCHNORM_MOMENTUM = 0.1


def kl_divergence(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float, normalisation: str
) -> Tensor:
    """t² KL(teacher ‖ student) of the softened distributions, the second term of equation 6.

    Both logits are ``(batch, classes)``. The sum over batch and classes is divided by the batch
    size (``batch``), or by batch size times number of classes (``batch_and_classes``, what the
    released implementation does). Raises ``ValueError`` for another ``normalisation``.
    """
    if normalisation not in KL_NORMALISATIONS:
        known = ", ".join(KL_NORMALISATIONS)
        raise ValueError(f"kl_normalisation must be one of {known}, not {normalisation!r}")
    total = F.kl_div(
        F.log_softmax(student_logits / temperature, dim=1),
        F.log_softmax(teacher_logits / temperature, dim=1),
        reduction="sum",
        log_target=True,
    )
    batch, classes = student_logits.shape
    return total * temperature**2 / (batch if normalisation == "batch" else batch * classes)


def hard_label_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Cross-entropy with the teacher's most probable class, both logits ``(batch, classes)``.

    The hard distillation of DeiT (Touvron et al., 2021, equation 3), for equation 6's KL term.
    """
    return F.cross_entropy(student_logits, teacher_logits.argmax(dim=1))


def feature_loss(
    student_features: Sequence[Tensor], teacher_features: Sequence[Tensor], stage_power: float
) -> Tensor:
    """Σⱼ j^α · mean squared error of stage j, over all elements, batch included (equation 7).

    Features are maps ``(batch, channels, height, width)``, first stage first, of equal shapes;
    raises ``ValueError`` when they are not.
    """
    total = torch.zeros((), device=student_features[0].device)
    for j, (student, teacher) in enumerate(
        zip(student_features, teacher_features, strict=True), start=1
    ):
        if student.shape != teacher.shape:
            raise ValueError(
                f"stage {j}: the student's features are {tuple(student.shape)} "
                f"and the teacher's {tuple(teacher.shape)}"
            )
        total = total + F.mse_loss(student, teacher) * float(j) ** stage_power
    return total


class HDKD(Method):
    """Equation 8: the labels teach the class logits, the teacher the distillation logits and maps.

    So it is in the released implementation, too. With ``targets`` ``hard`` instead of ``soft`` the
    term ``hard_labels`` stands in place of ``kl``.
    """

    def __init__(self, settings: Distillation) -> None:
        super().__init__()
        self.settings = settings

    @classmethod
    def of(cls, pair: Pair) -> "HDKD":
        """With the section ``distillation`` of the parameters."""
        return cls(pair.settings)

    def prepare(self, student: nn.Module) -> None:
        """Have one pass update the running statistics as the released code's passes do."""
        assert isinstance(student, Student)  # no other network has these stages
        set_batchnorm_momentum(student.convolutions.stages, self.settings.batchnorm_updates)

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The terms ``cross_entropy``, ``kl`` (or ``hard_labels``) and ``features``."""
        output, settings = student.output, self.settings
        assert teacher is not None
        assert output.distillation_logits is not None
        name, taught = self.logit_term(output.distillation_logits, teacher.output.logits)
        features = feature_loss(output.features, teacher.output.features, settings.stage_power)
        return {
            "cross_entropy": Term(F.cross_entropy(output.logits, labels), 1 - settings.alpha),
            name: Term(taught, settings.alpha),
            "features": Term(features, settings.feature_weight),
        }

    def logit_term(self, logits: Tensor, teacher_logits: Tensor) -> tuple[str, Tensor]:
        """The name and the value of equation 6's second term, or of what stands in its place."""
        settings = self.settings
        if settings.targets == "hard":
            return "hard_labels", hard_label_loss(logits, teacher_logits)
        temperature, normalisation = settings.temperature, settings.kl_normalisation
        return "kl", kl_divergence(logits, teacher_logits, temperature, normalisation)


def set_batchnorm_momentum(stages: nn.ModuleList, updates: Sequence[int]) -> None:
    """Make one pass update the running statistics of stage j as ``updates[j]`` passes would.

    k updates with momentum m and the same batch are one with momentum 1 - (1 - m)^k.
    """
    for stage, count in zip(stages, updates, strict=True):
        for module in stage.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1 - (1 - BATCHNORM_MOMENTUM) ** count
