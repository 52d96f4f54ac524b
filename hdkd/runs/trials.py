"""Settings tried on the validation images, and which of them are the best for a network."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from hdkd.config import Settings
from hdkd.runs.records import RunSummary
from hdkd.study import plan
from hdkd.study.key import RunKey


@dataclass(frozen=True)
class Tried:
    """Settings in the order of their trials, means over seeds, and the position of the ``best``."""

    grid: tuple[dict[str, Any], ...]
    means: list[dict[str, float]]
    best: int

    @property
    def chosen(self) -> dict[str, Any]:
        """The settings of the best trial."""
        return self.grid[self.best]


def best(trials: list[list[RunSummary]]) -> tuple[list[dict[str, float]], int]:
    """Means over seeds of each trial's validation metrics, and the position of the best trial.

    It has the highest balanced accuracy, of equals the lowest loss, and then comes first.
    ``trials`` has a list of runs for each trial, one a seed.
    """
    means = []
    for runs in trials:
        seeds = [run.validation for run in runs if run.validation]
        means.append(
            {
                "balanced_accuracy": fmean(each.balanced_accuracy for each in seeds),
                "loss": fmean(each.loss for each in seeds),
            }
        )
    order = [(mean["balanced_accuracy"], -mean["loss"]) for mean in means]
    return means, order.index(max(order))


def tried(
    settings: Settings, dataset: str, finished: Mapping[RunKey, RunSummary]
) -> dict[str, Tried]:
    """What was tried for each network on a dataset, without networks that lack a trial."""
    tuning = settings.tuning(dataset)
    if not tuning:
        return {}
    runs = plan.tuning_runs(settings, dataset)
    found = {}
    for role in dict.fromkeys(run.role for run in runs):
        own = [run for run in runs if run.role == role]
        if not all(run in finished for run in own):
            continue
        points = dict.fromkeys(run.point for run in own)
        trials = [[finished[run] for run in own if run.point == point] for point in points]
        found[role] = Tried(tuning.grid_of(role, dataset), *best(trials))
    return found
