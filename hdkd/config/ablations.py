"""What stands beside the sweep: variants, other distillations, controls, trials."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator

from hdkd.config.distillation import Distillation
from hdkd.config.fields import ChangesOf, Count, Distinct, Identifier, Names, Seeds, Subset, model
from hdkd.config.network import Block, Stride
from hdkd.config.training import StudentTraining

# Names of runs beside the sweep: trials of the tuning, and controls (see ``plan.control_runs``).
TRIAL = re.compile(r"trial\d+")
CONTROL = re.compile(r"subset_teacher|teacher_seed\d+|same_steps|same_macs")

TRIED = ("lr", "min_lr", "warmup_lr", "warmup_epochs", "weight_decay")


def _some(changes: dict[str, Any]) -> dict[str, Any]:
    if not changes:
        raise ValueError(f"must change something: {', '.join(TRIED)}")
    return changes


@model
class Variant:
    """Another block or stem stride (Tables 6 and 7)."""

    block: Block
    stem_stride: Stride


@model
class DistillationPoints:
    """HDKD with one thing of the section ``distillation`` changed, by the name of the change."""

    datasets: Names
    subset: Subset
    seeds: Seeds
    points: dict[Identifier, Annotated[dict[str, Any], ChangesOf(Distillation)]]


@model
class Controls:
    """Control experiments on one subset: see :func:`hdkd.study.plan.control_runs`."""

    datasets: Names
    subset: Count
    seeds: Seeds
    teacher_seeds: Seeds


@model
class Ablations:
    """Tables 6 and 7, and what the paper has none of; ``None`` for no points or controls."""

    variants: Distinct[Variant]
    subset: Subset
    seeds: Seeds
    distillation: DistillationPoints | None
    controls: Controls | None


@model
class Tuning:
    """Settings of the student's training that are tried on the validation images first."""

    datasets: Names
    subset: Subset
    seeds: Seeds
    grid: Distinct[
        Annotated[dict[str, Any], ChangesOf(StudentTraining, TRIED), AfterValidator(_some)]
    ]
