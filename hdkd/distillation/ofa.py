"""OFA-KD (Hao et al., 2023): exits on the way, compared in the space of the logits."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.distillation.method import Method, Pair, Seen, Term
from hdkd.distillation.parts import side_of

ABOUT = {
    "title": "OFA-KD",
    "origin": "Hao et al. (2023) distil between networks of different kinds by letting the student "
    "answer at several depths, through exits that are dropped afterwards. Their loss gives the "
    "true class more weight where the teacher is sure of it.",
    "source": "Hao840/OFAKD, distillers/ofa.py",
    "licence": "none",
    "published": "all terms 1, γ 1.5, temperature 1",
    "logits": "soft cross-entropy, by batch",
    "networks": ["hybrid", "vit"],
    "predicting": "both",
    "taught": True,
}
GAMMA = 1.5
# Exits of a transformer: after which share of its layers, and of how many layers of their own.
TOKEN_EXITS = ((2 / 12, 3), (4 / 12, 2), (10 / 12, 1), (1.0, 1))
HEAD_WIDTH = 64  # of a token exit's attention heads
EXPANSION = 4


def ofa_loss(logits: Tensor, teacher_logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """-Σₖ ((pₜ + 1ᵧ)^γ - 1ᵧ) log pₛ, mean over the batch; logits are ``(batch, classes)``.

    With ``gamma`` 1 it is the KL divergence, by batch, plus the entropy of the teacher.
    """
    true = F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    targets = (teacher_logits.softmax(dim=1) + true) ** gamma - true
    return -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()


class MapExit(nn.Sequential):
    """Halves maps by separable convolutions, each with twice the channels, and classifies them."""

    def __init__(self, channels: int, halvings: int, classes: int) -> None:
        layers: list[nn.Module] = []
        for _ in range(halvings):
            layers += [
                nn.Conv2d(channels, channels, 3, 2, padding=1, groups=channels, bias=False),
                nn.BatchNorm2d(channels),
                nn.ReLU(),
                nn.Conv2d(channels, 2 * channels, 1, bias=False),
                nn.BatchNorm2d(2 * channels),
                nn.ReLU(),
            ]
            channels *= 2
        pool = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
        super().__init__(*layers, *pool, nn.Linear(channels, classes))


class TokenExit(nn.Module):
    """Merges tokens two by two, applies layers of its own, and classifies their mean."""

    def __init__(self, dim: int, side: int, layers: int, classes: int) -> None:
        super().__init__()
        # No merging where an odd number of patches lies beside each other.
        self.merged = 1 if side % 2 else 2
        self.side = side
        self.norm = nn.LayerNorm(dim * self.merged**2)
        self.merge = nn.Linear(dim * self.merged**2, dim)
        # A layer without dropout, as timm's and DeiT's.
        self.layers = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(
                dim,
                max(1, dim // HEAD_WIDTH),
                EXPANSION * dim,
                0.0,
                "gelu",
                batch_first=True,
                norm_first=True,
            ),
            layers,
            enable_nested_tensor=False,
        )
        self.head = nn.Linear(dim, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(batch, patches, dim)`` to logits ``(batch, classes)``."""
        batch, _, dim = tokens.shape
        half, merged = self.side // self.merged, self.merged
        squares = tokens.view(batch, half, merged, half, merged, dim).transpose(2, 3)
        merged_tokens = self.merge(self.norm(squares.reshape(batch, half * half, -1)))
        return self.head(self.layers(merged_tokens).mean(dim=1))


class OFA(Method):
    """Cross-entropy, and :func:`ofa_loss` of the second head and of every exit."""

    def __init__(self, exits: nn.ModuleList, places: list[int] | None) -> None:
        super().__init__()
        self.exits, self.places = exits, places

    @classmethod
    def of(cls, pair: Pair) -> "OFA":
        """With exits after the three stages, or after four layers of a plain transformer."""
        output = pair.student
        classes = output.logits.shape[1]
        if output.features:
            stages = enumerate(output.features)
            exits = [MapExit(each.shape[1], 3 - j, classes) for j, each in stages]
            return cls(nn.ModuleList(exits), None)
        layer, count = output.layers[0], len(output.layers)
        dim, side = layer.shape[2], side_of(layer)
        made = [TokenExit(dim, side, layers, classes) for _, layers in TOKEN_EXITS]
        places = [max(round(share * count) - 1, 0) for share, _ in TOKEN_EXITS]
        return cls(nn.ModuleList(made), places)

    def forward(
        self, student: Seen, teacher: Seen | None, labels: Tensor, progress: Tensor
    ) -> dict[str, Term]:
        """The terms ``cross_entropy``, ``ofa`` and ``exits``."""
        output = student.output
        assert teacher is not None
        assert output.distillation_logits is not None
        taught = teacher.output.logits
        inputs = (
            output.features
            if self.places is None
            else tuple(output.layers[place] for place in self.places)
        )
        answers = [leave(x) for leave, x in zip(self.exits, inputs, strict=True)]
        exits = torch.stack([ofa_loss(each, taught, labels, GAMMA) for each in answers]).sum()
        return {
            "cross_entropy": Term(F.cross_entropy(output.logits, labels)),
            "ofa": Term(ofa_loss(output.distillation_logits, taught, labels, GAMMA)),
            "exits": Term(exits),
        }
