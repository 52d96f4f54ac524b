"""What a run is made from, and what that becomes: images, network, teacher, parameters."""

import dataclasses
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from hdkd.config import CONTROL, Settings, methods, plain
from hdkd.data.batches.imageset import ImageSet, TrainingSet
from hdkd.data.batches.subsets import draw_subset
from hdkd.distillation.method import Teaching, build_method
from hdkd.errors import RunError
from hdkd.files import sha256
from hdkd.models import ImageModel, build
from hdkd.runs.folder import RunFolder, flatten
from hdkd.runs.records import Data, Part, RunParams, WatchedPart
from hdkd.runs.tuning import chosen
from hdkd.runs.weights import in_half_precision
from hdkd.study import code, plan
from hdkd.study.key import RunKey
from hdkd.training import parallel
from hdkd.training.budget import network_arguments, training_of
from hdkd.training.loop import Setup, Watched, has_finite_weights

# By which SLURM and Kubernetes tell a job which GPUs are its own.
GIVEN_GPUS = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "NVIDIA_VISIBLE_DEVICES")
NO_GPUS = ("", "all", "none", "void")  # what container images may say where nothing was given
# An empty table would have no types of its own.
RECIPE_TYPES = {"base": "int64", "neighbour": "int64", "gap": "float64", "label": "int64"}
# Parameters that change no number.
NAMES_ONLY = ("version", "teacher", "data.title", "data.synthetic")


@dataclass(frozen=True)
class Job:
    """A run to train: what ``key`` names, on ``prepared`` data, into the run folder ``output``.

    ``recipes`` is a table of SMOTE recipes to add; ``teacher`` the run folder that it is taught by;
    ``tuned`` what ``hdkd tune`` has chosen. ``device`` is ``auto``, ``cpu`` or ``cuda``.
    """

    settings: Settings
    key: RunKey
    prepared: Path
    output: Path
    recipes: Path | None = None
    teacher: Path | None = None
    tuned: Path | None = None
    device: str = "auto"

    @property
    def part(self) -> Part:
        """What it is evaluated on at its end: a trial of the tuning on the validation images."""
        return "validation" if self.key.group == "tuning" else "test"

    @property
    def tuned_settings(self) -> dict[str, Any] | None:
        """What trials have chosen for it. Raises ``RunError`` where that is needed and missing."""
        if self.tuned:
            return chosen(self.tuned, self.key.role)
        if plan.is_tuned(self.settings, self.key):
            raise RunError(
                f"{self.key.name} trains with settings that trials choose: run `hdkd tune` and "
                "name its file with --tuned"
            )
        return None

    @property
    def checked_recipes(self) -> Path | None:
        """SMOTE's recipes. Raises ``RunError`` where they are missing, or not for such a run."""
        smote = self.settings.dataset(self.key.dataset).smote
        wanted = (self.key.role, self.key.subset) == ("teacher", "all") and smote.enabled
        if wanted and not self.recipes:
            raise RunError(
                f"{self.key.name} trains with images of SMOTE: run `hdkd smote` and name its file "
                "with --recipes"
            )
        if self.recipes and not wanted:
            raise RunError(f"{self.key.name} trains without images of SMOTE: leave out --recipes")
        return self.recipes


@dataclass(frozen=True)
class Assembled:
    """A job whose files have been read; ``model`` has its initial weights.

    ``tuned`` are the settings that trials have chosen for it.
    """

    job: Job
    source: ImageSet
    model: ImageModel
    setup: Setup
    params: RunParams
    tuned: dict[str, Any] | None


