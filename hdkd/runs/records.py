"""What a run folder records, with types: parameters, summary, provenance.

Records carry a ``version``; any other than today's is an error that says so.
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
    ``numerics`` is ``None`` in early summaries of the study ``reduced``.
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
    first epochs took longer than later ones; it is ``None`` in those summaries, too.
    """

    duration_seconds: float
    startup_seconds: float | None
    peak_memory_bytes: int
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

    def is_same(self, other: "Data") -> bool:
        """Whether both have the same images, whatever they are called."""
        return (self.content_hash, self.training_digest, self.arithmetic) == (
            other.content_hash, other.training_digest, other.arithmetic
        )  # fmt: skip


class LicensedData(Data):
    """The images behind an exported model: under which licence, from where."""

    licence: str | None
    source: str


class WatchedPart(Record):
    """What was evaluated between epochs: the part, and how many images it has."""

    part: Part
    images: int


class RunParams(Record):
    """``params.json``: what was trained on what."""

    version: Literal[3] = VERSION
    run: RunKey
    classes: list[str]
    images: dict[str, Any]
    model: dict[str, Any]
    training: dict[str, Any]
    augmentation: dict[str, Any]
    engine: dict[str, Any]
    distillation: dict[str, Any] | None
    teacher: str | None
    training_images: int
    synthetic_images: int
    watched: WatchedPart
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
    hyperparameters: dict[str, Any]
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
    than the run gave. Without ``calibration`` probabilities are the plain softmax of the logits.
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
    """The parameters in a ``params.json``. Raises ``RunError`` for anything else."""
    return _checked(RunParams, content, path)


def read_summary(content: dict[str, Any], path: Path) -> RunSummary:
    """The summary in a ``summary.json``. Raises ``RunError`` for anything else."""
    return _checked(RunSummary, content, path)


def read_model_summary(content: dict[str, Any], path: Path) -> ModelSummary:
    """The summary of an exported model. Raises ``RunError`` for anything else."""
    return _checked(ModelSummary, content, path)


def _checked(kind: type[R], content: dict[str, Any], path: Path) -> R:
    if content.get("version") != VERSION:
        raise RunError(
            f"{path} is a record of version {content.get('version', 0)}, and this version of hdkd "
            f"reads version {VERSION}: use the one that wrote it, or train this run again"
        )
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "all of it"
        raise RunError(
            f"{path} is no record that this version can read ({where}: {first['msg']}): "
            "use the version that wrote it, or train this run again"
        ) from None
