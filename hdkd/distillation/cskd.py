"""CSKD (Zhao et al., 2023): every patch is taught what the teacher says of its place."""

import torch
from torch import Tensor
from torch.nn import functional as F

from hdkd.distillation.hdkd import hard_label_loss
from hdkd.distillation.method import Method, Seen, Term
from hdkd.distillation.parts import as_tokens, pooled, side_of

ABOUT = {
    "title": "CSKD",
    "origin": "Zhao et al. (2023) apply the teacher's classifier to every position of its last "
    "map, and teach every patch token what it says there. In the course of the training these "
    "answers give way to those for the whole image.",
    "source": "Zzzzz1/CSKD, cskd/cskd.py",
    "licence": "MIT",
    "published": "hard targets, α 0.5, patches 1, three heads predict",
    "logits": "cross-entropy, by batch, and by batch × patches",
    "networks": ["hybrid", "vit"],
    "predicting": "both_and_patches",
    "taught": True,
}
ALPHA = 0.5
DENSE = 1.0


def dense_targets(positions: Tensor, whole: Tensor, progress: Tensor) -> Tensor:
    """Classes ``(batch, patches)`` that patches are taught.

    From the teacher's logits at each position ``(batch, patches, classes)`` and of the whole image
    ``(batch, classes)``: the share of the former falls from 1 to 0 as ``progress`` rises.
    """
    return torch.lerp(positions, whole[:, None].expand_as(positions), progress).argmax(dim=2)


class CSKD(Method):
    """DeiT's hard distillation, and cross-entropy of every patch with its own target."""

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The terms ``cross_entropy``, ``hard_labels`` and ``patches``."""
        output = student.output
        assert teacher is not None
        assert output.distillation_logits is not None
        assert output.patches is not None
        # The teacher's head is affine, so that logits of pooled positions are pooled logits.
        maps = pooled(teacher.output.features[-1], side_of(output.patches))
        positions = teacher.network.classify(as_tokens(maps))
        targets = dense_targets(positions, teacher.output.logits, progress)
        dense = student.network.classify(output.patches)
        return {
            "cross_entropy": Term(F.cross_entropy(output.logits, labels), 1 - ALPHA),
            "hard_labels": Term(
                hard_label_loss(output.distillation_logits, teacher.output.logits), ALPHA
            ),
            "patches": Term(F.cross_entropy(dense.flatten(0, 1), targets.flatten()), DENSE),
        }
