"""Which trainings there are: datasets, seeds, baselines; and the images set aside for choices."""

from typing import Annotated, Literal

from pydantic import Field

from hdkd.config.fields import AsWritten, AtLeastOne, Distinct, Seeds, Whole, model

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
    validation_seed: Whole


@model
class Balancing:
    """How SMOTE computes: ``wrapped`` is unsigned bytes modulo 256."""

    arithmetic: Literal["exact", "wrapped"]


@model
class Baselines:
    """The rivals of Table 5, trained like the student on all images."""

    models: Distinct[BaselineName]
    seeds: Seeds
