"""``params.yaml`` to validated, frozen values.

Parameters are validated twice: against ``params.schema.yaml`` beside this module (names, types and
ranges) and against each other. Both raise :class:`~hdkd.errors.ParameterError` with one sentence
that names the key. Nothing is filled in: what is not in the file does not exist.
"""

import dataclasses
import json
import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from hdkd.errors import ParameterError
from hdkd.files import write_whole

PROFILES = ("demo", "pilot", "reduced", "paper")
SECTIONS = (
    "sweep",
    "split",
    "smote",
    "images",
    "augmentation",
    "engine",
    "network",
    "teacher",
    "student",
    "schedule",
    "tuning",
    "distillation",
    "ablations",
    "baselines",
)
SCHEMA = Path(__file__).with_name("params.schema.yaml")
# Of an installed package; in a checkout it lies at the top.
# Names of trainings beside the sweep: trials of the tuning, and controls (see ``plan.control_runs``).
TRIAL = re.compile(r"trial\d+")
CONTROL = re.compile(r"subset_teacher|teacher_seed\d+|same_steps|same_macs")
PACKAGED_PARAMS = Path(__file__).with_name("params.yaml")


@dataclass(frozen=True)
class Images:
    """How images are prepared: ``size`` in pixels per side, ``colour`` ``grey`` or ``rgb``."""

    size: int
    colour: str

    @property
    def channels(self) -> int:
        return 1 if self.colour == "grey" else 3


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training images (see :mod:`hdkd.data.batches.augment`)."""

    rotation: float
    horizontal_flip: bool
    vertical_flip: bool
    brightness: float
    contrast: float
    sharpness: float
    blur: tuple[float, float] | None


@dataclass(frozen=True)
class Network:
    """Sizes of the networks (paper, Table 1)."""

    block: str
    stem_stride: int
    patch_size: int
    channels: tuple[int, int, int]
    teacher_depths: tuple[int, int, int]
    student_depths: tuple[int, int, int]
    head_width: int
    layers: int
    embed_dim: int
    heads: int
    head_dim: int

    def arguments(self, role: str) -> dict[str, Any]:
        """Keyword arguments for :func:`hdkd.models.build`, but for classes and images.

        A rival of Table 5 has none: it is a published network.
        """
        if role not in ("teacher", "student", "hdkd"):
            return {}
        common = {
            "block": self.block,
            "stem_stride": self.stem_stride,
            "channels": self.channels,
        }
        if role == "teacher":
            return common | {"depths": self.teacher_depths, "head_width": self.head_width}
        return common | {
            "depths": self.student_depths,
            "layers": self.layers,
            "patch_size": self.patch_size,
            "embed_dim": self.embed_dim,
            "heads": self.heads,
            "head_dim": self.head_dim,
        }


@dataclass(frozen=True)
class Training:
    """Optimiser and schedule; ``warmup_epochs``, ``epochs`` and ``evaluate_every`` count epochs.

    An epoch is every training image once, or ``epoch_images`` of them: then a training takes the same
    number of steps however many images there are. ``keep`` is the epoch whose weights are kept: ``last``,
    ``best_on_validation`` or ``best_on_test``. ``offset`` is by how many epochs the learning rate lags behind.
    """

    optimizer: str
    lr: float
    min_lr: float
    warmup_lr: float
    warmup_epochs: int
    weight_decay: float
    epochs: int
    batch_size: int
    evaluate_every: int
    epoch_images: int | None = None
    keep: str = "last"
    offset: int = 0


@dataclass(frozen=True)
class Engine:
    """How a GPU computes; a CPU computes in float32 and ignores all of it."""

    precision: str
    cuda_graph: bool
    compile: bool


@dataclass(frozen=True)
class Distillation:
    """Equations 6 to 8: α, t, λ (``feature_weight``) and the power of the stage.

    ``targets`` are ``soft`` (the teacher's probabilities) or ``hard`` (its most probable class).
    """

    alpha: float
    temperature: float
    targets: str
    kl_normalisation: str
    feature_weight: float
    stage_power: float
    batchnorm_updates: tuple[int, int, int]

    @property
    def heads(self) -> str:
        """Heads of HDKD that predict: those that the loss trains (α = 0 and α = 1 leave one out)."""
        return {0.0: "class", 1.0: "distillation"}.get(float(self.alpha), "both")


def _frozen(kind: type, values: dict[str, Any]):
    names = {field.name for field in dataclasses.fields(kind)}
    chosen = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in names}
    return kind(**chosen)


@dataclass(frozen=True)
class Settings:
    """The parameters of one profile: ``raw`` as plain dictionaries, properties as frozen values."""

    raw: dict[str, Any]

    @property
    def profile(self) -> str:
        return self.raw["profile"]

    @property
    def study(self) -> list[str]:
        """Names of the datasets to study."""
        return self.raw["study"] or self.raw["sweep"]["datasets"]

    @property
    def seeds(self) -> list[int]:
        return self.raw["sweep"]["seeds"]

    @property
    def validation_fraction(self) -> float:
        """Share of the training images that settings and epochs are chosen on; 0 for none."""
        return self.raw["split"]["validation_fraction"]

    def seeds_of(self, subset: int | str) -> list[int]:
        """The seeds of a subset's students."""
        return self.raw["sweep"]["seeds_by_subset"].get(str(subset), self.seeds)

    def dataset(self, name: str) -> dict[str, Any]:
        if name not in self.raw["datasets"]:
            known = ", ".join(self.raw["datasets"])
            raise ParameterError(f"there is no dataset {name!r}: datasets has {known}")
        return self.raw["datasets"][name]

    def images(self, dataset: str) -> Images:
        images = self.raw["images"]
        return Images(images["size"], images["colour"] or self.dataset(dataset)["colour"])

    @property
    def augmentation(self) -> Augmentation:
        return _frozen(Augmentation, self.raw["augmentation"])

    @property
    def engine(self) -> Engine:
        return _frozen(Engine, self.raw["engine"])

    def network(self, block: str | None = None, stem_stride: int | None = None) -> Network:
        network = dict(self.raw["network"])
        network["block"] = block or network["block"]
        network["stem_stride"] = stem_stride or network["stem_stride"]
        return _frozen(Network, network)

    @property
    def teacher_seed(self) -> int:
        return self.raw["teacher"]["seed"]

    def training(self, role: str, subset: str, dataset: str, point: str = "") -> Training:
        """How a network is trained as declared; a trial of the tuning, named by its ``point``, changes that."""
        section = dict(self.raw["teacher" if role == "teacher" else "student"])
        section |= section["by_dataset"].get(dataset, {})
        if role != "teacher" and subset == "all" and section["epochs_on_all"]:
            section["epochs"] = section["epochs_on_all"]
        section["offset"] = self.raw["schedule"]["offset"]
        if TRIAL.fullmatch(point):
            grid, number = self.raw["tuning"]["grid"], int(point.removeprefix("trial"))
            if number >= len(grid):
                raise ParameterError(f"there is no {point}: tuning.grid has {len(grid)} entries")
            section |= grid[number]
        return _frozen(Training, section)

    def distillation(self, point: str = "") -> Distillation:
        """How HDKD is taught, or how at a ``point`` of the ablations."""
        return _frozen(Distillation, self.raw["distillation"] | self._changes(point))

    def tuning(self, dataset: str) -> dict[str, Any] | None:
        """``subset``, ``seeds`` and ``grid`` of the settings that are tried on validation images, if any are."""
        chosen = self.raw["tuning"]
        return chosen if chosen["grid"] and dataset in chosen["datasets"] else None

    def controls(self, dataset: str) -> dict[str, Any] | None:
        """``subset``, ``seeds`` and ``teacher_seeds`` of the control experiments on ``dataset``, if there are any."""
        chosen = self.raw["ablations"]["controls"]
        return chosen if chosen and dataset in chosen["datasets"] else None

    def points(self, dataset: str) -> dict[str, dict[str, Any]]:
        """The changed distillations that the ablations try on ``dataset``, by name."""
        chosen = self.raw["ablations"]["distillation"]
        return chosen["points"] if chosen and dataset in chosen["datasets"] else {}

    def _changes(self, point: str) -> dict[str, Any]:
        chosen = (self.raw["ablations"]["distillation"] or {"points": {}})["points"]
        if TRIAL.fullmatch(point) or CONTROL.fullmatch(point):
            return {}
        if point and point not in chosen:
            known = ", ".join(chosen) or "none"
            raise ParameterError(
                f"there is no distillation {point!r}: ablations.distillation.points has {known}"
            )
        return chosen[point] if point else {}

    @property
    def variants(self) -> list[dict[str, Any]]:
        return self.raw["ablations"]["variants"]


def read(path: Path) -> dict[str, Any]:
    """The content of a parameter file. Raises ``ParameterError`` when it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ParameterError(f"cannot read the parameters {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ParameterError(f"{path} is not text in UTF-8") from None
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ParameterError(f"{path} is not valid YAML{where}") from None
    except (ValueError, RecursionError) as error:  # 2024-13-99 is no day, [[[[… is too deep
        raise ParameterError(f"{path} is not usable YAML: {str(error).splitlines()[0]}") from None
    if not isinstance(content, dict):
        raise ParameterError(f"{path} must hold a mapping with the key profile at its top")
    return content


def plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """``parameters`` in plain dictionaries, which compare, hash and save like the file's.

    Snakemake hands over ordered ones.
    """
    return json.loads(json.dumps(parameters, default=str))


def resolve(parameters: dict[str, Any]) -> Settings:
    """Validate, and merge each section's ``shared`` values with those of the chosen profile."""
    parameters = plain(parameters)
    _validate_schema(parameters)
    profile = parameters["profile"]
    resolved = {key: parameters[key] for key in ("profile", "study", "datasets")}
    for section in SECTIONS:
        values = parameters[section]
        resolved[section] = values["shared"] | values.get(profile, {})
    _validate_complete(resolved)
    settings = Settings(resolved)
    _validate_combinations(settings)
    return settings


def default_params() -> Path:
    """The parameter file of this folder, or the one that comes with an installed package."""
    path = Path("params.yaml")
    return PACKAGED_PARAMS if PACKAGED_PARAMS.exists() and not path.exists() else path


def load(path: Path, profile: str | None = None) -> Settings:
    """The settings in the parameter file ``path``, of ``profile`` instead of the file's own."""
    parameters = read(path)
    return resolve(parameters | {"profile": profile} if profile else parameters)


def save(parameters: dict[str, Any], path: Path) -> None:
    """Write a parameter file, for the commands of one workflow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, yaml.safe_dump(plain(parameters), sort_keys=False))


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(yaml.safe_load(SCHEMA.read_text(encoding="utf-8")))


def _validate_schema(parameters: dict[str, Any]) -> None:
    _validate_finite(parameters, "")
    errors = list(_validator().iter_errors(parameters))
    if errors:
        raise ParameterError(_sentence(jsonschema.exceptions.best_match(errors)))


def _validate_finite(value: Any, key: str) -> None:
    """A schema's ranges let pass what compares with nothing."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ParameterError(f"{key} must be a finite number, not {value}")
    if isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for name, entry in entries:
            _validate_finite(entry, f"{key}.{name}" if key else str(name))


def _sentence(error: jsonschema.ValidationError) -> str:
    key = ".".join(str(part) for part in error.absolute_path) or "params.yaml"
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        unknown = sorted(map(str, set(error.instance) - set(known)))
        prefix = "" if key == "params.yaml" else f"{key}."
        return (
            f"unknown parameter {', '.join(prefix + name for name in unknown)}: "
            f"{key} takes {', '.join(known)}"
        )
    if error.validator == "required":
        missing = sorted(set(error.validator_value) - set(error.instance))
        return f"{key} lacks the parameter {', '.join(missing)}"
    if error.validator == "type":
        wanted = error.validator_value
        wanted = wanted if isinstance(wanted, str) else " or ".join(wanted)
        hint = ""
        if isinstance(error.instance, str) and wanted in ("number", "integer"):
            hint = " (YAML reads 1e-3 as text: write 0.001 or 1.0e-3)"
        return f"{key} must be of type {wanted}, not {error.instance!r}{hint}"
    if error.validator == "enum":
        allowed = ", ".join(str(value) for value in error.validator_value)
        return f"{key} must be one of {allowed}, not {error.instance!r}"
    comparisons = {
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMinimum": "greater than",
        "exclusiveMaximum": "less than",
    }
    if error.validator in comparisons:
        limit = error.validator_value
        return f"{key} must be {comparisons[error.validator]} {limit}, not {error.instance}"
    if error.validator == "multipleOf":
        return f"{key} must be a multiple of {error.validator_value}, not {error.instance}"
    if error.validator == "minItems":
        return f"{key} must have at least {error.validator_value} entries"
    if error.validator == "maxItems":
        return f"{key} must have at most {error.validator_value} entries"
    if error.validator == "uniqueItems":
        return f"{key} names an entry twice: {error.instance}"
    return f"{key}: {error.message}"


def _validate_complete(resolved: dict[str, Any]) -> None:
    training = {field.name for field in dataclasses.fields(Training)} - {"offset"}
    wanted = {
        "sweep": {"seeds", "seeds_by_subset", "datasets"},
        "images": {field.name for field in dataclasses.fields(Images)},
        "augmentation": {field.name for field in dataclasses.fields(Augmentation)},
        "engine": {field.name for field in dataclasses.fields(Engine)},
        "network": {field.name for field in dataclasses.fields(Network)},
        "split": {"validation_fraction", "validation_seed"},
        "smote": {"arithmetic"},
        "schedule": {"offset"},
        "tuning": {"datasets", "subset", "seeds", "grid"},
        "teacher": training | {"seed", "by_dataset"},
        "student": training | {"epochs_on_all", "by_dataset"},
        "distillation": {field.name for field in dataclasses.fields(Distillation)},
        "ablations": {"variants", "subset", "seeds", "distillation", "controls"},
        "baselines": {"models", "seeds"},
    }
    for section, names in wanted.items():
        missing = sorted(names - set(resolved[section]))
        if missing:
            raise ParameterError(
                f"{section} lacks the parameter {missing[0]}: give it under {section}.shared "
                f"or {section}.{resolved['profile']}"
            )


def _validate_combinations(settings: Settings) -> None:
    raw, profile = settings.raw, settings.profile
    for name in settings.study:
        settings.dataset(name)
    size = raw["images"]["size"]
    variants = [raw["network"], *settings.variants]
    for variant in variants:
        unit = 4 * variant["stem_stride"] * raw["network"]["patch_size"]
        if size % unit:
            raise ParameterError(
                f"images.{profile}.size must be a multiple of {unit} (4 × stem stride "
                f"{variant['stem_stride']} × patch size {raw['network']['patch_size']}), not {size}"
            )
    for role in ("teacher", "student"):
        for name in raw[role]["by_dataset"]:
            if name not in raw["datasets"]:
                raise ParameterError(f"{role}.by_dataset names {name}, which datasets lacks")
        section = raw[role]
        if section["min_lr"] > section["lr"]:
            raise ParameterError(
                f"{role}.min_lr ({section['min_lr']}) must not exceed {role}.lr ({section['lr']})"
            )
    _validate_keep(settings)
    for key, section in {
        "ablations.distillation": raw["ablations"]["distillation"],
        "ablations.controls": raw["ablations"]["controls"],
        "tuning": raw["tuning"],
    }.items():
        for name in (section or {"datasets": []})["datasets"]:
            if name not in raw["datasets"]:
                raise ParameterError(f"{key}.datasets names {name}, which datasets lacks")
    _validate_ablations(settings)
    blur = raw["augmentation"]["blur"]
    if blur and blur[0] > blur[1]:
        raise ParameterError(f"augmentation.blur must be [smallest, largest] sigma, not {blur}")
    for name in settings.study:
        _validate_dataset(name, settings.dataset(name))
    sizes = {str(subset) for dataset in raw["datasets"].values() for subset in dataset["subsets"]}
    for subset in raw["sweep"]["seeds_by_subset"]:
        if subset not in sizes:
            raise ParameterError(
                f"sweep.seeds_by_subset names the size {subset}, which is in no dataset's subsets"
            )


def _validate_keep(settings: Settings) -> None:
    """The best epoch is found on images that are there, and never on test images beside validation images."""
    fraction = settings.validation_fraction
    for role in ("teacher", "student"):
        section = settings.raw[role]
        for values in (section, *section["by_dataset"].values()):
            keep = values.get("keep")
            if keep == "best_on_validation" and not fraction:
                raise ParameterError(
                    f"{role}.keep is best_on_validation, but split.validation_fraction 0 leaves no validation "
                    "images: raise it, or keep last"
                )
            if keep == "best_on_test" and fraction:
                raise ParameterError(
                    f"{role}.keep is best_on_test, which is for reproducing what had no validation images: keep "
                    "best_on_validation, or set split.validation_fraction to 0"
                )


def _validate_ablations(settings: Settings) -> None:
    """Ablations, controls and the tuning stand beside the sweep, on one of its subsets."""
    ablations = settings.raw["ablations"]
    for name in (ablations["distillation"] or {"points": {}})["points"]:
        if TRIAL.fullmatch(name) or CONTROL.fullmatch(name):
            raise ParameterError(
                f"ablations.distillation.points.{name} has the name of a trial or control: take another"
            )
    controls = ablations["controls"]
    if controls and settings.teacher_seed in controls["teacher_seeds"]:
        raise ParameterError(
            f"ablations.controls.teacher_seeds has {settings.teacher_seed}, which is teacher.seed: name others"
        )
    if any(map(settings.tuning, settings.study)) and not settings.validation_fraction:
        raise ParameterError(
            "tuning.grid has settings to choose from, but split.validation_fraction 0 leaves no images to "
            "choose on: raise it, or set tuning.grid to []"
        )
    for name in settings.study:
        wanted = {"ablations.subset": ablations["subset"]} if ablations["variants"] else {}
        if settings.points(name):
            wanted["ablations.distillation.subset"] = ablations["distillation"]["subset"]
        if settings.controls(name):
            wanted["ablations.controls.subset"] = controls["subset"]
        if settings.tuning(name):
            wanted["tuning.subset"] = settings.raw["tuning"]["subset"]
        subsets = [str(subset) for subset in settings.dataset(name)["subsets"]]
        for key, subset in wanted.items():
            if str(subset) not in subsets:
                raise ParameterError(
                    f"{key} is {subset}, which datasets.{name}.subsets lacks: take one of "
                    f"{', '.join(subsets)}, or add it there"
                )


def _validate_dataset(name: str, dataset: dict[str, Any]) -> None:
    key = f"datasets.{name}"
    layout, split = dataset["layout"]["kind"], dataset["split"]["kind"]
    fitting = {
        "train_test_folders": ("published", "clusters"),
        "class_folders": ("held_out", "clusters"),
        "ham10000": ("single_image_lesions", "held_out", "clusters"),
    }[layout]
    if split not in fitting:
        raise ParameterError(
            f"{key}.split.kind must be {' or '.join(fitting)} for the layout {layout}, not {split}"
        )
    classes = dataset["classes"]
    if dataset["source"]["kind"] == "generated" and not classes:
        raise ParameterError(f"{key}.classes must give the number of images to generate per class")
    if classes:
        from hdkd.data.batches.subsets import images_per_class

        counts = [entry["train"] for entry in classes.values()]
        for subset in dataset["subsets"]:
            images_per_class(counts, subset, f"{key}.subsets")
        smote = dataset["smote"]
        rarest, count = min(classes.items(), key=lambda item: item[1]["train"])
        if smote["enabled"] and count["train"] <= smote["neighbours"]:
            raise ParameterError(
                f"{key}.smote.neighbours ({smote['neighbours']}) must be less than the "
                f"{count['train']} training images of its smallest class {rarest}"
            )
