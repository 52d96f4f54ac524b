"""What a run folder records, with types: parameters, summary, provenance.

Records carry a ``version``. Older shapes are turned into today's as they are read, so that all
other code knows one shape only.
"""

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from hdkd.errors import RunError
from hdkd.study.key import RunKey

VERSION: Literal[3] = 3
Part = Literal["validation", "test"]


class Record(BaseModel):
    """Part of a record: unknown and missing fields are errors, and nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def content(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return self.model_dump(mode="json")


class Numerics(Record):
    """How torch computed: the precision of training, and what changes last digits."""

    precision: str
    tf32: bool
    deterministic: bool
    cudnn_benchmark: bool


class Origin(Record):
    """Where and with what a run was begun; ``started`` is in ISO format, UTC.

    ``threads`` are those of each of its ``processes``; records of a single one do not name them.
    Old records have no ``numerics``.
    """

    git_commit: str | None
    device: str
    processes: int = 1
    threads: int
    numerics: Numerics | None
    platform: str
    versions: dict[str, str]
    started: str

    @model_serializer(mode="wrap")
    def _without_a_single_process(self, serialised: SerializerFunctionWrapHandler) -> Any:
        content = serialised(self)
        if self.processes == 1:
            del content["processes"]
        return content


def identity(run: RunKey, origin: Origin) -> str:
    """What a run is recognised by, wherever it was trained and registered."""
    return f"{run.folder.as_posix()} {origin.started}"


class Piece(Record):
    """A part of a run that went without interruption; ``started`` is in ISO format, UTC."""

    started: str
    seconds: float


class Provenance(Origin):
    """Where and with what a run was trained, and what it took.

    ``startup_seconds`` of the duration is what its pieces took before training, and what their
    first epochs took longer than later ones. Old records know neither this nor ``pieces``.
    """

    duration_seconds: float
    startup_seconds: float | None
    peak_memory_bytes: int | None
    pieces: list[Piece]


class Data(Record):
    """The images: their dataset, and checksums of all and of those that were trained on.

    ``arithmetic`` is how SMOTE's images were blended; ``None`` where there are none.
    """

    title: str
    synthetic: bool
    content_hash: str
    training_digest: str
    arithmetic: str | None


class LicensedData(Data):
    """The images behind an exported model: under which licence, from where."""

    licence: str | None
    source: str


class WatchedPart(Record):
    """What was evaluated between epochs: the part, and how many images it has."""

    part: Part
    images: int


class RunParams(Record):
    """``params.json``: what was trained on what; old records lack ``engine`` and ``watched``."""

    version: Literal[3] = VERSION
    run: RunKey
    classes: list[str]
    images: dict[str, Any]
    model: dict[str, Any]
    training: dict[str, Any]
    augmentation: dict[str, Any]
    engine: dict[str, Any] | None
    distillation: dict[str, Any] | None
    teacher: str | None
    training_images: int
    synthetic_images: int
    watched: WatchedPart | None
    data: Data


class Metrics(Record):
    """Metrics in [0, 1] of a final evaluation; the confusion matrix has a row per true class."""

    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    auroc: float | None
    calibration_error: float
    recall: dict[str, float]
    confusion_matrix: list[list[int]]


class WithoutLeaks(Record):
    """Accuracies in [0, 1] on the test images of which no copy was trained on."""

    images: int
    accuracy: float
    balanced_accuracy: float


class KeptEpoch(Record):
    """Which epoch's weights were kept, and by which rule."""

    rule: str
    epoch: int


class WatchedMetrics(Record):
    """Metrics on the validation images."""

    loss: float
    accuracy: float
    balanced_accuracy: float


class BestEpoch(Record):
    """The first epoch with the best accuracy on the test images, where those were watched."""

    epoch: int
    accuracy: float


class RunSummary(Record):
    """``summary.json``: what a run reached, and how it was made."""

    version: Literal[3] = VERSION
    run: RunKey
    part: Part
    final: Metrics
    without_leaks: WithoutLeaks | None
    tuned: dict[str, Any] | None
    kept: KeptEpoch
    validation: WatchedMetrics | None
    best_epoch: BestEpoch | None
    epochs: int
    test_images: int
    training_images: int
    synthetic_images: int
    parameters: int
    data: Data
    hyperparameters: dict[str, Any] | None
    provenance: Provenance
    mlflow_run: str | None


class Leaked(Record):
    """Test images whose exact copy, or any near copy, was trained on."""

    copies: int
    images: int


class CalibrationErrors(Record):
    """How far probabilities are from what is true (see ``evaluation/calibration.py``)."""

    calibration_error: float
    loss: float
    brier: float


class Calibration(Record):
    """The temperature of an exported model, fitted on so many validation ``images``.

    ``before`` and ``after`` are errors on the test images without and with it.
    """

    temperature: float
    images: int
    before: CalibrationErrors
    after: CalibrationErrors


