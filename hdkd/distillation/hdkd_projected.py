"""HDKD with a learned projection at each stage, to test that it needs no alignment."""

from torch import Tensor, nn

from hdkd.config import Distillation
from hdkd.distillation.hdkd import HDKD
from hdkd.distillation.method import Pair, Seen, Term
from hdkd.distillation.parts import projectors

ABOUT = {
    "title": "HDKD with projectors",
    "origin": "The paper holds that student and teacher, having the same stages, need no layer "
    "that aligns their maps. This is HDKD with such a layer, a 1×1 convolution as in FitNet "
    "(Romero et al., 2015), at each stage.",
    "source": "written here",
    "licence": "Apache-2.0",
    "published": "HDKD's",
    "logits": "KL, by batch × classes",
    "networks": ["hybrid"],
    "predicting": "both",
    "taught": True,
}


class ProjectedHDKD(HDKD):
    """HDKD that compares the teacher's maps with projections of the student's."""

    def __init__(self, settings: Distillation, projections: nn.ModuleList) -> None:
        super().__init__(settings)
        self.projections = projections

    @classmethod
    def of(cls, pair: Pair) -> "ProjectedHDKD":
        """With a projection for each stage."""
        return cls(pair.settings, projectors(pair.student.features, pair.maps))

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """HDKD's terms."""
        features = student.output.features
        projected = tuple(p(x) for p, x in zip(self.projections, features, strict=True))
        output = student.output._replace(features=projected)
        return super().forward(Seen(student.network, output), teacher, labels, progress)
