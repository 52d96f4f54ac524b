"""The training loop: epochs of steps, the watched images, checkpoints, the time budget."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from hdkd.config import Augmentation, Engine, Training
from hdkd.data.batches.augment import normalise
from hdkd.data.batches.feed import Feed
from hdkd.data.batches.imageset import TrainingSet
from hdkd.distillation.hdkd import Teaching
from hdkd.errors import RunError, UnfinishedError
from hdkd.evaluation.metrics import balanced_accuracy
from hdkd.training.checkpoint import Checkpoint
from hdkd.training.engine import Step
from hdkd.training.kept import Kept
from hdkd.training.schedule import build_optimizer, learning_rate, set_learning_rate

EVALUATION_BATCH = 256
BATCHNORM_MOMENTUM = 0.1


@dataclass(frozen=True)
class Watched:
    """What is evaluated between epochs: ``images`` ``(n, channels, size, size)`` bytes and ``labels`` ``(n,)`` of
    the ``part`` ``validation``, or of ``test`` where the study has no validation images.
    """

    part: str
    images: np.ndarray
    labels: np.ndarray


def train(
    model: nn.Module,
    training_set: TrainingSet,
    watched: Watched,
    training: Training,
    augmentation: Augmentation,
    engine: Engine,
    seed: int,
    device: str,
    on_epoch: Callable[[dict[str, float | None]], None],
    teaching: Teaching | None = None,
    checkpoint: Checkpoint | None = None,
    deadline: float | None = None,
) -> Kept:
    """Train ``model`` in place, to its last epoch, and return the weights that ``training.keep`` keeps.

    With a ``checkpoint`` it continues after the epochs that this has behind it, and saves when due.
    Raises ``UnfinishedError`` after an epoch when another as long would not end before ``deadline``, a
    reading of ``time.monotonic``.

    After each epoch ``on_epoch`` gets its number (from 1), learning rate, losses and accuracies on train (as
    trained, augmented) and on what is ``watched``, and images per second; those on the watched
    images are ``None`` where ``evaluate_every`` skips them. Raises ``RunError`` when the loss or a
    weight is no longer a finite number; the checkpoint from before stays.
    """
    model.to(device, memory_format=torch.channels_last)
    if teaching:
        set_batchnorm_momentum(model, teaching.settings.batchnorm_updates)
    optimizer = build_optimizer(model, training)
    step = Step(model, optimizer, augmentation, engine, device, training.batch_size, teaching)
    feed = Feed(training_set, device, training.epoch_images)
    pixels = torch.from_numpy(np.array(watched.images)).to(device)
    kept = Kept(training.keep)
    order = torch.Generator().manual_seed(seed)
    draws = torch.Generator().manual_seed(seed + 1_000_003)
    generators = {"order": order, "draws": draws}
    torch.manual_seed(seed + 2_000_003)  # of dropout, which takes no generator
    slowest = 0.0
    if checkpoint:
        checkpoint.restore(model, optimizer, generators, kept)
    for epoch in range(checkpoint.finished if checkpoint else 0, training.epochs):
        started = time.perf_counter()
        rate = learning_rate(epoch, training)
        set_learning_rate(optimizer, rate)
        model.train()
        batches = feed.epoch(training.batch_size, order, draws)
        for images, labels, chances in progress(batches, epoch, training, len(feed)):
            step(images, labels, chances)
        means = step.means(len(feed))
        seconds = time.perf_counter() - started
        trouble = None
        if not np.isfinite(means["loss"]):
            first = int(step.finite_steps) + 1
            trouble = f"the loss is {means['loss']} from step {first} of epoch {epoch + 1} on"
        elif not has_finite_weights(model):
            trouble = f"a weight is no finite number after epoch {epoch + 1}"
        if trouble:
            kept = ""
            if checkpoint and checkpoint.finished:
                kept = f"; {checkpoint.path} has the state after epoch {checkpoint.finished}"
            raise RunError(f"{trouble}, at learning rate {rate:g}: lower the learning rate{kept}")
        step.finite_steps.zero_()
        row = {
            "epoch": epoch + 1,
            "learning_rate": rate,
            **{f"train_{name}": value for name, value in means.items()},
            "images_per_second": len(feed) / seconds,
            **{
                f"{watched.part}_{name}": None for name in ("loss", "accuracy", "balanced_accuracy")
            },
        }
        last = epoch + 1 == training.epochs
        if last or (epoch + 1) % training.evaluate_every == 0:
            for name, value in evaluated(model, pixels, watched.labels).items():
                row[f"{watched.part}_{name}"] = value
            kept.offer(row, model)
        on_epoch(row)
        slowest = max(slowest, time.perf_counter() - started)
        stops = not last and deadline is not None and time.monotonic() + slowest > deadline
        if checkpoint and (checkpoint.due or stops):
            checkpoint.save(epoch + 1, model, optimizer, generators, kept)
        if stops:
            raise UnfinishedError(
                f"the time budget ends after epoch {epoch + 1} of {training.epochs}"
            )
    return kept


def evaluated(model: nn.Module, images: Tensor, labels: np.ndarray) -> dict[str, float]:
    """Loss, accuracy and balanced accuracy on images and labels as in :func:`predict`."""
    probabilities, loss = predict(model, images, labels)
    predicted = probabilities.argmax(axis=1)
    return {
        "loss": loss,
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": balanced_accuracy(predicted, labels),
    }


def set_batchnorm_momentum(model: nn.Module, updates: tuple[int, int, int]) -> None:
    """Make one pass update the running statistics of stage j as ``updates[j]`` passes would.

    k updates with momentum m and the same batch are one with momentum 1 - (1 - m)^k.
    """
    for stage, count in zip(model.convolutions.stages, updates, strict=True):
        for module in stage.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1 - (1 - BATCHNORM_MOMENTUM) ** count


def has_finite_weights(model: nn.Module) -> bool:
    """Whether all parameters and running statistics are finite numbers."""
    tensors = [value for value in model.state_dict().values() if value.is_floating_point()]
    return bool(torch.stack([value.isfinite().all() for value in tensors]).all())


@torch.inference_mode()
def predict(model: nn.Module, images: Tensor, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Probabilities ``(n, classes)`` in float32 for bytes ``(n, channels, h, w)`` on the model's device.

    And the mean cross-entropy with ``labels`` ``(n,)``.
    """
    model.eval()
    logits = []
    for batch in images.split(EVALUATION_BATCH):
        batch = normalise(batch).contiguous(memory_format=torch.channels_last)
        logits.append(model.predict(batch))
    stacked = torch.cat(logits).cpu()
    loss = F.cross_entropy(stacked, torch.from_numpy(np.array(labels)))
    return stacked.softmax(dim=1).numpy(), loss.item()


def progress(batches, epoch: int, training: Training, images: int):
    """A progress bar in a terminal, nothing in a log."""
    if not sys.stderr.isatty():
        return batches
    total = -(-images // training.batch_size)
    return tqdm(batches, f"epoch {epoch + 1}/{training.epochs}", total, leave=False)