class Alarms(Record):
    """How many ``images`` of the collection are wrongly called unlike the training images.

    ``interval`` is of that share, at 95 %.
    """

    images: int
    alarms: int
    interval: tuple[float, float]


class Unfamiliar(Record):
    """When an exported model says that an image is unlike its training images.

    That is beyond the ``threshold`` of ``deploy/familiarity.py``, which was set on so many
    ``images`` of a ``part``, of which so many are ``beyond`` it. The alarms are those of the test
    images, and of the test images of which no copy was trained on, where there are any.
    """

    part: Literal["training", "validation"]
    images: int
    beyond: int
    threshold: float
    test: Alarms
    without_leaks: Alarms | None


class Conversion(Record):
    """A file of an exported model that other programs run, tested on all test images.

    ``difference`` is the largest of any logit to what the weights give, ``changed`` how many images
    get another answer; ``interval`` is of the accuracy, at 95 %. A file in 8 bits was
    ``quantised_on`` so many training images.
    """

    file: str
    bytes: int
    difference: float
    changed: int
    accuracy: float
    interval: tuple[float, float]
    calibration_error: float
    quantised_on: int | None


class ModelSummary(Record):
    """``summary.json`` of an exported model: its run, and what its weights reach in half precision.

    ``interval`` is of the accuracy, at 95 %; ``changed`` counts the test images with another answer
    than the run gave. Without ``calibration`` probabilities are the softmax of the logits as they
    are. Old records have neither this nor ``unfamiliar`` nor ``conversions``.
    """

    version: Literal[3] = VERSION
    run: RunKey
    epochs: int
    test_images: int
    training_images: int
    synthetic_images: int
    parameters: int
    final: Metrics
    interval: tuple[float, float]
    leaked: Leaked
    without_leaks: WithoutLeaks | None
    calibration: Calibration | None
    unfamiliar: Unfamiliar | None
    changed: int
    run_folder: str
    run_accuracy: float
    kept: KeptEpoch
    data: LicensedData
    provenance: Provenance
    weight_bytes: int
    chosen: str
    conversions: list[Conversion]


R = TypeVar("R", bound=Record)


def read_params(content: dict[str, Any], path: Path) -> RunParams:
    """The parameters in a ``params.json`` of any version. Raises ``RunError`` for anything else."""
    if "version" not in content:  # without engine and watched images at first
        content = {"engine": None, "watched": None} | _without_version(content)
    return _checked(RunParams, _current(content), path)


def read_summary(content: dict[str, Any], path: Path) -> RunSummary:
    """The summary in a ``summary.json`` of any version. Raises ``RunError`` for anything else."""
    if "version" not in content:
        first = "hyperparameters" not in content
        content = _without_version(content)
        content.pop("last_epoch", None)
        if first:  # of the study ``pilot``: the last epoch, on test images that were watched
            content |= {
                "part": "test",
                "without_leaks": None,
                "tuned": None,
                "kept": {"rule": "last", "epoch": content.get("epochs")},
                "validation": None,
                "hyperparameters": None,
                "provenance": _with(content.get("provenance"), peak_memory_bytes=None, pieces=[]),
            }
    return _checked(RunSummary, _current(content), path)


def read_model_summary(content: dict[str, Any], path: Path) -> ModelSummary:
    """The summary of an exported model of any version. Raises ``RunError`` for anything else."""
    if "version" not in content:
        kept = {"rule": "last", "epoch": content.get("epochs")}
        provenance = _with(content.get("provenance"), peak_memory_bytes=None, pieces=[])
        content = {"kept": kept} | _without_version(content) | {"provenance": provenance}
    later: dict[str, Any] = {"calibration": None, "unfamiliar": None, "conversions": []}
    content = later | _current(content)
    return _checked(ModelSummary, content, path)


def _checked(kind: type[R], content: dict[str, Any], path: Path) -> R:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "all of it"
        raise RunError(
            f"{path} is no record that this version can read ({where}: {first['msg']}): "
            "use the version that wrote it, or train this run again"
        ) from None


def _without_version(content: dict[str, Any]) -> dict[str, Any]:
    """Version 2 has the arithmetic of SMOTE."""
    return content | {"version": 2, "data": _with(content.get("data"), arithmetic=None)}


def _current(content: dict[str, Any]) -> dict[str, Any]:
    """Version 3 has how torch computed, and what starting took."""
    if content.get("version") != 2:
        return content
    content = content | {"version": VERSION}
    if "provenance" in content:
        content["provenance"] = _with(content["provenance"], numerics=None, startup_seconds=None)
    return content


def _with(values: Any, **missing: Any) -> Any:
    """``values`` with what they lack; what is no dictionary is left to the validation."""
    return missing | values if isinstance(values, dict) else values
