"""``torchrun tests/sharing.py OUTPUT``: a small HDKD trained by several processes at once."""

import sys
from pathlib import Path

import torch

from hdkd.distillation.hdkd import HDKD
from hdkd.distillation.method import Teaching
from hdkd.models import build
from hdkd.training import parallel
from hdkd.training.loop import Row, train
from small import DISTILLATION, SIZES, STUDENT, TRAINING, noise, setup


def trained() -> tuple[list[Row], dict[str, torch.Tensor]]:
    """What the epochs reported, and the weights after them."""
    torch.manual_seed(0)
    model = build("hdkd", **SIZES, **STUDENT)
    teaching = Teaching(build("teacher", **SIZES), HDKD(DISTILLATION))
    rows: list[Row] = []
    train(model, setup(noise(), TRAINING, teaching), rows.append)
    return rows, model.state_dict()


if __name__ == "__main__":
    with parallel.joined("cpu"):
        found = trained()
        torch.save(found, Path(sys.argv[1]) / f"{parallel.share().rank}.pt")
