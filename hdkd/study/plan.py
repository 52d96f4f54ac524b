"""Which runs a study has, and where the pipeline keeps things below the project folder.

Imports nothing heavy: the Snakefile reads it at every start.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hdkd.config import Settings, plain
from hdkd.study.key import RunKey
from hdkd.study.names import BASELINES

BUDGETS = ("same_steps", "same_macs")  # controls: the student alone, trained as long as HDKD
ENGINE_NUMBERS = ("deterministic", "layout", "compile")  # change the last digits of numbers
RUN_FILES = (
    "params.json",
    "metrics.csv",
    "model.safetensors",
    "predictions.csv",
    "summary.json",
    "SHA256SUMS",
)
# The variable that tells every run of a workflow when its time ends, in seconds since 1970.
DEADLINE = "HDKD_DEADLINE"
# Profiles whose results the ledger has: those of the paper's datasets, the smallest scale first.
LEDGER_PROFILES = ("pilot", "reduced", "paper")
LEDGER = (Path("reports") / "ledger.csv", Path("reports") / "ledger.md")
# Tables of the report, below its folder.
TABLES = (
    "summaries.jsonl",
    "predictions.npz",
    "SHA256SUMS",
    "runs.csv",
    "results.csv",
    "recalls.csv",
    "gains.csv",
    "cost.csv",
    "metrics.json",
    "data.json",
    "README.md",
)


def hyperparameters(settings: Settings, key: RunKey) -> dict[str, Any]:
    """The settings that decide the numbers of a run, and no others, in plain values.

    They are parameters of its rule, and in its summary.
    """
    engine = settings.parameters.engine
    chosen: dict[str, Any] = {
        "images": vars(settings.images(key.dataset)),
        "network": settings.network(key.block or None, key.stem_stride or None).arguments(key.role),
        "training": vars(settings.training(key.role, key.dataset, key.point)),
        "augmentation": vars(settings.parameters.augmentation),
        **{name: getattr(engine, name) for name in ("precision", *ENGINE_NUMBERS)},
        "split": vars(settings.dataset(key.dataset).split) | vars(settings.parameters.split),
    }
    if key.is_taught:
        distillation = settings.distillation(key.point)
        chosen["distillation"] = vars(distillation) | {"heads": distillation.heads}
        chosen["teacher"] = hyperparameters(settings, teacher_of(settings, key))
    if key.method:
        chosen["method"] = {"name": key.method, "strength": key.strength}
    if key.point in BUDGETS:
        chosen["as_long_as"] = hyperparameters(settings, replace(key, role="hdkd", point=""))
        chosen["taught_by_the_teacher"] = len(taught_runs(settings, key.dataset))
    tuning = settings.tuning(key.dataset)
    if tuning and is_tuned(settings, key):
        chosen["tuning"] = {name: getattr(tuning, name) for name in ("subset", "seeds")}
        chosen["tuning"]["grid"] = tuning.grid_of(key.role, key.dataset)
    if key.role == "teacher":
        smote = settings.dataset(key.dataset).smote
        chosen["smote"] = vars(smote) | vars(settings.parameters.smote)
    return plain(chosen)


def is_tuned(settings: Settings, key: RunKey) -> bool:
    """Whether a run has settings that trials on the validation images chose."""
    alike = key.role == "teacher" or key.group in ("tuning", "methods")
    return not alike and bool(settings.tuning(key.dataset))


def is_finished(folder: Path) -> bool:
    """Whether a run folder has the file that is written last."""
    return (folder / RUN_FILES[-1]).exists()


def raw_folder(dataset: str) -> Path:
    """The folder of a dataset's acquired files."""
    return Path("data") / "raw" / dataset


def prepared_folder(profile: str, dataset: str) -> Path:
    """The folder of a dataset's images as arrays, and of its split."""
    return Path("data") / "prepared" / profile / dataset


def report_folder(profile: str) -> Path:
    """The folder of a profile's tables, figures and page."""
    return Path("reports") / profile


def teacher_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """The teacher of the sweep (paper, section 4.2): one, trained on everything."""
    seed = settings.parameters.teacher.seed
    return [run_key(settings, dataset, "teacher", "teacher", "all", seed)]


def student_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """With and without distillation, over subset sizes and seeds (Tables 3 and 4).

    Subsets and seeds of the ablations are among them, because ablations are compared with these.
    """
    subsets = settings.dataset(dataset).subsets
    cells = [(subset, seed) for subset in subsets for seed in settings.seeds_of(subset)]
    ablations = settings.parameters.ablations
    variants = ablations if ablations.variants else None
    for section in (variants, settings.points(dataset), settings.controls(dataset)):
        if section:
            cells += [(section.subset, seed) for seed in section.seeds]
    return [
        run_key(settings, dataset, "students", role, subset, seed)
        for subset, seed in dict.fromkeys(cells)
        for role in ("student", "hdkd")
    ]


def taught_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """The HDKDs of the sweep, among which its teacher's cost is shared."""
    return [run for run in student_runs(settings, dataset) if run.role == "hdkd"]


def tuned_settings(profile: str, dataset: str) -> Path:
    """The file with the settings that trials on the validation images chose, method by method."""
    return Path("models") / profile / "tuning" / dataset / "chosen.json"


