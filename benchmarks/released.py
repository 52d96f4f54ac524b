"""The released implementation (repository omarsherif200/HDKD) from a checkout that the user has.

Nothing of it is in this project: its modules are imported from the checkout and run as they are.
"""

import importlib
import re
import sys
import warnings
from argparse import Namespace
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.networks import CLASSES, RATES, network
from hdkd.errors import UserError

RENAMED = (
    (r"^stage([123])\.", lambda m: f"convolutions.stages.{int(m[1]) - 1}."),
    (r"\.proj\.", ".skip.1."),
    (r"\.conv\.norm\.", ".main.0."),
    (r"\.conv\.fn\.(\d+)\.", lambda m: f".main.{int(m[1]) + 1}."),
    (r"\.channel_attention\.fc\.", ".channel.mlp."),
    (r"\.spatial_attention\.conv1\.", ".spatial.conv."),
    (r"^fn1\.", "head.0."),
    (r"^classifier\.", "head.1."),
    (r"^head_cls\.", "class_head."),
    (r"^head_distill\.", "distillation_head."),
    (r"^DFLT_module\.pos_embedding$", "transformer.positions"),
    (r"^DFLT_module\.to_patch_embedding\.(\d+)\.", lambda m: f"transformer.embed.{int(m[1]) - 1}."),
    (r"^DFLT_module\.transformer\.norm\.", "transformer.norm."),
    (r"^DFLT_module\.transformer\.layers\.(\d+)\.0\.", r"transformer.layers.\1.attention."),
    (r"^DFLT_module\.transformer\.layers\.(\d+)\.1\.net\.0\.", r"transformer.layers.\1.mlp.0."),
    (r"^DFLT_module\.transformer\.layers\.(\d+)\.1\.net\.3\.", r"transformer.layers.\1.mlp.2."),
    (r"\.attention\.to_qkv\.", ".attention.qkv."),
    (r"\.attention\.to_out\.0\.", ".attention.out."),
)

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]


def check(checkout: Path) -> None:
    """Raise ``UserError`` where ``checkout`` is none of the released code."""
    if not (checkout / "engine.py").is_file():
        raise UserError(f"{checkout} has no engine.py: name a checkout of omarsherif200/HDKD")


class Released:
    """Its networks with the weights of ours, its losses, its loop over batches, its data."""

    def __init__(self, checkout: Path, size: int, device: str = "cpu") -> None:
        sys.path.insert(0, str(checkout))
        warnings.filterwarnings("ignore", category=FutureWarning)
        try:
            self._engine, self._losses, self._data = (
                importlib.import_module(name) for name in ("engine", "losses", "dataset")
            )
            networks = [
                importlib.import_module(f"models.{n}_model") for n in ("teacher", "student")
            ]
        except ModuleNotFoundError as error:
            raise UserError(f"the released code needs {error.name}: pip install it") from None
        self._size = size
        channels = [64, 96, 192]
        self.teacher = networks[0].TeacherModel((size, size), 3, [6, 6, 9], channels, CLASSES)
        self.hdkd = networks[1].StudentModel(
            (size, size), 3, [2, 2, 3, 3], [*channels, 256], (2, 2), CLASSES, use_distillation=True
        )
        for role, model in (("teacher", self.teacher), ("hdkd", self.hdkd)):
            model.load_state_dict(renamed(model, network(role, size).state_dict()))
            model.to(device)
        self._device = torch.device(device)
        self._optimizers: dict[str, torch.optim.Optimizer] = {}

    def epoch(self, role: str, batches: Batches) -> dict[str, float]:
        """Its ``train_one_epoch``: mean loss and accuracy; each role has its own optimiser."""
        return self._engine.train_one_epoch(
            *self._arguments(role, batches), self._device, 0, role == "hdkd"
        )

    def evaluation(self, batches: Batches) -> dict[str, float]:
        """Its ``evaluate`` of HDKD."""
        return self._engine.evaluate(self.hdkd, nn.CrossEntropyLoss(), batches, self._device, True)

    def loader(self, folder: Path, batch: int, train: bool) -> Batches:
        """Its loader over ``folder/train`` or ``folder/test``: two workers, its augmentation."""
        sides = [self._size, self._size]
        settings = Namespace(
            data_path=str(folder), input_size=sides, batch_size=batch, use_smote=False, rotate=180,
            horizontal_flip=True, vertical_flip=True, brightness=0.3, contrast=0.3, saturation=None,
            hue=None, sharpness=2, blur=3,
        )  # fmt: skip
        return self._data.build_dataset(train, settings)[0]

    def _arguments(self, role: str, batches: Batches) -> tuple[Any, ...]:
        model = getattr(self, role)
        kind, rate, decay = RATES[role]
        if role not in self._optimizers:
            optimizers = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
            optimizer = optimizers[kind](model.parameters(), lr=rate, weight_decay=decay)
            self._optimizers[role] = optimizer
        criterion = {"CE_loss": nn.CrossEntropyLoss()}
        if role == "hdkd":
            self.teacher.eval()
            logits = self._losses.LogitDistillationLoss(
                nn.CrossEntropyLoss(), self.teacher, "soft", 0.5, 1.0
            )
            features = self._losses.FeatureDistillationLoss(self.teacher, model, 1.0)
            total = self._losses.TotalDistillationLoss(logits, features, 10)
            criterion["Total_distillation_loss"] = total
        return model, criterion, batches, self._optimizers[role]


def renamed(model: nn.Module, ours: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Our state dict under the names of the released ``model``."""
    state = {}
    for name in model.state_dict():
        if name.endswith(("cls_token", "distill_token")):
            position = 0 if name.endswith("cls_token") else 1
            state[name] = ours["transformer.tokens"][:, position : position + 1]
            continue
        our_name = name
        for pattern, replacement in RENAMED:
            our_name = re.sub(pattern, replacement, our_name)
        state[name] = ours[our_name]
    return state
