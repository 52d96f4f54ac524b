"""Parameters beside each other: what each may be for itself, but not together."""

import operator
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from hdkd.config.datasets import Dataset, Generated
from hdkd.config.methods import methods
from hdkd.config.settings import Settings
from hdkd.config.study import CONTROL, STRENGTH, TRIAL
from hdkd.errors import ParameterError

# Which splits each layout can have.
SPLITS = {
    "train_test_folders": ("published", "clusters"),
    "class_folders": ("held_out", "clusters"),
    "ham10000": ("single_image_lesions", "held_out", "clusters"),
}
# What limits what in a training.
LIMITS = (
    ("min_lr", "lr", operator.le, "must not exceed"),
    ("warmup_lr", "lr", operator.le, "must not exceed"),
    ("warmup_epochs", "epochs", operator.lt, "must be less than"),
)


def check(settings: Settings) -> None:
    """Raise ``ParameterError`` with the first contradiction."""
    for name in settings.study:
        settings.dataset(name)
    for contradictions in (
        _sizes, _names, _schedules, _keep, _subsets, _extra, _methods, _method_subsets, _datasets,
        _seeds,
    ):  # fmt: skip
        for sentence in contradictions(settings):
            raise ParameterError(sentence)


def _sizes(settings: Settings) -> Iterator[str]:
    """Images that patches do not divide, and a blur without range."""
    parameters = settings.parameters
    size, patch = parameters.images.size, parameters.network.patch_size
    variants = parameters.ablations.variants
    for stride in (parameters.network.stem_stride, *(each.stem_stride for each in variants)):
        unit = 4 * stride * patch
        if size % unit:
            yield (
                f"images.{settings.profile}.size must be a multiple of {unit} (4 × stem stride "
                f"{stride} × patch size {patch}), not {size}"
            )
    blur = parameters.augmentation.blur
    if blur and blur[0] > blur[1]:
        yield f"augmentation.blur must be [smallest, largest] sigma, not {list(blur)}"


def _names(settings: Settings) -> Iterator[str]:
    """Datasets that there are not, and names of distillations that are taken."""
    parameters = settings.parameters
    points, controls = parameters.ablations.distillation, parameters.ablations.controls
    named = {
        "teacher.by_dataset": parameters.teacher.by_dataset,
        "student.by_dataset": parameters.student.by_dataset,
        "ablations.distillation.datasets": points.datasets if points else (),
        "ablations.controls.datasets": controls.datasets if controls else (),
        "tuning.datasets": parameters.tuning.datasets,
        "methods.subsets": parameters.methods.subsets,
    }
    for key, names in named.items():
        for name in names:
            if name not in parameters.datasets:
                yield f"{key} names {name}, which datasets lacks"
    for name in points.points if points else ():
        if any(kind.fullmatch(name) for kind in (TRIAL, CONTROL, STRENGTH)):
            key = f"ablations.distillation.points.{name}"
            yield f"{key} has the name of a trial, control or strength: take another"
    seed = parameters.teacher.seed
    if controls and seed in controls.teacher_seeds:
        yield f"ablations.controls.teacher_seeds has {seed}, which is teacher.seed: name others"


def _schedules(settings: Settings) -> Iterator[str]:
    """Rates that would rise to their end, and warm-ups that come down or that nothing follows.

    In a section, of one dataset, or in a trial.
    """
    for layers in _layers(settings):
        for low, high, fits, must in LIMITS:
            places, values = zip(*(_found(name, layers) for name in (low, high)), strict=True)
            if low == "warmup_lr" and not _found("warmup_epochs", layers)[1]:
                continue
            is_own = layers[next(iter(layers))].keys() & {low, high}
            if is_own and not fits(*values):
                yield f"{places[0]}.{low} ({values[0]}) {must} {places[1]}.{high} ({values[1]})"


def _found(name: str, layers: dict[str, dict[str, Any]]) -> tuple[str, Any]:
    """Where a setting stands, and its value."""
    place = next(place for place in layers if name in layers[place])
    return place, layers[place][name]


def _layers(settings: Settings) -> Iterator[dict[str, dict[str, Any]]]:
    """Settings of each training by their place; what comes first overrides the rest."""
    parameters = settings.parameters
    for role in ("teacher", "student"):
        section = getattr(parameters, role)
        yield {role: vars(section)}
        for name, own in section.by_dataset.items():
            yield {f"{role}.by_dataset.{name}": own, role: vars(section)}
    tuning, student = parameters.tuning, parameters.student
    for name in tuning.datasets:
        under = {f"student.by_dataset.{name}": student.by_dataset.get(name, {})}
        under["student"] = vars(student)
        networks = {
            f"extra.{name}.{role}": grid for role, grid in tuning.extra.get(name, {}).items()
        }
        for place, grid in {"grid": tuning.grid, **networks}.items():
            for k, changes in enumerate(grid):
                yield {f"tuning.{place}[{k}]": changes, **under}


def _keep(settings: Settings) -> Iterator[str]:
    """The best epoch is found on images that are there, on test images only without others."""
    fraction = settings.parameters.split.validation_fraction
    for role in ("teacher", "student"):
        section = getattr(settings.parameters, role)
        keeps = {section.keep, *(c["keep"] for c in section.by_dataset.values() if "keep" in c)}
        if "best_on_validation" in keeps and not fraction:
            yield (
                f"{role}.keep is best_on_validation, but split.validation_fraction 0 leaves no "
                "validation images: raise it, or keep last"
            )
        if "best_on_test" in keeps and fraction:
            yield (
                f"{role}.keep is best_on_test, which is for reproducing what had no validation "
                "images: keep best_on_validation, or set split.validation_fraction to 0"
            )