def tuning_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """A trial of each setting of the grid for every network, and of what it has besides."""
    tuning = settings.tuning(dataset)
    if not tuning:
        return []
    return [
        run_key(settings, dataset, "tuning", role, tuning.subset, seed, f"trial{number}")
        for role in ("student", "hdkd", *settings.parameters.baselines.models)
        for number in range(len(tuning.grid_of(role, dataset)))
        for seed in tuning.seeds
    ]


def ablation_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """Another block or stem stride, other distillations, and controls."""
    return [
        *variant_runs(settings, dataset),
        *point_runs(settings, dataset),
        *control_runs(settings, dataset),
    ]


def control_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """What the paper's comparison of student and HDKD leaves open, on one subset.

    ``subset_teacher``: a teacher that has seen the student's images only, and HDKD taught by it;
    on all images every teacher is one.
    ``same_steps`` and ``same_macs``: the student alone, given as many steps or multiply-accumulates
    as HDKD and its share of the teacher. ``teacher_seed1`` and so on: another teacher, and HDKD
    taught by it.
    """
    controls = settings.controls(dataset)
    if not controls:
        return []
    subset, seeds = controls.subset, controls.seeds
    run = partial(run_key, settings, dataset, "ablations")
    runs = []
    if subset != "all":
        for seed in seeds:
            runs += [run(role, subset, seed, "subset_teacher") for role in ("teacher", "hdkd")]
    runs += [run("student", subset, seed, point) for point in BUDGETS for seed in seeds]
    for other in controls.teacher_seeds:
        point = f"teacher_seed{other}"
        runs.append(run("teacher", "all", other, point))
        runs += [run("hdkd", subset, seed, point) for seed in seeds]
    return runs


def variant_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """Teacher, student and HDKD with another block or stem stride (Tables 6 and 7)."""
    ablations = settings.parameters.ablations
    runs = []
    for variant in ((each.block, each.stem_stride) for each in ablations.variants):
        if settings.network(*variant) == settings.network():
            continue
        run = partial(run_key, settings, dataset, "ablations", variant=variant)
        runs.append(run("teacher", "all", settings.parameters.teacher.seed))
        runs += [
            run(role, ablations.subset, seed)
            for seed in ablations.seeds
            for role in ("student", "hdkd")
        ]
    return runs


def point_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """HDKD with another distillation, one run per point and seed."""
    chosen = settings.points(dataset)
    if not chosen:
        return []
    run = partial(run_key, settings, dataset, "ablations", "hdkd", chosen.subset)
    return [run(seed, point) for point in chosen.points for seed in chosen.seeds]


def baseline_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """The networks of Table 5, on all images."""
    baselines = settings.parameters.baselines
    return [
        run_key(settings, dataset, "baselines", model, "all", seed)
        for model in baselines.models
        for seed in baselines.seeds
    ]


def method_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """Both students, taught in every way that the parameters name, on the same images and seeds.

    As strongly as published, and where there are other strengths once with each of them.
    """
    section = settings.parameters.methods
    runs = []
    for role in ("hybrid", "vit"):
        for method in getattr(section, role):
            # Nothing is added to the labels of a student alone.
            strengths = section.strengths if method != "alone" else (1,)
            points = [point_of(strength) for strength in strengths]
            runs += [
                replace(run_key(settings, dataset, "methods", role, n, seed, point), method=method)
                for point in points
                for n in section.subsets.get(dataset, ())
                for seed in section.seeds
            ]
    return runs


def point_of(strength: float) -> str:
    """How a strength is named in run folders: ``times0_25``, and nothing for 1."""
    return "" if strength == 1 else f"times{strength:g}".replace(".", "_")


def teacher_of(settings: Settings, key: RunKey) -> RunKey:
    """The teacher of a taught run: the one with the same block and stride, or its control's."""
    if key.method:
        return teacher_runs(settings, key.dataset)[0]
    teacher = replace(key, role="teacher")
    if key.point == "subset_teacher":
        return teacher
    if key.point.startswith("teacher_seed"):
        seed = int(key.point.removeprefix("teacher_seed"))
        return replace(teacher, subset="all", seed=seed)
    default = settings.network()
    own = (key.block, key.stem_stride) == (default.block, default.stem_stride)
    seed, group = settings.parameters.teacher.seed, "teacher" if own else "ablations"
    return replace(teacher, group=group, subset="all", seed=seed, point="")


def all_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """Every run of a study of ``dataset``."""
    return [
        *teacher_runs(settings, dataset),
        *tuning_runs(settings, dataset),
        *student_runs(settings, dataset),
        *ablation_runs(settings, dataset),
        *baseline_runs(settings, dataset),
        *method_runs(settings, dataset),
    ]


def group_runs(settings: Settings, group: str) -> list[RunKey]:
    """The runs of one of ``GROUPS`` in the whole study."""
    return [r for d in settings.study for r in all_runs(settings, d) if r.group == group]


def run_key(
    settings: Settings,
    dataset: str,
    group: str,
    role: str,
    subset: int | str,
    seed: int,
    point: str = "",
    variant: tuple[str | None, int | None] = (None, None),
) -> RunKey:
    """A run of the parameters' network, or of another ``variant`` (block, stem stride) of it."""
    network = settings.network(*variant)
    block, stride = (
        ("", 0) if role in BASELINES or role == "vit" else (network.block, network.stem_stride)
    )
    return RunKey(settings.profile, dataset, group, role, str(subset), seed, block, stride, point)
