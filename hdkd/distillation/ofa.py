"""OFA-KD (Hao et al., 2023): exits on the way, compared in the space of the logits."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.distillation.method import Method, Pair, Seen, Term
from hdkd.distillation.parts import side_of

ABOUT = {
    "title": "OFA-KD",
    "origin": "Hao et al. (2023) distil between networks of different kinds by letting the student "
    "answer at several depths, through exits that are dropped afterwards. Their loss gives the "
    "true class more weight where the teacher is sure of it. Exits of tokens classify their mean, "
    "as is published for students without a class token.",
    "source": "Hao840/OFAKD, distillers/ofa.py",
    "licence": "no licence stated",
    "published": "all terms 1, γ 1.5 as in its README (the code's default is 1), temperature 1",
    "logits": "soft cross-entropy, by batch",
    "networks": ["hybrid", "vit"],
    "predicting": "both",
    "taught": True,
}
GAMMA = 1.5
# Exits of a transformer: after which share of its layers, and of how many layers of their own.
TOKEN_EXITS = ((2 / 12, 3), (4 / 12, 2), (10 / 12, 1), (1.0, 1))
EXIT_HEADS = 4  # of a token exit's layers, fewer where they do not divide its width
FINAL_SIDE = 7  # patches beside each other that are not merged further


def ofa_loss(logits: Tensor, teacher_logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """-Σₖ ((pₜ + 1ᵧ)^γ - 1ᵧ) log pₛ, mean over the batch; logits are ``(batch, classes)``.

    With ``gamma`` 1 it is the KL divergence, by batch, plus the entropy of the teacher.
    """
    true = F.one_hot(labels, logits.shape[1]).to(logits.dtype)
    targets = (teacher_logits.softmax(dim=1) + true) ** gamma - true
    return -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()


class Halving(nn.Sequential):
    """Two separable convolutions, of which the first halves the maps."""

    def __init__(self, channels: int, out: int) -> None:
        def separable(stride: int, out: int) -> list[nn.Module]:
            return [
                nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False),
                nn.Conv2d(channels, out, 1, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(),
            ]

        super().__init__(*separable(2, channels), *separable(1, out))


class MapExit(nn.Sequential):
    """Halves maps, doubling their channels up to ``width`` at last, and classifies their mean."""

    def __init__(self, channels: int, halvings: int, width: int, classes: int) -> None:
        counts = [channels * 2**k for k in range(halvings)] + [width]
        layers = [Halving(*pair) for pair in pairwise(counts)]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
        self.apply(initialise)


class Merging(nn.Module):
    """Four neighbouring tokens become one."""

    def __init__(self, dim: int, side: int, activated: bool) -> None:
        super().__init__()
        self.side = side
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, dim, bias=False)
        self.activation = nn.GELU() if activated else nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        """``(batch, side², dim)`` to ``(batch, side² / 4, dim)``."""
        batch, _, dim = tokens.shape
        half = self.side // 2
        squares = tokens.view(batch, half, 2, half, 2, dim).transpose(2, 3)
        squares = squares.reshape(batch, half * half, 4 * dim)
        return self.activation(self.reduction(self.norm(squares)))


class TokenExit(nn.Module):
    """Merges tokens down to a grid of about 7×7, applies layers of its own, classifies the mean.

    An odd side is not merged further.
    """

    def __init__(self, dim: int, side: int, layers: int, classes: int) -> None:
        super().__init__()
        from timm.models.vision_transformer import Block  # slow to import

        merges = 0  # as long as there are squares of four, which an odd side has not
        while side >> merges >= 2 * FINAL_SIDE and not side % 2 ** (merges + 1):
            merges += 1
        self.merge = nn.Sequential(
            *(Merging(dim, side // 2**k, k == 0 or k < merges - 1) for k in range(merges))
        )
        self.layers = nn.Sequential(
            *(Block(dim, num_heads=math.gcd(dim, EXIT_HEADS)) for _ in range(layers))
        )
        self.head = nn.Linear(dim, classes)
        self.apply(initialise)

    def forward(self, tokens: Tensor) -> Tensor:
        """``(batch, side², dim)`` to logits ``(batch, classes)``."""
        return self.head(self.layers(self.merge(tokens)).mean(dim=1))


def initialise(module: nn.Module) -> None:
    """The published initial weights of an exit."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


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
            width = max(output.layers[0].shape[2], pair.maps[-1].shape[1])
            stages = enumerate(output.features)
            exits = [MapExit(each.shape[1], 3 - j, width, classes) for j, each in stages]
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
