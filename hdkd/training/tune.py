"""Choosing settings on the validation images: trials of each network, and its best mean."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

from hdkd.config import Settings, Tuning
from hdkd.errors import RunError, first_few
from hdkd.files import write_json
from hdkd.runs import evidence
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import RunSummary
from hdkd.study import plan


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


def choose(settings: Settings, dataset: str, output: Path) -> None:
    """Write each method's trials, in the order of the grid, and its settings (:func:`best`).

    A trial that has no run folder here may be in the committed evidence. Raises ``RunError`` where
    one is nowhere, or was made with other parameters.
    """
    tuning = settings.tuning(dataset)
    if not tuning:
        raise RunError(f"tuning.grid and tuning.datasets ask for no trials on {dataset}")
    methods: dict[str, Any] = {}
    runs = plan.tuning_runs(settings, dataset)
    finished = evidence.finished_summaries(settings.profile)
    of_trials = [summary for summary in finished if summary.run in set(runs)]
    counted, left_out = evidence.with_current_parameters(settings, of_trials)
    if left_out:
        raise RunError(f"made with other parameters than these: {first_few(left_out)}: train again")
    known = {summary.run: summary for summary in counted}
    for role in dict.fromkeys(run.role for run in runs):
        grid = tuning.grid_of(role, dataset)
        means, chosen = best(
            [
                [
                    known.get(run) or RunFolder(run.folder).summary
                    for run in runs
                    if (run.role, run.point) == (role, f"trial{number}")
                ]
                for number in range(len(grid))
            ]
        )
        trials = [{"settings": s} | m for s, m in zip(grid, means, strict=True)]
        methods[role] = {"chosen": grid[chosen], "trials": trials}
    content = {"subset": tuning.subset, "seeds": tuning.seeds, "methods": methods}
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(output, content)


def tuned_roles(path: Path) -> set[str]:
    """The networks that the file of :func:`choose` has settings for; none without a file."""
    return set(json.loads(path.read_text("utf-8"))["methods"]) if path.exists() else set()


def has_same_trials(path: Path, tuning: Tuning, dataset: str) -> bool:
    """Whether the file of :func:`choose` for a dataset has the trials that ``tuning`` asks for."""
    content = json.loads(path.read_text("utf-8"))
    return (content["subset"], content["seeds"]) == (tuning.subset, list(tuning.seeds)) and all(
        [trial["settings"] for trial in method["trials"]] == list(tuning.grid_of(role, dataset))
        for role, method in content["methods"].items()
    )


def chosen(path: Path, role: str) -> dict[str, Any]:
    """The settings chosen for a method. Raises ``RunError`` where the file has none for it."""
    try:
        methods = json.loads(path.read_text("utf-8"))["methods"]
    except (OSError, ValueError, KeyError):
        raise RunError(f"{path} is not what `hdkd tune` writes: run it again") from None
    if role not in methods:
        raise RunError(f"{path} has no settings for {role}: run `hdkd tune` again")
    return methods[role]["chosen"]
