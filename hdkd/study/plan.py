"""Which trainings a study has, and where the pipeline keeps things below the project folder.

Imports nothing heavy: the Snakefile reads it at every start.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdkd.config import Settings, Variant, plain
from hdkd.study.code import PACKAGE
from hdkd.study.names import BASELINES as BASELINE_NETWORKS

BASELINES = tuple(BASELINE_NETWORKS)
BUDGETS = ("same_steps", "same_macs")  # controls: the student alone, trained as long as HDKD
RUN_FILES = (
    "params.json",
    "metrics.csv",
    "model.safetensors",
    "predictions.csv",
    "summary.json",
    "SHA256SUMS",
)
# Models that come with the project: in an installed package inside it, in a checkout beside it.
PRETRAINED = next(
    (p for p in (PACKAGE / "pretrained", PACKAGE.parent / "pretrained") if p.is_dir()),
    Path("pretrained"),
)
CARD = "README.md"  # of an exported model
# The variable that tells every training of a workflow when its time ends, in seconds since 1970.
DEADLINE = "HDKD_DEADLINE"


@dataclass(frozen=True)
class RunKey:
    """What tells one training from another.

    ``role`` is one of ``ROLES`` or, for a baseline, of ``BASELINES``, which have neither ``block`` nor
    ``stem_stride``. ``point`` names a changed distillation, a control or a trial of the tuning.
    """

    profile: str
    dataset: str
    group: str
    role: str
    subset: str
    seed: int
    block: str = ""
    stem_stride: int = 0
    point: str = ""

    @property
    def variant(self) -> str:
        stride = f"s{self.stem_stride}" if self.stem_stride else ""
        return "-".join(part for part in (self.block, stride, self.point) if part)

    @property
    def model(self) -> str:
        return f"{self.role}-{self.variant}" if self.variant else self.role

    @property
    def name(self) -> str:
        return f"{self.dataset} {self.model} n={self.subset} seed={self.seed}"

    @property
    def folder(self) -> Path:
        """The run folder, below the project folder."""
        group = Path("models") / self.profile / self.group / self.dataset
        return group / self.model / f"n{self.subset}" / f"seed{self.seed}"


def hyperparameters(settings: Settings, key: RunKey) -> dict[str, Any]:
    """The settings that decide the numbers of a training, and no others, in plain values.

    They are parameters of its rule, and in its summary.
    """
    chosen: dict[str, Any] = {
        "images": vars(settings.images(key.dataset)),
        "network": settings.network(key.block or None, key.stem_stride or None).arguments(key.role),
        "training": vars(settings.training(key.role, key.subset, key.dataset, key.point)),
        "augmentation": vars(settings.augmentation),
        "precision": settings.engine.precision,
        "split": vars(settings.dataset(key.dataset).split) | vars(settings.parameters.split),
    }
    if key.role == "hdkd":
        distillation = settings.distillation(key.point)
        chosen["distillation"] = vars(distillation) | {"heads": distillation.heads}
        chosen["teacher"] = hyperparameters(settings, teacher_of(settings, key))
    if key.point in BUDGETS:
        taught = dataclasses.replace(key, role="hdkd", point="")
        chosen["as_long_as"] = hyperparameters(settings, taught)
        chosen["taught_by_the_teacher"] = len(taught_runs(settings, key.dataset))
    if is_tuned(settings, key):
        tuning = settings.tuning(key.dataset)
        chosen["tuning"] = {name: getattr(tuning, name) for name in ("subset", "seeds", "grid")}
    if key.role == "teacher":
        chosen["smote"] = vars(settings.dataset(key.dataset).smote) | vars(
            settings.parameters.smote
        )
    return plain(chosen)


def is_tuned(settings: Settings, key: RunKey) -> bool:
    """Whether a training has settings that trials on the validation images chose."""
    return key.role != "teacher" and key.group != "tuning" and bool(settings.tuning(key.dataset))


def is_finished(folder: Path) -> bool:
    """Whether a run folder has the file that is written last."""
    return (folder / RUN_FILES[-1]).exists()


def raw(dataset: str) -> Path:
    return Path("data") / "raw" / dataset


def prepared(profile: str, dataset: str) -> Path:
    return Path("data") / "prepared" / profile / dataset


def report(profile: str) -> Path:
    return Path("reports") / profile


def teacher_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """The teacher of the sweep (paper, section 4.2): one, trained on everything."""
    return [_key(settings, dataset, "teacher", "teacher", "all", settings.teacher_seed)]


def student_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """With and without distillation, over subset sizes and seeds (Tables 3 and 4).

    The subsets and seeds of the ablations belong to it too: they are what the ablations are compared
    with.
    """
    subsets = settings.dataset(dataset).subsets
    cells = [(subset, seed) for subset in subsets for seed in settings.seeds_of(subset)]
    ablations = settings.parameters.ablations
    if ablations.variants:
        cells += [(ablations.subset, seed) for seed in ablations.seeds]
    if settings.points(dataset):
        points = ablations.distillation
        cells += [(points.subset, seed) for seed in points.seeds]
    if controls := settings.controls(dataset):
        cells += [(controls.subset, seed) for seed in controls.seeds]
    return [
        _key(settings, dataset, "students", role, str(subset), seed)
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
    """A trial of each setting of the grid, for every method that is compared: the same budget for each."""
    tuning = settings.tuning(dataset)
    if not tuning:
        return []
    place = (settings.profile, dataset, "tuning")
    network = settings.network()
    methods = [(role, network.block, network.stem_stride) for role in ("student", "hdkd")]
    methods += [(model, "", 0) for model in settings.parameters.baselines.models]
    return [
        RunKey(*place, role, str(tuning.subset), seed, block, stride, f"trial{number}")
        for role, block, stride in methods
        for number in range(len(tuning.grid))
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

    ``subset_teacher``: a teacher that has seen the student's images only, and HDKD taught by it.
    ``same_steps`` and ``same_macs``: the student alone, given as many steps or multiply-accumulates as HDKD and
    its share of the teacher. ``teacher_seed1`` and so on: another teacher, and HDKD taught by it.
    """
    controls = settings.controls(dataset)
    if not controls:
        return []
    subset, seeds = str(controls.subset), controls.seeds

    def run(role: str, seed: int, point: str, images: str = subset) -> RunKey:
        return _key(settings, dataset, "ablations", role, images, seed, point=point)

    runs = [run(role, seed, "subset_teacher") for seed in seeds for role in ("teacher", "hdkd")]
    runs += [run("student", seed, point) for point in BUDGETS for seed in seeds]
    for other in controls.teacher_seeds:
        point = f"teacher_seed{other}"
        runs.append(run("teacher", other, point, "all"))
        runs += [run("hdkd", seed, point) for seed in seeds]
    return runs


