"""Choosing settings on the validation images: trials of each network, and its best mean."""

import json
from pathlib import Path
from typing import Any

from hdkd.config import Settings, Tuning
from hdkd.errors import RunError, first_few
from hdkd.files import write_json
from hdkd.runs import evidence, trials
from hdkd.runs.folder import RunFolder
from hdkd.study import plan


def choose(settings: Settings, dataset: str, output: Path) -> None:
    """Write each network's trials, in the order of the grid, and its settings (``trials.best``).

    A trial that has no run folder here may be in the committed evidence. Raises ``RunError`` where
    one is nowhere, or was made with other parameters.
    """
    tuning = settings.tuning(dataset)
    if not tuning:
        raise RunError(f"tuning.grid and tuning.datasets ask for no trials on {dataset}")
    runs = plan.tuning_runs(settings, dataset)
    finished = evidence.finished_summaries(settings.profile)
    of_trials = [summary for summary in finished if summary.run in set(runs)]
    counted, left_out = evidence.with_current_parameters(settings, of_trials)
    if left_out:
        raise RunError(f"made with other parameters than these: {first_few(left_out)}: train again")
    known = {summary.run: summary for summary in counted}
    known |= {run: RunFolder(run.folder).summary for run in runs if run not in known}
    methods = {
        role: {
            "chosen": own.chosen,
            "trials": [{"settings": s} | m for s, m in zip(own.grid, own.means, strict=True)],
        }
        for role, own in trials.tried(settings, dataset, known).items()
    }
    content = {"subset": tuning.subset, "seeds": tuning.seeds, "methods": methods}
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(output, content)


def tuned_roles(path: Path) -> set[str]:
    """The networks that the file of :func:`choose` has settings for; none without a file."""
    return set(_content(path)["methods"]) if path.exists() else set()


def has_same_trials(path: Path, tuning: Tuning, dataset: str) -> bool:
    """Whether the file of :func:`choose` for a dataset has the trials that ``tuning`` asks for."""
    content = _content(path)
    return (content["subset"], content["seeds"]) == (tuning.subset, list(tuning.seeds)) and all(
        [trial["settings"] for trial in method["trials"]] == list(tuning.grid_of(role, dataset))
        for role, method in content["methods"].items()
    )


def chosen(path: Path, role: str) -> dict[str, Any]:
    """The settings chosen for a method. Raises ``RunError`` where the file has none for it."""
    methods = _content(path)["methods"]
    if role not in methods:
        raise RunError(f"{path} has no settings for {role}: run `hdkd tune` again")
    return methods[role]["chosen"]


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
        content["subset"], content["seeds"], content["methods"]
    except (OSError, ValueError, KeyError, TypeError):
        raise RunError(f"{path} is not what `hdkd tune` writes: run it again") from None
    return content
