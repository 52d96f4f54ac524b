"""All of ``params.yaml``: its sections, and how profiles override them."""

import dataclasses
import functools
from typing import Annotated, Any, Literal, Required, get_args

import pydantic
from pydantic.json_schema import GenerateJsonSchema

from hdkd.config.datasets import Datasets
from hdkd.config.fields import AtLeastOne, ChangesOf, model, typed_dict
from hdkd.config.images import Augmentation, ImageSection
from hdkd.config.study import (
    Ablations,
    Balancing,
    Baselines,
    Methods,
    Sweep,
    Tuning,
    ValidationSplit,
)
from hdkd.config.training import Distillation, Engine, Network, Schedule, Student, Teacher

Profile = Literal["demo", "own", "pilot", "reduced", "paper"]


@model
class Parameters:
    """All parameters of one profile; ``params.yaml`` has the same, its sections by profile."""

    profile: Profile
    study: AtLeastOne[str] | None
    sweep: Sweep
    datasets: Datasets
    split: ValidationSplit
    smote: Balancing
    images: ImageSection
    augmentation: Augmentation
    network: Network
    teacher: Teacher
    student: Student
    schedule: Schedule
    tuning: Tuning
    distillation: Distillation
    ablations: Ablations
    baselines: Baselines
    methods: Methods
    engine: Engine


PROFILES: tuple[str, ...] = get_args(Profile)
# Everything that a profile can change: `shared` values, and what each profile adds to them.
SECTIONS = {
    field.name: field.type
    for field in dataclasses.fields(Parameters)
    if field.name not in ("profile", "study", "datasets")
}


def _by_profile(section: Any) -> Any:
    changes = Annotated[dict[str, Any], ChangesOf(section)]
    layers = {"shared": Required[changes], **dict.fromkeys(PROFILES, changes)}
    return typed_dict(f"{section.__name__}ByProfile", layers, total=False)


@functools.cache
def parameter_file() -> pydantic.TypeAdapter[dict[str, Any]]:
    """The type of the content of a parameter file."""
    fields = {field.name: field.type for field in dataclasses.fields(Parameters)}
    fields |= {name: _by_profile(section) for name, section in SECTIONS.items()}
    return pydantic.TypeAdapter(typed_dict("ParameterFile", fields, total=True))


class _Schema(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # a title would only repeat the key


def json_schema() -> dict[str, Any]:
    """The JSON schema of a parameter file."""
    return parameter_file().json_schema(schema_generator=_Schema)
