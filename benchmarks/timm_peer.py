"""timm's own distillation, with our networks registered in it: what users would take instead.

``timm.task`` distils logits (as DeiT's soft targets) or the pooled features before the head. Its
loader decodes, crops, flips and changes colours image by image; its training script takes a step as
:meth:`Timm.epoch` does, on a GPU with ``--amp --amp-dtype bfloat16 --channels-last``.
"""

from collections.abc import Iterable
from pathlib import Path

import timm
import torch
from timm.data import create_dataset, create_loader
from timm.models import register_model
from timm.optim import create_optimizer_v2
from timm.task import FeatureDistillationTask, LogitDistillationTask
from torch import Tensor, nn

from benchmarks.networks import CLASSES, DISTILLATION, RATES, network

NORMALISATION = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}


class Registered(nn.Module):
    """One of our networks as timm knows its own: features, then a head."""

    num_classes, in_chans = CLASSES, 3
    pretrained_cfg = NORMALISATION

    def __init__(self, role: str, size: int) -> None:
        super().__init__()
        self.network = network(role, size)
        self.num_features = {"teacher": 192, "student": 256}[role]  # that the head takes

    def forward_features(self, images: Tensor) -> Tensor:
        """The last map of the teacher, the class token of the student."""
        last = self.network.convolutions(images)[-1]
        return last if hasattr(self.network, "head") else self.network.transformer(last)[0][:, 0]

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits ``(batch, classes)``, or what the head takes."""
        if hasattr(self.network, "head"):
            features = self.network.pool(features).flatten(1)
            return features if pre_logits else self.network.head(features)
        return features if pre_logits else self.network.class_head(features)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        return self.forward_head(self.forward_features(images))


@register_model
def hdkd_teacher(pretrained: bool = False, img_size: int = 224, **_: object) -> Registered:
    """The paper's teacher."""
    return Registered("teacher", img_size)


@register_model
def hdkd_student(pretrained: bool = False, img_size: int = 224, **_: object) -> Registered:
    """The paper's student."""
    return Registered("student", img_size)


class Timm:
    """A distillation ``task``, ``logits`` or ``features``, and the data that it trains on."""

    def __init__(self, task: str, size: int, device: str = "cpu") -> None:
        self._device, self._size = torch.device(device), size
        self._on_gpu = device == "cuda"
        if self._on_gpu:
            torch.backends.cudnn.benchmark = torch.backends.cuda.matmul.allow_tf32 = True
        self._layout = torch.channels_last if self._on_gpu else torch.contiguous_format
        student, teacher = (
            timm.create_model(f"hdkd_{role}", img_size=size).to(device, memory_format=self._layout)
            for role in ("student", "teacher")
        )
        common = {"criterion": nn.CrossEntropyLoss(), "device": self._device, "verbose": False}
        if task == "logits":
            self.task = LogitDistillationTask(
                student, teacher, task_loss_weight=1 - DISTILLATION.alpha, **common
            )
        else:
            self.task = FeatureDistillationTask(
                student, teacher, distill_loss_weight=DISTILLATION.feature_weight, **common
            )
        kind, rate, decay = RATES["hdkd"]
        self._optimizer = create_optimizer_v2(
            self.task.trainable_module, opt=kind, lr=rate, weight_decay=decay
        )

    def loader(self, folder: Path, batch: int) -> Iterable[tuple[Tensor, Tensor]]:
        """Timm's loader over ``folder/train``: its augmentation; on a GPU its workers' number."""
        dataset = create_dataset("", root=str(folder / "train"), is_training=True)
        return create_loader(
            dataset, (3, self._size, self._size), batch, is_training=True, vflip=0.5,
            color_jitter=0.3, num_workers=4 if self._on_gpu else 2, use_prefetcher=self._on_gpu,
            device=self._device, **NORMALISATION,
        )  # fmt: skip

    def epoch(self, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Train on all batches, as timm's script does; the mean loss."""
        self.task.train()
        losses = []
        for images, labels in batches:
            given = images.to(self._device, memory_format=self._layout)
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._on_gpu):
                found = self.task(given, labels.to(self._device))
            self._optimizer.zero_grad()
            found["loss"].backward()
            self._optimizer.step()
            losses.append(found["loss"].detach())
        return torch.stack(losses).mean().item()
