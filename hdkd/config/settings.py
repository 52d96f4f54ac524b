"""What the project asks the parameters: how this network is trained, on these images."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from hdkd.config.datasets import Dataset
from hdkd.config.images import Images
from hdkd.config.parameters import Parameters
from hdkd.config.study import CONTROL, STRENGTH, TRIAL, Controls, DistillationPoints, Tuning
from hdkd.config.training import Distillation, Network, Training
from hdkd.errors import ParameterError

TRAINING = tuple(field.name for field in dataclasses.fields(Training))


@dataclass(frozen=True)
class Settings:
    """The parameters of one profile, and what follows from them for a dataset or a run."""

    parameters: Parameters

    @property
    def profile(self) -> str:
        """One of ``PROFILES``."""
        return self.parameters.profile

    @property
    def study(self) -> tuple[str, ...]:
        """Names of the datasets to study."""
        return self.parameters.study or self.parameters.sweep.datasets

    def seeds_of(self, subset: int | str) -> tuple[int, ...]:
        """The seeds of a subset's students."""
        sweep = self.parameters.sweep
        return sweep.seeds_by_subset.get(str(subset), sweep.seeds)

    def dataset(self, name: str) -> Dataset:
        """The dataset ``name``. Raises ``ParameterError`` where there is none."""
        if name not in self.parameters.datasets:
            known = ", ".join(self.parameters.datasets)
            raise ParameterError(f"there is no dataset {name!r}: datasets has {known}")
        return self.parameters.datasets[name]

    def images(self, dataset: str) -> Images:
        """How the images of ``dataset`` are prepared."""
        images = self.parameters.images
        return Images(images.size, images.colour or self.dataset(dataset).colour)

    def network(self, block: str | None = None, stem_stride: int | None = None) -> Network:
        """The networks' sizes, with another block or stem stride where one is given."""
        variant = {"block": block, "stem_stride": stem_stride}
        changes: dict[str, Any] = {name: value for name, value in variant.items() if value}
        network = self.parameters.network  # replacing validates again, which is slow
        return dataclasses.replace(network, **changes) if changes else network

    def training(self, role: str, dataset: str, point: str = "") -> Training:
        """How a network is trained; a trial of the tuning, named by its ``point``, changes that."""
        section = self.parameters.teacher if role == "teacher" else self.parameters.student
        values = vars(section) | section.by_dataset.get(dataset, {})
        values["offset"] = self.parameters.schedule.offset
        if TRIAL.fullmatch(point):
            number = int(point.removeprefix("trial"))
            grid = self.parameters.tuning.grid_of(role, dataset)
            if number >= len(grid):
                count = f"{len(grid)} entries for {role} on {dataset}"
                raise ParameterError(f"there is no {point}: tuning.grid has {count}")
            values |= grid[number]
        return Training(**{name: values[name] for name in TRAINING})

    def distillation(self, point: str = "") -> Distillation:
        """How HDKD is taught, or how at a ``point`` of the ablations."""
        distillation = self.parameters.distillation
        if not point or any(kind.fullmatch(point) for kind in (TRIAL, CONTROL, STRENGTH)):
            return distillation
        declared = self.parameters.ablations.distillation
        points = declared.points if declared else {}
        if point not in points:
            known = ", ".join(points) or "none"
            raise ParameterError(
                f"there is no distillation {point!r}: ablations.distillation.points has {known}"
            )
        return dataclasses.replace(distillation, **points[point])

    def tuning(self, dataset: str) -> Tuning | None:
        """The settings that are tried on validation images of ``dataset``, if any are."""
        chosen = self.parameters.tuning
        return chosen if chosen.grid and dataset in chosen.datasets else None

    def controls(self, dataset: str) -> Controls | None:
        """The control experiments on ``dataset``, if there are any."""
        chosen = self.parameters.ablations.controls
        return chosen if chosen and dataset in chosen.datasets else None

    def points(self, dataset: str) -> DistillationPoints | None:
        """The changed distillations that the ablations try on ``dataset``, if there are any."""
        chosen = self.parameters.ablations.distillation
        return chosen if chosen and chosen.points and dataset in chosen.datasets else None
