"""Which runs there are: the sweep and what is compared with it; and the validation split."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from hdkd.config.fields import (
    AsWritten,
    AtLeastOne,
    ChangesOf,
    Count,
    Distinct,
    Identifier,
    Names,
    Rate,
    Seed,
    Seeds,
    Subset,
    model,
)
from hdkd.config.methods import methods
from hdkd.config.training import Block, Distillation, Stride, StudentTraining

# Names of runs beside the sweep: trials of the tuning, and controls (see ``plan.control_runs``).
TRIAL = re.compile(r"trial\d+")
CONTROL = re.compile(r"subset_teacher|teacher_seed\d+|same_steps|same_macs")
STRENGTH = re.compile(r"times(\d+)(?:_(\d+))?")

TUNABLE = ("lr", "min_lr", "warmup_lr", "warmup_epochs", "weight_decay")
BaselineName = Literal[
    "mobilenet_v2",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "pvt_tiny",
    "crossvit_tiny",
    "mobilevit_s",
    "pvt_v2_b0",
    "coatnet_0",
]


def _not_empty(changes: dict[str, Any]) -> dict[str, Any]:
    if not changes:
        raise ValueError(f"must change something: {', '.join(TUNABLE)}")
    return changes


Tried = Annotated[dict[str, Any], ChangesOf(StudentTraining, TUNABLE), AfterValidator(_not_empty)]


@model
class Sweep:
    """Datasets and seeds; ``seeds_by_subset`` names other seeds for one size."""

    seeds: Seeds
    seeds_by_subset: dict[Annotated[str, Field(pattern="^([1-9][0-9]*|all)$")], Seeds]
    datasets: AtLeastOne[str]


@model
class ValidationSplit:
    """The share of the training images that settings and epochs are chosen on; 0 for none."""

    validation_fraction: Annotated[float, Field(strict=True, ge=0, lt=1), AsWritten]
    validation_seed: Seed


@model
class Balancing:
    """How SMOTE computes: ``wrapped`` is unsigned bytes modulo 256."""

    arithmetic: Literal["exact", "wrapped"]


@model
class Baselines:
    """The networks of Table 5, trained like the student on all images."""

    models: Distinct[BaselineName]
    seeds: Seeds


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
    subset: Subset
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


def _known(name: str) -> str:
    if name not in methods():
        raise ValueError(f"must be one of {', '.join(methods())}, not {name!r}")
    return name


MethodNames = Distinct[Annotated[str, AfterValidator(_known)]]


@model
class Methods:
    """Other ways to teach, each a file of ``hdkd/distillation``, on some ``subsets`` of datasets.

    ``hybrid`` and ``vit`` name those that teach this student. ``strengths`` multiply the published
    weights of all that a method adds to the labels.
    """

    subsets: dict[str, AtLeastOne[Count]]
    seeds: Seeds
    hybrid: MethodNames
    vit: MethodNames
    strengths: AtLeastOne[Rate]


@model
class Tuning:
    """Settings of the student's training that are tried on the validation images first.

    ``grid`` has those of every network, ``extra`` further ones by dataset and network.
    """

    datasets: Names
    subset: Subset
    seeds: Seeds
    grid: Distinct[Tried]
    extra: dict[str, dict[str, Distinct[Tried]]]

    def grid_of(self, role: str, dataset: str) -> tuple[dict[str, Any], ...]:
        """What is tried for a network on a dataset, in the order of its trials' numbers."""
        return (*self.grid, *self.extra.get(dataset, {}).get(role, ()))
