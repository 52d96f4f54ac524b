"""Choosing settings on the validation images: the same trials for every method, the best mean for each."""

import json
from pathlib import Path
from typing import Any

from hdkd import plan
from hdkd.config import Settings
from hdkd.errors import RunError
from hdkd.files import write_whole
from hdkd.training.run_folder import RunFolder


def choose(settings: Settings, dataset: str, output: Path) -> None:
    """Write for each method its trials, in the order of the grid, and the settings that it gets.

    Those with the highest balanced accuracy on the validation images, mean over seeds; of equals
    those with the lowest loss.
    """
    tuning = settings.tuning(dataset)
    if not tuning:
        raise RunError(f"tuning.grid and tuning.datasets ask for no trials on {dataset}")
    methods: dict[str, Any] = {}
    for role in dict.fromkeys(run.role for run in plan.tuning_runs(settings, dataset)):
        trials = []
        for number, changes in enumerate(tuning["grid"]):
            found = [
                RunFolder(run.folder).summary["validation"]
                for run in plan.tuning_runs(settings, dataset)
                if (run.role, run.point) == (role, f"trial{number}")
            ]
            means = {
                name: sum(each[name] for each in found) / len(found)
                for name in ("balanced_accuracy", "loss")
            }
            trials.append({"settings": changes, **means})
        best = max(trials, key=lambda trial: (trial["balanced_accuracy"], -trial["loss"]))
        methods[role] = {"chosen": best["settings"], "trials": trials}
    content = {"subset": tuning["subset"], "seeds": tuning["seeds"], "methods": methods}
    output.parent.mkdir(parents=True, exist_ok=True)
    write_whole(output, json.dumps(content, indent=2) + "\n")


def chosen(path: Path, role: str) -> dict[str, Any]:
    """The settings that a method got. Raises ``RunError`` where the file has none for it."""
    try:
        methods = json.loads(path.read_text("utf-8"))["methods"]
    except (OSError, ValueError, KeyError):
        raise RunError(f"{path} is not what `hdkd tune` writes: run it again") from None
    if role not in methods:
        raise RunError(f"{path} has no settings for {role}: run `hdkd tune` again")
    return methods[role]["chosen"]
