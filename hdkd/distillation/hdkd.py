"""HDKD's losses (paper, section 3.5, equations 6 to 8), as pure functions of tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.config import Distillation
from hdkd.models import Output

KL_NORMALISATIONS = ("batch", "batch_and_classes")


@dataclass(frozen=True)
class Teaching:
    """A trained teacher, and how its knowledge enters the loss."""

    teacher: nn.Module
    settings: Distillation


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


def distillation_loss(
    student: Output, teacher: Output, labels: Tensor, settings: Distillation
) -> dict[str, Tensor]:
    """Equation 8 with its terms, each a scalar: ``loss``, ``cross_entropy``, ``kl``, ``features``.

    The labels ``(batch,)`` train HDKD's class logits, the teacher's distribution its distillation
    logits, as in the released implementation. With ``targets`` ``hard`` instead of ``soft`` the
    term ``hard_labels`` stands in place of ``kl``. Raises ``ValueError`` for a student without
    distillation logits.
    """
    distillation_logits = student.distillation_logits
    if distillation_logits is None:
        raise ValueError("the student has no distillation head")
    cross_entropy = F.cross_entropy(student.logits, labels)
    if settings.targets == "hard":
        name, taught = "hard_labels", hard_label_loss(distillation_logits, teacher.logits)
    else:
        temperature, normalisation = settings.temperature, settings.kl_normalisation
        taught = kl_divergence(distillation_logits, teacher.logits, temperature, normalisation)
        name = "kl"
    features = feature_loss(student.features, teacher.features, settings.stage_power)
    loss = (
        (1 - settings.alpha) * cross_entropy
        + settings.alpha * taught
        + settings.feature_weight * features
    )
    return {"loss": loss, "cross_entropy": cross_entropy, name: taught, "features": features}
