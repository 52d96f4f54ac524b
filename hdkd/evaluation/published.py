"""The paper's published values, each with its table (``published.yaml``)."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

# Data on which the paper's accuracies were measured; a run counts against them in profile paper only.
COMPARABLE_PROFILE = "paper"


@cache
def published() -> dict[str, list[Any]]:
    """The file's sections: complexity, accuracy, gains, contradictions, protocol."""
    return yaml.safe_load(Path(__file__).with_name("published.yaml").read_text(encoding="utf-8"))


def accuracy(dataset: str, role: str, block: str, stem_stride: int) -> float | None:
    """Published accuracy in percent after training on all images (Tables 5 to 7)."""
    wanted = {"dataset": dataset, "role": role, "block": block, "stem_stride": stem_stride}
    return _value("accuracy", wanted)


def gain(dataset: str, subset: str) -> float | None:
    """Published gain of HDKD over the student in percentage points (Tables 3 and 4)."""
    return _value("gains", {"dataset": dataset, "subset": subset})


def _value(section: str, wanted: dict[str, Any]) -> float | None:
    for entry in published()[section]:
        if all(entry[key] == value for key, value in wanted.items()):
            return entry["value"]
    return None
