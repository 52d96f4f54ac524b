"""What runs cost: measured where they are finished, estimated from the others where not.

Work is counted in multiply-accumulates: a step computes forward once and backward, which costs
twice as much; HDKD's step runs the teacher forward besides; an evaluation is forward only.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from hdkd.config import Images, Network, Settings, Training, methods, plain
from hdkd.runs.records import RunSummary
from hdkd.study import plan
from hdkd.study.key import RunKey
from hdkd.training.budget import epoch_images, training_of

GIBIBYTE = 2**30


def macs(settings: Settings, key: RunKey, num_classes: int) -> int:
    """Multiply-accumulates of one image in the network of ``key``."""
    network = settings.network(key.block or None, key.stem_stride or None)
    heads = methods()[key.method].predicting if key.method else ""
    return _macs(key.role, network, settings.images(key.dataset), num_classes, heads)


@cache
def _macs(role: str, network: Network, images: Images, num_classes: int, heads: str) -> int:
    # Slow to import, and the page needs neither.
    from hdkd.models import build
    from hdkd.models.complexity import complexity

    size, channels = images.size, images.channels
    sizes = network.arguments(role) | ({"predicting": heads} if heads else {})
    model = build(role, num_classes=num_classes, image_size=size, in_channels=channels, **sizes)
    return complexity(model, size, channels).macs


def images_of(settings: Settings, dataset: str, facts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Images per class and part, ``{class: {train: n, test: n}}``.

    As splitting found them where ``facts`` have them, or as published; empty where neither is
    known.
    """
    known = dataset in facts
    return facts[dataset]["counts"] if known else plain(settings.dataset(dataset).classes or {})


def length(settings: Settings, run: RunKey, images: dict[str, Any]) -> tuple[Training, int]:
    """How a run is trained, and the images of one of its epochs."""
    counts = [count["train"] for count in images.values()]
    training = training_of(settings, run, counts)
    return training, training.epoch_images or epoch_images(settings, run, counts)


def work(
    settings: Settings, run: RunKey, images: dict[str, Any], evaluate_every: int | None = None
) -> float:
    """Multiply-accumulates of a run on the ``images`` of its dataset, with its evaluations.

    These are as many as the settings say, or one every so many epochs.
    """
    classes = len(images)
    forward = macs(settings, run, classes)
    step = 3 * forward
    if run.is_taught:
        step += macs(settings, plan.teacher_of(settings, run), classes)
    training, each = length(settings, run, images)
    tests = -(-training.epochs // (evaluate_every or training.evaluate_every))
    watched = sum(count.get("validation", count["test"]) for count in images.values())
    return float(training.epochs * each * step + tests * watched * forward)


class Rates:
    """Multiply-accumulates per second of finished runs, by role; ``startup`` is in seconds."""

    def __init__(
        self,
        settings: Settings,
        summaries: Iterable[RunSummary],
        facts: dict[str, dict[str, Any]],
    ) -> None:
        planned = {run for dataset in settings.study for run in plan.all_runs(settings, dataset)}
        self._rates: dict[str, list[float]] = {}
        startups = []
        work_of = cache(
            lambda run, every: work(settings, run, images_of(settings, run.dataset, facts), every)
        )
        for summary in summaries:
            run = summary.run
            if run in planned and images_of(settings, run.dataset, facts):
                startup = summary.provenance.startup_seconds or 0.0
                seconds = summary.provenance.duration_seconds - startup
                startups.append(startup)
                every = summary.hyperparameters["training"]["evaluate_every"]
                rate = work_of(replace(run, seed=0), every) / seconds
                self._rates.setdefault(run.role, []).append(rate)
        self.startup = float(np.median(startups)) if startups else 0.0

    def of(self, role: str) -> float | None:
        """The median of the role's runs, or else of all; ``None`` before there is any."""
        rates = self._rates.get(role) or [rate for each in self._rates.values() for rate in each]
        return float(np.median(rates)) if rates else None


def table(
    settings: Settings, summaries: list[RunSummary], facts: dict[str, dict[str, Any]]
) -> pd.DataFrame:
    """One row per network and subset: runs planned and finished, and what one takes.

    ``minutes`` and ``images_per_second`` (training images, over the whole run with its evaluations)
    are medians of the finished runs; without any, ``estimated`` is true and they follow from the
    work and the others' rates. ``peak_memory_gib`` is the largest, of the GPU or of the process.
    """
    found = {summary.run: summary.provenance for summary in summaries}
    rates = Rates(settings, summaries, facts)
    cells: dict[tuple[Any, ...], list[RunKey]] = {}
    for dataset in settings.study:
        for run in plan.all_runs(settings, dataset):
            control = run.point if run.point in plan.BUDGETS else run.method
            cell = (dataset, run.role, run.block, run.stem_stride, run.subset, control)
            cells.setdefault(cell, []).append(run)
    rows = []
    for (dataset, role, block, stride, subset, control), runs in cells.items():
        finished = [found[run] for run in runs if run in found]
        trained = minutes = math.nan
        if images := images_of(settings, dataset, facts):
            training, each = length(settings, runs[0], images)
            trained = training.epochs * each
            if rate := rates.of(role):
                minutes = (rates.startup + work(settings, runs[0], images) / rate) / 60
        if finished:
            minutes = float(np.median([each.duration_seconds for each in finished])) / 60
        memory = [each.peak_memory_bytes for each in finished]
        rows.append(
            {
                "dataset": dataset,
                "role": role,
                "block": block,
                "stem_stride": stride,
                "subset": subset,
                "control": control.replace("_", " "),
                "runs": len(runs),
                "finished": len(finished),
                "images_per_second": trained / minutes / 60,
                "minutes": minutes,
                "estimated": not finished,
                "peak_memory_gib": max(memory) / GIBIBYTE if memory else math.nan,
                "device": ", ".join(sorted({each.device for each in finished})),
            }
        )
    return pd.DataFrame(rows)


def hours_left(costs: pd.DataFrame) -> float:
    """Hours that the table's missing runs take one after another; NaN where unknown."""
    missing = costs["runs"] - costs["finished"]
    return float((missing * costs["minutes"]).sum(skipna=False) / 60)


def device_hours(summaries: Iterable[RunSummary]) -> dict[str, float]:
    """Hours in which each device had at least one run: those side by side count once."""
    spans: dict[str, list[tuple[datetime, datetime]]] = {}
    for summary in summaries:
        made = summary.provenance
        for piece in made.pieces:
            start = datetime.fromisoformat(piece.started)
            span = (start, start + timedelta(seconds=piece.seconds))
            spans.setdefault(made.device, []).append(span)
    hours = {}
    for device, taken in sorted(spans.items()):
        busy, end = timedelta(), min(taken)[0]
        for start, stop in sorted(taken):
            busy += max(stop - max(start, end), timedelta())
            end = max(end, stop)
        hours[device] = busy.total_seconds() / 3600
    return hours
