"""How a student is trained and taught where no parameter file says it: the paper's values.

They are those of the profile ``paper``, without what only repeats the released code (a learning
rate that lags, statistics that are updated several times).
"""

import dataclasses
from typing import Any, Literal, NamedTuple, TypedDict

from pydantic import ValidationError

from hdkd.config import Augmentation, Distillation, Engine, Training
from hdkd.config.sentences import sentence
from hdkd.errors import ParameterError


class Changes(TypedDict, total=False):
    """What a caller may change of :data:`TRAINING` and :data:`DISTILLATION`.

    ``epochs``, ``warmup_epochs`` and ``evaluate_every`` count epochs; ``keep`` is the epoch whose
    weights stay. ``alpha`` to ``stage_power`` are the parameters of equations 6 to 8 (α, t, λ, the
    power of the stage), which HDKD and its variants read; other methods have their published
    weights. ``strength`` multiplies whatever a method adds to the labels' term.
    """

    epochs: int
    lr: float
    min_lr: float
    warmup_lr: float
    warmup_epochs: int
    weight_decay: float
    evaluate_every: int
    keep: Literal["last", "best_on_validation"]
    alpha: float
    temperature: float
    targets: Literal["soft", "hard"]
    kl_normalisation: Literal["batch", "batch_and_classes"]
    feature_weight: float
    stage_power: float
    strength: float


class Chosen(NamedTuple):
    """The values of :class:`Changes` and what nobody has changed, valid and beside each other."""

    training: Training
    distillation: Distillation
    strength: float


TRAINING: dict[str, Any] = {
    "epochs": 200,
    "lr": 5e-5,
    "min_lr": 2e-5,
    "warmup_lr": 2e-5,
    "weight_decay": 0.05,
    "evaluate_every": 1,
    "keep": "last",
}
WARMUP = 5 / 200  # of the epochs
DISTILLATION: dict[str, Any] = {
    "alpha": 0.5,
    "temperature": 1.0,
    "targets": "soft",
    "kl_normalisation": "batch_and_classes",
    "feature_weight": 10.0,
    "stage_power": 1.0,
}
OF_OPTIMIZER = ("lr", "min_lr", "warmup_lr", "warmup_epochs", "weight_decay")
KEPT = ("last", "best_on_validation")

# Batches come as the loader has made them, and one float32 pass is what every device computes.
NO_AUGMENTATION = Augmentation(0.0, False, False, 0.0, 0.0, 1.0, None)
ENGINE = Engine("float32", False, "channels_last", cuda_graph=False, compile=False)


def choose(changes: dict[str, Any], own_optimizer: bool) -> Chosen:
    """The settings with a caller's ``changes``.

    Raises ``ParameterError`` for unknown or unfitting ones, and for those of an optimiser where the
    caller has brought an optimiser.
    """
    known = [*TRAINING, "warmup_epochs", *DISTILLATION, "strength"]
    if unknown := [name for name in changes if name not in known]:
        raise ParameterError(f"unknown setting {', '.join(unknown)}: there are {', '.join(known)}")
    if own_optimizer and (given := [name for name in OF_OPTIMIZER if name in changes]):
        raise ParameterError(
            f"{', '.join(given)} would not reach the optimizer that you pass: set it there"
        )
    changes = dict(changes)
    strength = changes.pop("strength", 1.0)
    if not isinstance(strength, int | float) or not 0 <= strength < float("inf"):
        raise ParameterError(f"strength must be a number of at least 0, not {strength!r}")
    taught = {name: changes.pop(name) for name in DISTILLATION if name in changes}
    trained = TRAINING | changes
    if trained["keep"] not in KEPT:
        raise ParameterError(f"keep must be one of {', '.join(KEPT)}, not {trained['keep']!r}")
    try:
        # The loader decides the size of batches.
        training = Training(optimizer="adamw", batch_size=2, **{"warmup_epochs": 0} | trained)
        distillation = Distillation(**DISTILLATION | taught, batchnorm_updates=(1, 1, 1))
    except ValidationError as error:
        raise ParameterError(sentence(error, trained | taught, {})) from None
    return Chosen(with_warmup(training, trained), distillation, strength)


def with_warmup(training: Training, given: dict[str, Any]) -> Training:
    """``training`` with the paper's share of warm-up where none is given.

    Raises ``ParameterError`` where the largest rate is not the largest, or a warm-up has no end.
    """
    if training.min_lr > training.lr:
        raise ParameterError(
            f"min_lr ({training.min_lr:g}) must not exceed lr ({training.lr:g}): lower it, too"
        )
    if training.warmup_epochs >= training.epochs:
        raise ParameterError(
            f"warmup_epochs ({training.warmup_epochs}) must be less than epochs ({training.epochs})"
        )
    if "warmup_epochs" not in given:
        training = dataclasses.replace(training, warmup_epochs=round(WARMUP * training.epochs))
    if training.warmup_epochs and training.warmup_lr > training.lr:
        raise ParameterError(
            f"warmup_lr ({training.warmup_lr:g}) must not exceed lr ({training.lr:g}): lower it, "
            "too"
        )
    return training
