"""A student taught by a teacher, from anyone's loaders, by the steps of this project's runs."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.api.batches import Batches, Loader
from hdkd.api.networks import Adapted, given_for
from hdkd.api.settings import ENGINE, NO_AUGMENTATION, Changes, choose
from hdkd.api.teaching import teaching_of
from hdkd.config import Training
from hdkd.distillation.method import Method
from hdkd.errors import ParameterError, RunError
from hdkd.evaluation.metrics import balanced_accuracy
from hdkd.models import ImageModel
from hdkd.training.engine import Step
from hdkd.training.job import choose_device
from hdkd.training.kept import KeptWeights
from hdkd.training.loop import WATCHED_METRICS, Row, has_finite_weights
from hdkd.training.schedule import build_optimizer, learning_rate, set_learning_rate

DEVICES = ("auto", "cpu", "cuda")
DROPOUT_SEED = 2_000_003  # what a run adds to its seed (training/loop.py)


@dataclass(frozen=True)
class Distilled:
    """A trained ``student``, in evaluation mode, with the weights of ``epoch`` (from 1).

    ``history`` has a row for each epoch: its number, learning rate, mean ``train_`` loss, terms
    and accuracy, images per second; where it was evaluated, ``validation_`` loss, accuracy and
    balanced accuracy, else ``None``.
    """

    student: nn.Module
    history: list[Row]
    epoch: int


def distill(
    teacher: nn.Module | None,
    student: nn.Module,
    loaders: tuple[Batches, Batches | None],
    method: str | type[Method] = "hdkd",
    *,
    optimizer: torch.optim.Optimizer | None = None,
    device: str = "auto",
    seed: int = 0,
    on_epoch: Callable[[Row], None] | None = None,
    **settings: Unpack[Changes],
) -> Distilled:
    """Train ``student`` in place, taught by ``teacher``; returns it with what was measured.

    Networks map images ``(batch, channels, height, width)`` to logits ``(batch, classes)``, or to
    what :class:`~hdkd.api.networks.Adapted` takes; ``teacher``, which is left frozen, may be
    ``None`` for a method that asks none. ``loaders`` are those of training and of validation images
    (or ``None``): iterables of images, floats as the networks want them, and labels ``(batch,)``.
    ``method`` is one of ``hdkd methods`` or a class of your own.

    Without an ``optimizer`` it is AdamW, its rate a warm-up and half a cosine, as the paper's; one
    that is passed has its own rates. ``device`` is ``auto``, ``cpu`` or ``cuda``. ``seed`` decides
    dropout, what a method learns itself, and the order of a loader without a generator.
    ``on_epoch`` gets each row of the history. ``settings`` are :class:`~hdkd.api.settings.Changes`.

    Raises ``ParameterError`` for settings, networks and methods that do not fit, ``DataError`` for
    batches and outputs that are none, ``RunError`` where a loss or a weight is no finite number.
    """
    chosen = choose(dict(settings), optimizer is not None)
    training = chosen.training
    device = _device(device)
    if not isinstance(loaders, list | tuple) or len(loaders) != 2:
        raise ParameterError(
            "loaders must be a pair: of training images, and of validation images or None"
        )
    train = Loader(loaders[0], "training", device)
    validation = None if loaders[1] is None else Loader(loaders[1], "validation", device)
    if validation is None and training.keep != "last":
        raise ParameterError(f"keep={training.keep!r} needs a validation loader, too")
    # The caller's random numbers go on as if none had been drawn here.
    with torch.random.fork_rng([torch.cuda.current_device()] if device == "cuda" else []):
        torch.manual_seed(seed + DROPOUT_SEED)
        taught = Adapted(student.to(device))
        asked = None if teacher is None else Adapted(teacher.to(device))
        images = train.first()
        classes = given_for(taught, images[:1]).logits.shape[1]
        teaching = teaching_of(method, asked, taught, images, chosen, seed)
        _check_trained(student, teaching.teacher, optimizer)
        own = optimizer and _with(optimizer, teaching.method)
        made = own or build_optimizer(taught, training, teaching.method)
        step = Step(taught, made, NO_AUGMENTATION, ENGINE, device, teaching)
        _lay_out(made)
        epochs = Epochs(step, train, validation, training, classes, own is None)
        kept, history = KeptWeights(training.keep), []
        for finished in range(training.epochs):
            history.append(row := epochs.train(finished))
            if row.get("validation_loss") is not None or finished + 1 == training.epochs:
                kept.offer(row, taught)
            if on_epoch:
                on_epoch(row)
        kept.put_back(taught)
    return Distilled(student.eval(), history, kept.epoch)


@dataclass(frozen=True)
class Epochs:
    """The epochs of a distillation; ``scheduled`` where the learning rate is of ``training``."""

    step: Step
    images: Loader
    validation: Loader | None
    training: Training
    classes: int
    scheduled: bool

    def train(self, finished: int) -> Row:
        """Train one more epoch after ``finished`` ones, evaluate where due; returns its row.

        Raises ``RunError`` when the loss or a weight is no longer a finite number.
        """
        step, training, number = self.step, self.training, finished + 1
        if self.scheduled:
            set_learning_rate(step.optimizer, learning_rate(finished, training))
        rate = float(step.optimizer.param_groups[0]["lr"])
        started, count = time.perf_counter(), 0
        step.model.train()
        step.progress.fill_(finished / training.epochs)
        for images, labels in self.images.epoch(self.classes):
            step.update(images, labels)
            count += len(labels)
        means = step.means(count)
        row: Row = {
            "epoch": number,
            "learning_rate": rate,
            **{f"train_{name}": value for name, value in means.items()},
            "images_per_second": count / (time.perf_counter() - started),
        }
        if not math.isfinite(means["loss"]) or not has_finite_weights(step.model):
            raise RunError(
                f"the loss or a weight is no finite number after epoch {number}, at learning rate "
                f"{rate:g}: lower it"
            )
        if self.validation:
            row |= {f"validation_{name}": None for name in WATCHED_METRICS}
            if number == training.epochs or number % training.evaluate_every == 0:
                with torch.random.fork_rng(devices=[]):  # its loader leaves training's order alone
                    values = evaluated(step.model, self.validation.epoch(self.classes))
                row |= {f"validation_{name}": value for name, value in values.items()}
        return row


@torch.inference_mode()
def evaluated(model: ImageModel, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """Loss, accuracy and balanced accuracy of what ``model`` predicts, in evaluation mode."""
    model.eval()
    given = [(model.predict(images).float().cpu(), labels.cpu()) for images, labels in batches]
    logits, labels = (torch.cat(each) for each in zip(*given, strict=True))
    predicted, true = logits.argmax(dim=1).numpy(), labels.numpy()
    return {
        "loss": F.cross_entropy(logits, labels).item(),
        "accuracy": float((predicted == true).mean()),
        "balanced_accuracy": balanced_accuracy(predicted, true),
    }


def _check_trained(
    student: nn.Module, teacher: nn.Module | None, optimizer: torch.optim.Optimizer | None
) -> None:
    """Raise ``ParameterError`` where the student, or a part of it, would not be trained."""
    trained = {p for p in student.parameters() if p.requires_grad}
    if teacher and trained & {*teacher.parameters()}:
        raise ParameterError(
            "teacher and student share weights, which are frozen with the teacher: pass a copy "
            "(copy.deepcopy) as the teacher"
        )
    if not trained:
        raise ParameterError(
            "no weight of the student requires a gradient, as those of a teacher do not: call "
            "student.requires_grad_() first"
        )
    if optimizer and not trained & {p for g in optimizer.param_groups for p in g["params"]}:
        raise ParameterError("the optimizer that you pass has none of the student's parameters")


def _with(optimizer: torch.optim.Optimizer, method: Method) -> torch.optim.Optimizer:
    """The caller's optimizer, which trains what the method learns itself, too."""
    # A group of its own would break a schedule that was made for the groups that there are.
    optimizer.param_groups[0]["params"].extend(method.parameters())
    return optimizer


def _lay_out(optimizer: torch.optim.Optimizer) -> None:
    """Lay what an optimizer knows of its parameters out in memory as they lie now.

    Fused steps go through memory as it lies.
    """
    for parameter, known in optimizer.state.items():
        for name, value in known.items():
            if isinstance(value, Tensor) and value.ndim and value.shape == parameter.shape:
                known[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _device(name: str) -> str:
    if name not in DEVICES:
        raise ParameterError(f"device must be one of {', '.join(DEVICES)}, not {name!r}")
    return choose_device(name)