def assemble(job: Job) -> Assembled:
    """Read what a job needs and build its network, with the seed of its key.

    Raises ``RunError`` when a taught run has no teacher, or one that does not fit.
    """
    settings, key = job.settings, job.key
    tuned = job.tuned_settings
    device = choose_device(job.device)
    source = prepared_images(job)
    training_set = training_images(job, source)
    counts = np.bincount(source.labels[source.part("train")]).tolist()
    arguments = network_arguments(settings, key, len(source.classes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key.seed)
        model = build(key.role, **arguments)
    teaching = teaching_of(job, source, model)
    setup = Setup(
        training_set,
        watched_images(job, source),
        dataclasses.replace(training_of(settings, key, counts), **tuned or {}),
        settings.parameters.augmentation,
        settings.parameters.engine,
        key.seed,
        device,
        teaching,
    )
    params = parameters(job, source, setup, arguments)
    return Assembled(job, source, model, setup, params, tuned)


def prepared_images(job: Job) -> ImageSet:
    """The images of a job. Raises ``RunError`` where they were prepared with other parameters."""
    source, images = ImageSet.load(job.prepared), job.settings.images(job.key.dataset)
    for name in ("size", "colour"):
        found, wanted = source.facts[name], getattr(images, name)
        if found != wanted:
            raise RunError(
                f"{job.prepared} has images of {name} {found}, not {wanted} as the parameters say: "
                "run `hdkd prepare` and `hdkd split` again"
            )
    return source


def teaching_of(job: Job, source: ImageSet, model: ImageModel) -> Teaching | None:
    """How a student is taught, by whom; ``None`` for teachers, baselines, the student alone."""
    key = job.key
    name = "hdkd" if key.role == "hdkd" else key.method
    if not name:
        return None
    if key.method and len(source.classes) < (fewest := methods()[name].fewest_classes):
        raise RunError(
            f"{name} says nothing of {len(source.classes)} classes: it needs {fewest}; take it out "
            "of the section methods of the parameters"
        )
    teacher = None
    if key.is_taught:
        teacher = load_teacher(job.teacher, source)
        check_teacher(job, len(source.classes))
    settings = job.settings.distillation(key.point)
    if key.method:  # that the released code repeats its passes is no part of any method
        settings = dataclasses.replace(settings, batchnorm_updates=(1, 1, 1))
    images = job.settings.images(key.dataset)
    shape = (images.channels, images.size, images.size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key.seed + 3_000_017)
        method = build_method(name, model, teacher, shape, settings)
    return Teaching(teacher, method, key.strength)


def training_images(job: Job, source: ImageSet) -> TrainingSet:
    """A balanced subset drawn with the seed of the key, or all images and the SMOTE recipes."""
    positions = source.part("train")
    labels, dataset = source.labels[positions], job.key.dataset
    name = f"methods.subsets.{dataset}" if job.key.method else f"datasets.{dataset}.subsets"
    positions = positions[draw_subset(labels, job.key.subset, job.key.seed, name)]
    recipes = pd.read_csv(found, dtype=RECIPE_TYPES) if (found := job.checked_recipes) else None
    return TrainingSet(source, positions, recipes, job.settings.parameters.smote.arithmetic)


def watched_images(job: Job, source: ImageSet) -> Watched:
    """The validation images, or the test images where there are none; a trial needs the former."""
    part: Part = "validation" if len(source.part("validation")) else "test"
    if job.part == "validation" and part != "validation":
        raise RunError(
            "a trial needs validation images: raise split.validation_fraction and split again"
        )
    positions = source.part(part)
    return Watched(part, source.chosen(positions), source.labels[positions])


def parameters(job: Job, source: ImageSet, setup: Setup, arguments: dict[str, Any]) -> RunParams:
    """What ``params.json`` says of a run."""
    key, training_set, watched = job.key, setup.training_set, setup.watched
    distillation = vars(job.settings.distillation(key.point)) if key.is_taught else {}
    method = {"method": key.method, "strength": key.strength} if key.method else {}
    return RunParams(
        run=job.key,
        classes=source.classes,
        images=vars(job.settings.images(job.key.dataset)),
        model=arguments,
        training=vars(setup.training),
        augmentation=vars(setup.augmentation),
        engine=vars(setup.engine),
        distillation=(distillation | method) or None,
        teacher=str(job.teacher) if key.is_taught else None,
        training_images=len(training_set.positions),
        synthetic_images=len(training_set) - len(training_set.positions),
        watched=WatchedPart(part=watched.part, images=len(watched.labels)),
        data=Data(
            title=source.facts["title"],
            synthetic=source.facts["synthetic"],
            content_hash=source.facts["content_hash"],
            training_digest=training_set.digest(),
            arithmetic=training_set.arithmetic if job.recipes else None,
        ),
    )


def fingerprint(assembled: Assembled) -> dict[str, Any]:
    """What must not change when a run is resumed: settings, data, teacher, code.

    Where the teacher lies is not among it, nor what of the engine changes no number on the device.
    """
    device, engine = assembled.setup.device, assembled.setup.engine
    parts = flatten(assembled.params.content())
    for name in [n for n in parts if n in NAMES_ONLY or n.startswith("engine.")]:
        del parts[name]
    parts["device"] = device
    parts["engine.layout"] = engine.layout  # on a CPU, too, it changes the last digits
    if device == "cuda":  # a recorded step computes what it would compute if it were not
        parts |= {f"engine.{n}": v for n, v in vars(engine).items() if n != "cuda_graph"}
    if (processes := parallel.share().of) > 1:  # sums of shares differ in the last digits
        parts["processes"] = processes
    parts["torch"] = torch.__version__
    for name in code.files("train", assembled.job.key.method):
        parts[f"hdkd/{name}"] = sha256(code.PACKAGE / name)
    if teacher := assembled.job.teacher:
        weights = in_half_precision(RunFolder(teacher).read("model.safetensors"))
        parts["teacher"] = hashlib.sha256(weights).hexdigest()
    return parts


def check_teacher(job: Job, classes: int) -> None:
    """Raise ``RunError`` where the teacher is another network than the parameters describe.

    Or, for a control of its own, one of other images or another seed.
    """
    assert job.teacher
    params = RunFolder(job.teacher).params
    found, teacher = params.model, plan.teacher_of(job.settings, job.key)
    if CONTROL.fullmatch(job.key.point):
        for name in ("subset", "seed"):
            own, asked = getattr(params.run, name), getattr(teacher, name)
            if own != asked:
                raise RunError(
                    f"the teacher {job.teacher} has {name} {own}, and {job.key.point} is taught by "
                    f"one of {name} {asked}: name that"
                )
    wanted = plain(network_arguments(job.settings, teacher, classes))
    for name, value in wanted.items():
        if found.get(name) != value:
            raise RunError(
                f"the teacher {job.teacher} has {name} {found.get(name)}, not {value} as the "
                "parameters say: name another, or train it again"
            )


def load_teacher(folder: Path | None, source: ImageSet) -> ImageModel:
    """The trained teacher, its weights rounded to half precision, as a copy that travels has them.

    Raises ``RunError`` when it is missing, knows other classes, or has weights that do not fit.
    """
    if folder is None:
        raise RunError("this run needs a teacher: name its run folder with --teacher")
    run = RunFolder(folder)
    params = run.params
    if params.run.role != "teacher":
        raise RunError(f"{folder} is a {params.run.role}, not a teacher")
    if params.classes != source.classes:
        raise RunError(f"the teacher {folder} knows the classes {', '.join(params.classes)} only")
    model = run.load_model().half().float()
    if not has_finite_weights(model):
        raise RunError(f"the teacher {folder} has weights that do not fit 16 bits")
    return model


def choose_device(name: str) -> str:
    """``auto`` takes a GPU where there is one.

    Raises ``RunError`` where a GPU is asked for, or the cluster has given one, that torch cannot
    use.
    """
    if name == "auto":
        found = {key: os.environ.get(key, "") for key in GIVEN_GPUS}
        given = [f"{key}={value}" for key, value in found.items() if value not in NO_GPUS]
        if given and not torch.cuda.is_available():
            raise RunError(
                f"this job was given a GPU ({given[0]}) that torch cannot use: install a torch for "
                "it, or train without one by --device cpu"
            )
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise RunError("--device cuda: there is no GPU that torch can use; leave it at auto")
    return name