def variant_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """Teacher, student and HDKD with another block or stem stride (Tables 6 and 7)."""
    ablations = settings.parameters.ablations
    default = settings.network()
    runs = []
    for variant in ablations.variants:
        if (variant.block, variant.stem_stride) == (default.block, default.stem_stride):
            continue
        runs.append(
            _key(settings, dataset, "ablations", "teacher", "all", settings.teacher_seed, variant)
        )
        runs += [
            _key(settings, dataset, "ablations", role, str(ablations.subset), seed, variant)
            for seed in ablations.seeds
            for role in ("student", "hdkd")
        ]
    return runs


def point_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """HDKD with another distillation, one run per point and seed."""
    chosen = settings.parameters.ablations.distillation
    return [
        _key(
            settings,
            dataset,
            "ablations",
            "hdkd",
            str(chosen.subset),
            seed,
            point=point,
        )
        for point in settings.points(dataset)
        for seed in chosen.seeds
    ]


def baseline_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """The rivals of Table 5, on all images."""
    baselines = settings.parameters.baselines
    return [
        RunKey(settings.profile, dataset, "baselines", model, "all", seed)
        for model in baselines.models
        for seed in baselines.seeds
    ]


def teacher_of(settings: Settings, key: RunKey) -> RunKey:
    """The teacher of an HDKD training: the one with the same block and stride, or its control's."""
    default = settings.network()
    if key.point == "subset_teacher":
        return dataclasses.replace(key, role="teacher")
    if key.point.startswith("teacher_seed"):
        seed = int(key.point.removeprefix("teacher_seed"))
        return dataclasses.replace(key, role="teacher", subset="all", seed=seed)
    own = (key.block, key.stem_stride) == (default.block, default.stem_stride)
    variant = Variant(key.block, key.stem_stride)
    group = "teacher" if own else "ablations"
    return _key(settings, key.dataset, group, "teacher", "all", settings.teacher_seed, variant)


def all_runs(settings: Settings, dataset: str) -> list[RunKey]:
    """Every training of a study of ``dataset``."""
    return [
        *teacher_runs(settings, dataset),
        *tuning_runs(settings, dataset),
        *student_runs(settings, dataset),
        *ablation_runs(settings, dataset),
        *baseline_runs(settings, dataset),
    ]


def group_runs(settings: Settings, group: str) -> list[RunKey]:
    """The trainings of one of ``GROUPS`` in the whole study."""
    return [r for d in settings.study for r in all_runs(settings, d) if r.group == group]


def _key(
    settings: Settings,
    dataset: str,
    group: str,
    role: str,
    subset: str,
    seed: int,
    variant: Variant | None = None,
    point: str = "",
) -> RunKey:
    network = settings.network(**vars(variant)) if variant else settings.network()
    return RunKey(
        profile=settings.profile,
        dataset=dataset,
        group=group,
        role=role,
        block=network.block,
        stem_stride=network.stem_stride,
        subset=subset,
        seed=seed,
        point=point,
    )


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
