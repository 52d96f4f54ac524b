"""The tables of the report: CSV for programs, texts for the page, and Markdown for people."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from hdkd import templates
from hdkd.config import Settings
from hdkd.report.tables import columns, frames, sentences
from hdkd.report.tables.columns import Column, shown
from hdkd.report.tables.numbers import Numbers
from hdkd.runs import predictions
from hdkd.runs.records import RunSummary
from hdkd.study import plan

Frame = Callable[[Numbers, str], pd.DataFrame]
# The names that templates know tables by.
TABLES: dict[str, tuple[Frame, Sequence[Column]]] = {
    "sweep": (frames.sweep, columns.SWEEP),
    "without_leaks": (frames.without_leaks, columns.WITHOUT_LEAKED_IMAGES),
    "metrics": (lambda numbers, name: frames.metrics(numbers.cells, name), columns.ALL_METRICS),
    "variants": (frames.variants, columns.VARIANTS),
    "distillation": (frames.distillation, columns.DISTILLATION),
    "controls": (frames.controls, columns.CONTROLS),
    "same_images": (frames.same_images, columns.CONTROLS),
    "methods": (frames.methods, columns.METHODS),
    "trials": (frames.trials, columns.TRIALS),
    "baselines": (frames.baselines, columns.BASELINES),
}


def write_tables(
    settings: Settings,
    folder: Path,
    summaries: list[RunSummary],
    facts: dict[str, dict[str, Any]],
) -> None:
    """Write every table of a study into ``folder`` (see ``plan.TABLES``).

    ``summaries`` are those of its finished runs, ``facts`` what is known of each dataset.
    Predictions are those that are there (``predictions.update``): without them intervals are over
    seeds alone, or there are none.
    """
    numbers = Numbers.compute(settings, summaries, facts, predictions.read(folder))
    numbers.write(folder)
    text = templates.render(Path(__file__).with_name("tables.md"), **of_study(numbers))
    (folder / "README.md").write_text(text, "utf-8")


def of_study(numbers: Numbers) -> dict[str, Any]:
    """What both the Markdown and the page show of a study."""
    return {
        "profile": numbers.settings.profile,
        "kept": sentences.kept(numbers.settings),
        "every_epoch_tested": bool(numbers.runs["best_epoch"].notna().any()),
        "intervals": sentences.INTERVALS,
        "baselines_explained": sentences.BASELINES,
        "controls_explained": sentences.controls_explained(numbers.settings),
        "same_images_explained": sentences.SAME_IMAGES,
        "methods_explained": sentences.methods_explained(numbers.settings),
        "ranks": sentences.ranks(numbers),
        "unfinished": sentences.unfinished(numbers),
        "notes": notes(numbers.settings.profile),
        "cost_text": sentences.costs(numbers),
        "costs": shown(frames.costs(numbers), columns.COSTS),
        "datasets": [of_dataset(numbers, name) for name in numbers.datasets],
    }


def notes(profile: str) -> str:
    """What only people know of a study's runs: the text of its ``notes.md``, empty without one."""
    path = plan.report_folder(profile) / "notes.md"
    return " ".join(path.read_text("utf-8").split()) if path.exists() else ""


def of_dataset(numbers: Numbers, name: str) -> dict[str, Any]:
    """Tables of a dataset, empty where there is nothing for them, and what is known of it."""
    facts = numbers.facts[name]
    return {
        "name": name,
        "facts": facts,
        "leaks": sentences.leaks(numbers.settings, facts),
        "copies": sentences.copies(numbers.summaries, name),
        "guessing": sentences.guessing(facts),
        "tables": {
            table: shown(frame(numbers, name), titles) for table, (frame, titles) in TABLES.items()
        },
    }