def _subsets(settings: Settings) -> Iterator[str]:
    """Ablations, controls and the tuning stand on one of the sweep's subsets."""
    ablations = settings.parameters.ablations
    if (
        any(map(settings.tuning, settings.study))
        and not settings.parameters.split.validation_fraction
    ):
        yield (
            "tuning.grid has settings to choose from, but split.validation_fraction 0 leaves no "
            "images to choose on: raise it, or set tuning.grid to []"
        )
    for name in settings.study:
        wanted: dict[str, int | str] = {}
        if ablations.variants:
            wanted["ablations.subset"] = ablations.subset
        if points := settings.points(name):
            wanted["ablations.distillation.subset"] = points.subset
        if controls := settings.controls(name):
            wanted["ablations.controls.subset"] = controls.subset
        if tuning := settings.tuning(name):
            wanted["tuning.subset"] = tuning.subset
        subsets = settings.dataset(name).subsets
        for key, subset in wanted.items():
            if subset not in subsets:
                yield (
                    f"{key} is {subset}, which datasets.{name}.subsets lacks: take one of "
                    f"{', '.join(map(str, subsets))}, or add it there"
                )


def _extra(settings: Settings) -> Iterator[str]:
    """Further trials of networks that are not tried, or of settings that the grid has."""
    tuning = settings.parameters.tuning
    for dataset, networks in tuning.extra.items():
        key = f"tuning.extra.{dataset}"
        if dataset not in tuning.datasets:
            yield f"{key} needs {dataset} in tuning.datasets"
        for role, changes in networks.items():
            if role not in ("student", "hdkd", *settings.parameters.baselines.models):
                yield f"{key} names {role}, which baselines.models lacks"
            for own in changes:
                if own in tuning.grid:
                    yield f"{key}.{role} has {own}, as tuning.grid has"


def _methods(settings: Settings) -> Iterator[str]:
    """Methods that cannot teach a student, nothing to compare them with, or to choose on."""
    section = settings.parameters.methods
    for network in ("hybrid", "vit"):
        names: tuple[str, ...] = getattr(section, network)
        for name in names:
            if network not in methods()[name].networks:
                yield f"methods.{network} names {name}, which cannot teach that student"
        if names and "alone" not in names:
            yield f"methods.{network} must have alone, with which the others are compared"
    for strength in section.strengths:
        if not 0.001 <= strength <= 1000:
            yield f"methods.strengths must lie between 0.001 and 1000, unlike {strength}"
    if 1 not in section.strengths:
        yield "methods.strengths must have 1, the published weights"
    if (
        len(section.strengths) > 1
        and section.subsets
        and not settings.parameters.split.validation_fraction
    ):
        yield (
            "methods.strengths has weights to choose from, but split.validation_fraction 0 leaves "
            "no images to choose on: raise it, or set methods.strengths to [1]"
        )
    dim, heads = settings.parameters.network.embed_dim, settings.parameters.network.heads
    if section.vit and dim % heads:
        yield f"network.embed_dim ({dim}) must be a multiple of network.heads ({heads}) for a vit"


def _method_subsets(settings: Settings) -> Iterator[str]:
    """More images for the methods than there are."""
    for name, subsets in settings.parameters.methods.subsets.items():
        if classes := settings.dataset(name).classes:
            total = sum(count.train for count in classes.values())
            if max(subsets) > total:
                yield (
                    f"methods.subsets.{name}: {max(subsets)} images exceed the {total} of the "
                    "training set"
                )


def _datasets(settings: Settings) -> Iterator[str]:
    for name in settings.study:
        yield from _dataset(f"datasets.{name}", settings.dataset(name))


def _dataset(key: str, dataset: Dataset) -> Iterator[str]:
    """Splits that a layout cannot have, and more of what a dataset has too few of."""
    layout, split = dataset.layout.kind, dataset.split.kind
    if split not in SPLITS[layout]:
        fitting = " or ".join(SPLITS[layout])
        yield f"{key}.split.kind must be {fitting} for the layout {layout}, not {split}"
    for name in ("train", "test", "metadata"):
        place = PurePath(getattr(dataset.layout, name, ""))
        if place.is_absolute() or ".." in place.parts:
            yield f"{key}.layout.{name} must lie below the folder of the images, not at {place}"
    if isinstance(dataset.source, Generated) and not dataset.classes:
        yield f"{key}.classes must give the number of images to generate per class"
    if not dataset.classes:
        return
    total = sum(count.train for count in dataset.classes.values())
    for subset in dataset.subsets:
        if subset != "all" and subset > total:
            yield f"{key}.subsets: {subset} images exceed the {total} of the training set"
    rarest, count = min(dataset.classes.items(), key=lambda item: item[1].train)
    if dataset.smote.enabled and count.train <= dataset.smote.neighbours:
        yield (
            f"{key}.smote.neighbours ({dataset.smote.neighbours}) must be less than the "
            f"{count.train} training images of its smallest class {rarest}"
        )


def _seeds(settings: Settings) -> Iterator[str]:
    """Seeds for a size that no dataset has."""
    datasets = settings.parameters.datasets.values()
    sizes = {str(subset) for dataset in datasets for subset in dataset.subsets}
    for subset in settings.parameters.sweep.seeds_by_subset:
        if subset not in sizes:
            yield f"sweep.seeds_by_subset names the size {subset}, which is in no dataset's subsets"
