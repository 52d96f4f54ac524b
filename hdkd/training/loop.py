"""The training loop: one forward pass of the student and one of the teacher per step."""

import dataclasses
import sys
import time
from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from hdkd.config import Augmentation, Distillation, Training
from hdkd.data.augment import augment, normalise
from hdkd.data.imageset import TrainingSet
from hdkd.errors import RunError, UnfinishedError
from hdkd.training.checkpoint import Checkpoint
from hdkd.training.losses import distillation_loss
from hdkd.training.schedule import build_optimizer, learning_rate

EVALUATION_BATCH = 256
BATCHNORM_MOMENTUM = 0.1


@dataclasses.dataclass(frozen=True)
class Teaching:
    """A frozen teacher and how its knowledge enters the loss."""

    teacher: nn.Module
    settings: Distillation


def train(
    model: nn.Module,
    training_set: TrainingSet,
    test_images: np.ndarray,
    test_labels: np.ndarray,
    training: Training,
    augmentation: Augmentation,
    seed: int,
    device: str,
    on_epoch: Callable[[dict[str, float | None]], None],
    teaching: Teaching | None = None,
    checkpoint: Checkpoint | None = None,
    deadline: float | None = None,
) -> np.ndarray:
    """Train ``model`` in place and return its test probabilities ``(n, classes)`` after the last epoch.

    With a ``checkpoint`` it continues after the epochs that this has behind it, and saves after each.
    Raises ``UnfinishedError`` after an epoch when another as long would not end before ``deadline``, a
    reading of ``time.monotonic``.

    ``test_images`` are bytes ``(n, channels, size, size)``. After each epoch ``on_epoch`` gets its
    number (from 1), learning rate, losses, accuracies on train (as trained, augmented) and test, and
    images per second; those on test are ``None`` where ``evaluate_every`` skips them. Raises ``RunError`` when the loss is no longer a finite number.
    """
    model.to(device, memory_format=torch.channels_last)
    if teaching:
        teaching.teacher.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)
        set_batchnorm_momentum(model, teaching.settings.batchnorm_updates)
    optimizer = build_optimizer(model, training)
    order = torch.Generator().manual_seed(seed)
    draws = torch.Generator().manual_seed(seed + 1_000_003)
    generators = {"order": order, "draws": draws}
    torch.manual_seed(seed + 2_000_003)  # of dropout, which takes no generator
    probabilities = None
    slowest = 0.0
    if checkpoint:
        checkpoint.restore(model, optimizer, generators)
    for epoch in range(checkpoint.finished if checkpoint else 0, training.epochs):
        started = time.perf_counter()
        rate = learning_rate(epoch, training)
        for group in optimizer.param_groups:
            group["lr"] = rate
        model.train()
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=device))
        batches = training_set.batches(training.batch_size, order)
        for images, labels in progress(batches, epoch, training, len(training_set)):
            images, labels = images.to(device), labels.to(device)
            images = augment(images.float() / 255, augmentation, draws)
            images = normalise(images).contiguous(memory_format=torch.channels_last)
            terms, logits = step_loss(model, images, labels, teaching)
            optimizer.zero_grad(set_to_none=True)
            terms["loss"].backward()
            optimizer.step()
            for name, value in terms.items():
                sums[name] += value.detach() * len(labels)
            sums["accuracy"] += (logits.detach().argmax(dim=1) == labels).sum()
        means = {name: (value / len(training_set)).item() for name, value in sums.items()}
        seconds = time.perf_counter() - started
        if not np.isfinite(means["loss"]):
            raise RunError(
                f"the loss is {means['loss']} in epoch {epoch + 1} at learning rate {rate:g}: "
                "lower the learning rate"
            )
        row = {
            "epoch": epoch + 1,
            "learning_rate": rate,
            **{f"train_{name}": value for name, value in means.items()},
            "images_per_second": len(training_set) / seconds,
            "test_loss": None,
            "test_accuracy": None,
        }
        last = epoch + 1 == training.epochs
        if last or (epoch + 1) % training.evaluate_every == 0:
            probabilities, row["test_loss"] = predict(model, test_images, test_labels, device)
            row["test_accuracy"] = float((probabilities.argmax(axis=1) == test_labels).mean())
        on_epoch(row)
        if checkpoint:
            checkpoint.save(epoch + 1, model, optimizer, generators)
        slowest = max(slowest, time.perf_counter() - started)
        if not last and deadline is not None and time.monotonic() + slowest > deadline:
            raise UnfinishedError(
                f"the time budget ends after epoch {epoch + 1} of {training.epochs}"
            )
    if probabilities is None:  # every epoch was behind the checkpoint
        probabilities, _ = predict(model, test_images, test_labels, device)
    return probabilities


def step_loss(
    model: nn.Module, images: Tensor, labels: Tensor, teaching: Teaching | None
) -> tuple[dict[str, Tensor], Tensor]:
    """Loss terms of one step by name, and the logits that predict: cross-entropy, or equation 8."""
    if teaching is None:
        logits = model(images)
        return {"loss": F.cross_entropy(logits, labels)}, logits
    with torch.no_grad():
        teacher_logits, teacher_features = teaching.teacher(images, return_features=True)
    logits, features = model(images, return_features=True)
    settings = dataclasses.asdict(teaching.settings)
    del settings["batchnorm_updates"]
    terms = distillation_loss(
        logits, features, teacher_logits, teacher_features, labels, **settings
    )
    return terms, model.combine(logits)


def set_batchnorm_momentum(model: nn.Module, updates: tuple[int, int, int]) -> None:
    """Make one pass update the running statistics of stage j as ``updates[j]`` passes would.

    k updates with momentum m and the same batch are one with momentum 1 - (1 - m)^k.
    """
    for stage, count in zip(model.convolutions.stages, updates, strict=True):
        for module in stage.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1 - (1 - BATCHNORM_MOMENTUM) ** count


@torch.inference_mode()
def predict(
    model: nn.Module, images: np.ndarray, labels: np.ndarray, device: str
) -> tuple[np.ndarray, float]:
    """Probabilities ``(n, classes)`` for bytes ``(n, channels, size, size)``, and the mean cross-entropy."""
    model.eval()
    logits = []
    for start in range(0, len(images), EVALUATION_BATCH):
        batch = torch.from_numpy(np.array(images[start : start + EVALUATION_BATCH])).to(device)
        batch = normalise(batch).contiguous(memory_format=torch.channels_last)
        logits.append(model.predict(batch).float().cpu())
    stacked = torch.cat(logits)
    loss = F.cross_entropy(stacked, torch.from_numpy(np.array(labels)))
    return stacked.softmax(dim=1).numpy(), loss.item()


def progress(batches, epoch: int, training: Training, images: int):
    """A progress bar in a terminal, nothing in a log."""
    if not sys.stderr.isatty():
        return batches
    total = -(-images // training.batch_size)
    return tqdm(batches, f"epoch {epoch + 1}/{training.epochs}", total, leave=False)
