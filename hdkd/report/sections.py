"""What README and page both show: tables as texts, and sentences."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from hdkd.report import columns, frames, sentences
from hdkd.report.columns import Column, shown
from hdkd.report.numbers import Numbers

Frame = Callable[[Numbers, str], pd.DataFrame]
# The names that templates know tables by.
TABLES: dict[str, tuple[Frame, Sequence[Column]]] = {
    "sweep": (frames.sweep, columns.SWEEP),
    "without_leaks": (frames.without_leaks, columns.WITHOUT_LEAKED_IMAGES),
    "metrics": (lambda numbers, name: frames.metrics(numbers.cells, name), columns.ALL_METRICS),
    "variants": (frames.variants, columns.VARIANTS),
    "distillation": (frames.distillation, columns.DISTILLATION),
    "controls": (frames.controls, columns.CONTROLS),
    "trials": (frames.trials, columns.TRIALS),
    "baselines": (frames.baselines, columns.BASELINES),
}


def of_dataset(numbers: Numbers, dataset: str) -> dict[str, Any]:
    """Tables of a dataset, empty where there is nothing for them, and what is known of it."""
    facts = numbers.facts[dataset]
    return {
        "name": dataset,
        "facts": facts,
        "leaks": sentences.leaks(facts),
        "guessing": sentences.guessing(facts),
        "tables": {
            name: shown(frame(numbers, dataset), its) for name, (frame, its) in TABLES.items()
        },
    }


def of_study(numbers: Numbers) -> dict[str, Any]:
    """What both say of the study as a whole."""
    return {
        "profile": numbers.settings.profile,
        "kept": sentences.KEPT[numbers.settings.parameters.student.keep],
        "intervals": sentences.INTERVALS,
        "controls_explained": sentences.CONTROLS,
        "unfinished": sentences.unfinished(numbers),
        "cost_text": sentences.costs(numbers),
        "costs": shown(frames.costs(numbers), columns.COSTS),
    }
