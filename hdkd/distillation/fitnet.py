"""FitNet (Romero et al., 2015): the maps of one stage, through a learned projection."""

from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.distillation.method import Method, Pair, Seen, Term

ABOUT = {
    "title": "FitNet",
    "origin": "Romero et al. (2015) teach a layer in the middle of the student by one of the "
    "teacher's, through a regressor, before the labels teach the rest. Both at once, as here, is "
    "how it is compared today. The regressor has no ReLU here, because the teacher's maps are "
    "signed.",
    "source": "megvii-research/mdistiller, distillers/FitNet.py",
    "licence": "MIT",
    "published": "feature term 100, second of three stages",
    "logits": "",
    "networks": ["hybrid"],
    "predicting": "class",
    "taught": True,
}
STAGE = 1  # the second
WEIGHT = 100.0


class FitNet(Method):
    """Cross-entropy, and the mean squared error of one stage's projected maps."""

    def __init__(self, projector: nn.Module) -> None:
        super().__init__()
        self.projector = projector

    @classmethod
    def of(cls, pair: Pair) -> "FitNet":
        """With a 1×1 convolution and batch normalisation; without ReLU, for signed maps."""
        student, teacher = pair.student.features[STAGE].shape[1], pair.maps[STAGE].shape[1]
        return cls(nn.Sequential(nn.Conv2d(student, teacher, 1), nn.BatchNorm2d(teacher)))

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The terms ``cross_entropy`` and ``features``."""
        assert teacher is not None
        hint = self.projector(student.output.features[STAGE])
        features = F.mse_loss(hint, teacher.output.features[STAGE])
        return {
            "cross_entropy": Term(F.cross_entropy(student.output.logits, labels)),
            "features": Term(features, WEIGHT),
        }
