"""The training loop: epochs of steps, the watched images, checkpoints, the time budget."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hdkd.config import Augmentation, Engine, Training
from hdkd.data.batches.augment import normalise
from hdkd.data.batches.imageset import Chosen, TrainingSet
from hdkd.data.batches.loader import Loader, held
from hdkd.distillation.method import Teaching
from hdkd.errors import RunError, UnfinishedError
from hdkd.evaluation.metrics import balanced_accuracy
from hdkd.models import ImageModel
from hdkd.progress import progress
from hdkd.runs.records import Part
from hdkd.training import parallel
from hdkd.training.checkpoint import Checkpoint, State
from hdkd.training.engine import Step
from hdkd.training.evaluated import evaluation_batches
from hdkd.training.kept import KeptWeights
from hdkd.training.schedule import build_optimizer, learning_rate, set_learning_rate

SEEDS_APART = 1_000_003  # of the epochs of several processes: more than there are processes
WATCHED_METRICS = ("loss", "accuracy", "balanced_accuracy")


@dataclass(frozen=True)
class Watched:
    """What is evaluated between epochs.

    ``images`` are bytes ``(n, channels, size, size)``, ``labels`` ``(n,)``.
    """

    part: Part
    images: Chosen | np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Setup:
    """What a network is trained with: images, schedule, seed, device and how it is taught."""

    training_set: TrainingSet
    watched: Watched
    training: Training
    augmentation: Augmentation
    engine: Engine
    seed: int
    device: str
    teaching: Teaching | None = None


Row = dict[str, float | None]


def train(
    model: ImageModel,
    setup: Setup,
    on_epoch: Callable[[Row], None],
    checkpoint: Checkpoint | None = None,
    deadline: float | None = None,
) -> KeptWeights:
    """Train ``model`` in place to its last epoch; returns the weights that ``training.keep`` keeps.

    With a ``checkpoint`` it resumes after the epochs that this has behind it, and saves when due.
    ``on_epoch`` gets each row of :meth:`Loop.epoch`. Raises ``UnfinishedError`` after an epoch when
    another would not end before ``deadline``, a reading of ``time.monotonic``; ``RunError`` when
    the loss or a weight is no longer a finite number: the earlier checkpoint stays. Where several
    processes train, the first decides when to stop, and its weights are kept.
    """
    loop = Loop(model, setup)
    epochs = setup.training.epochs
    finished, seconds = 0, []
    if checkpoint:
        checkpoint.restore(loop.state)
        finished = checkpoint.finished
    while finished < epochs:
        started = time.perf_counter()
        try:
            row = loop.epoch(finished)
        except FloatingPointError as error:
            saved = ""
            if checkpoint and checkpoint.finished:
                saved = f"; {checkpoint.path} has the state after epoch {checkpoint.finished}"
            raise RunError(f"{error}: lower the learning rate{saved}") from None
        on_epoch(row)
        finished += 1
        seconds.append(time.perf_counter() - started)
        late = deadline is not None and time.monotonic() + expected_seconds(seconds) > deadline
        stops = parallel.agreed(late, setup.device) and finished < epochs
        if checkpoint and (checkpoint.due or stops):
            checkpoint.save(finished, loop.state)
        if stops:
            raise UnfinishedError(f"the time budget ends after epoch {finished} of {epochs}")
    return loop.state.kept


def expected_seconds(seconds: Sequence[float]) -> float:
    """How long another epoch takes: the median of those before, without the first if it can be.

    The first warms up: kernels are chosen, steps recorded.
    """
    return median(seconds[1:] or seconds)


class Loop:
    """The epochs of a run, one after the other; all that changes is in ``state``."""

    def __init__(self, model: ImageModel, setup: Setup) -> None:
        training, teaching = setup.training, setup.teaching
        model.to(setup.device)
        # What a method learns itself is trained along.
        method = teaching.method.to(setup.device) if teaching else nn.Module()
        if teaching:
            teaching.method.prepare(model)
        optimizer = build_optimizer(model, training, method)
        generators = {
            "order": torch.Generator().manual_seed(setup.seed),
            "draws": torch.Generator().manual_seed(setup.seed + 1_000_003),
        }
        torch.manual_seed(setup.seed + 2_000_003)  # of dropout, which takes no generator
        self.state = State(model, optimizer, generators, KeptWeights(training.keep), method)
        self._setup = setup
        share = parallel.share()
        self._loader = Loader(setup.training_set, setup.device, training.epoch_images, share=share)
        self._step = Step(
            model,
            optimizer,
            setup.augmentation,
            setup.engine,
            setup.device,
            teaching,
            self._loader.gather,
        )
        self._watched_images = held(setup.watched.images, setup.device)

    def epoch(self, finished: int) -> Row:
        """Train one more epoch after ``finished`` ones, evaluate where due, and return its row.

        A row has the epoch's number (from 1), learning rate, losses and accuracies on train (as
        trained, augmented) and on what is watched, and images per second. Those on the watched
        images are ``None`` where ``evaluate_every`` skips them, and in processes that do not lead.
        Raises ``FloatingPointError`` when the loss or a weight is no longer a finite number.
        """
        training, watched, state = self._setup.training, self._setup.watched, self.state
        number = finished + 1
        rate = learning_rate(finished, training)
        set_learning_rate(state.optimizer, rate)
        means, seconds = self._train(finished)
        self._check(means["loss"], number, rate)
        row: Row = {
            "epoch": number,
            "learning_rate": rate,
            **{f"train_{name}": value for name, value in means.items()},
            "images_per_second": len(self._loader) / seconds,
            **{f"{watched.part}_{name}": None for name in WATCHED_METRICS},
        }
        due = number == training.epochs or number % training.evaluate_every == 0
        if due and parallel.leads():
            values = evaluated(self._step.model, self._watched_images, watched.labels)
            row |= {f"{watched.part}_{name}": value for name, value in values.items()}
            state.kept.offer(row, state.model)
        return row

    def _train(self, finished: int) -> tuple[dict[str, float], float]:
        """Mean losses and accuracy over the images of an epoch, and the seconds that it took."""
        training = self._setup.training
        started = time.perf_counter()
        self.state.model.train()
        if (share := parallel.share()).of > 1:
            # A checkpoint has the dropout of one process: of several, each begins anew.
            torch.manual_seed(SEEDS_APART * (finished + 1) + self._setup.seed + share.rank)
        self._step.progress.fill_(finished / training.epochs)
        batches = self._loader.epoch(training.batch_size, **self.state.generators)
        title = f"epoch {finished + 1}/{training.epochs}"
        for batch in progress(batches, title, -(-len(self._loader) // training.batch_size)):
            self._step(*batch)
        means = self._step.means(len(self._loader))
        return means, time.perf_counter() - started

    def _check(self, loss: float, number: int, rate: float) -> None:
        finite_steps = int(self._step.finite_steps)
        self._step.finite_steps.zero_()
        if not np.isfinite(loss):
            fault = f"the loss is {loss} from step {finite_steps + 1} of epoch {number} on"
        elif not has_finite_weights(self.state.model, self.state.method):
            fault = f"a weight is no finite number after epoch {number}"
        else:
            return
        raise FloatingPointError(f"{fault}, at learning rate {rate:g}")


def evaluated(
    model: ImageModel, images: Tensor | Chosen | np.ndarray, labels: np.ndarray
) -> dict[str, float]:
    """Loss, accuracy and balanced accuracy on images and labels as in :func:`predict`."""
    probabilities, loss = predict(model, images, labels)
    predicted = probabilities.argmax(axis=1)
    return {
        "loss": loss,
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": balanced_accuracy(predicted, labels),
    }


def has_finite_weights(*modules: nn.Module) -> bool:
    """Whether all parameters and running statistics are finite numbers."""
    states = [value for module in modules for value in module.state_dict().values()]
    tensors = [value for value in states if value.is_floating_point()]
    return bool(torch.stack([value.isfinite().all() for value in tensors]).all())


@torch.inference_mode()
def predict(
    model: ImageModel, images: Tensor | Chosen | np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, float]:
    """Probabilities ``(n, classes)`` in float32 for bytes ``(n, channels, h, w)``.

    And the mean cross-entropy with ``labels`` ``(n,)``. Images that are not on the model's device
    are brought there batch by batch.
    """
    model.eval()
    device = next(model.parameters()).device
    batches = evaluation_batches(images, device)
    every = torch.cat([model.predict(normalise(batch)) for batch in batches]).cpu()
    loss = F.cross_entropy(every, torch.from_numpy(np.array(labels)))
    return every.softmax(dim=1).numpy(), loss.item()
