"""How long a run trains, and controls that train as long as another."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch

from hdkd.config import Settings, Training, methods
from hdkd.data.batches.loader import batch_bounds
from hdkd.models import build
from hdkd.study import plan
from hdkd.study.key import RunKey


def epoch_images(settings: Settings, run: RunKey, class_counts: Sequence[int]) -> int:
    """Images of an epoch of ``run``; those of SMOTE are not among ``class_counts``.

    A teacher of a subset sees as many as the teacher of all images, so that they differ in data
    only.
    """
    if fixed := settings.training(run.role, run.dataset).epoch_images:
        return fixed
    if run.subset != "all" and run.role != "teacher":
        return int(run.subset)
    counts = list(class_counts)
    smote = settings.dataset(run.dataset).smote
    if run.role == "teacher" and smote.enabled:
        target = max(counts) if smote.target == "majority" else smote.target
        counts = [max(count, target) for count in counts]
    return sum(counts)


def training_of(settings: Settings, run: RunKey, class_counts: Sequence[int]) -> Training:
    """How ``run`` is trained; a control gets the length of what it is compared with."""
    training = settings.training(run.role, run.dataset, run.point)
    if run.point == "subset_teacher" and run.role == "teacher":
        return dataclasses.replace(training, epoch_images=epoch_images(settings, run, class_counts))
    if run.point not in plan.BUDGETS:
        return training
    taught = dataclasses.replace(run, group="students", role="hdkd", point="")
    teacher = plan.teacher_of(settings, taught)
    share = len(plan.taught_runs(settings, run.dataset))

    def own(key: RunKey) -> Training:
        return settings.training(key.role, key.dataset)

    def of_epoch(key: RunKey) -> float:
        images = epoch_images(settings, key, class_counts)
        if run.point == "same_steps":
            return len(batch_bounds(images, own(key).batch_size)) - 1
        # Backward costs twice as much as forward; the teacher runs forward only.
        step = 3 * forward_macs(settings, key, len(class_counts))
        if key.role == "hdkd":
            step += forward_macs(settings, teacher, len(class_counts))
        return images * step

    budget = own(taught).epochs * of_epoch(taught)
    budget += own(teacher).epochs * of_epoch(teacher) / share
    return dataclasses.replace(training, epochs=math.ceil(budget / of_epoch(run)))


def forward_macs(settings: Settings, run: RunKey, classes: int) -> int:
    """Multiply-accumulates of one image through a network, products of activations among them.

    Counted by torch; ``models/complexity.py`` counts as the paper's tables do.
    """
    # It imports Triton, which only controls need.
    from torch.utils.flop_counter import FlopCounterMode

    images = settings.images(run.dataset)
    model = build(run.role, **network_arguments(settings, run, classes)).eval()
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, images.channels, images.size, images.size))
    return counter.get_total_flops() // 2


def network_arguments(settings: Settings, run: RunKey, classes: int) -> dict[str, Any]:
    """Keyword arguments for :func:`hdkd.models.build`."""
    images = settings.images(run.dataset)
    network = settings.network(run.block or None, run.stem_stride or None)
    arguments = network.arguments(run.role) | {
        "num_classes": classes,
        "image_size": images.size,
        "in_channels": images.channels,
    }
    if run.role == "hdkd":
        arguments["predicting"] = settings.distillation(run.point).heads
    if run.method:
        arguments["predicting"] = methods()[run.method].predicting
    return arguments
