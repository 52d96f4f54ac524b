"""Predictions for new images, prepared as the run's training images were."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from hdkd.config import Images
from hdkd.data.prepare import decode, too_dark
from hdkd.deploy.familiarity import Familiarity
from hdkd.deploy.network import Network
from hdkd.errors import DataError, RunError
from hdkd.models import ImageModel
from hdkd.runs.folder import RunFolder
from hdkd.study.code import PACKAGE
from hdkd.study.names import model_name

# Models that come with the project: in an installed package inside it, in a checkout beside it.
PRETRAINED = next(
    (p for p in (PACKAGE / "pretrained", PACKAGE.parent / "pretrained") if p.is_dir()),
    Path("pretrained"),
)
CARD = "README.md"  # of an exported model
File = str | Path | BinaryIO


def find(model: str) -> Path:
    """A run folder by its path, or a model that comes with the project by its name.

    Raises ``RunError`` that lists the names where it is neither.
    """
    for folder in (Path(model), Path("pretrained") / model, PRETRAINED / model):
        if (folder / "params.json").exists():
            return folder
    names = ", ".join(sorted(path.parent.name for path in PRETRAINED.glob("*/params.json")))
    raise RunError(
        f"{model} is neither a run folder nor a model that comes with the project "
        f"({names or 'none'}): name one with --model"
    )


def notice_of(folder: Path) -> str:
    """What to know before relying on an exported model, in a sentence; empty for a run folder."""
    if not (folder / CARD).exists():
        return ""
    run = RunFolder(folder)
    summary, size = run.exported, run.params.images["size"]
    low, high = (f"{100 * share:.1f}" for share in summary.interval)
    calibrated = "not calibrated"
    if summary.calibration:
        calibrated = f"calibrated on {summary.calibration.images} validation images"
    return (
        f"{folder.name}: {model_name(summary.run.role)} for {summary.data.title}, {size}×{size} "
        f"pixels, right for {100 * summary.final.accuracy:.1f} % of its test images ({low} to "
        f"{high} %); probabilities {calibrated}; not for clinical use. More in "
        f"{os.path.relpath(folder / CARD)}"
    )


def as_list(files: File | Iterable[File]) -> list[File]:
    """``files``, of which there may be a single one; an open file is one, too."""
    if isinstance(files, str | Path) or hasattr(files, "read"):
        return [cast(File, files)]
    return list(files)


class Judged(NamedTuple):
    """Of ``n`` files: probabilities ``(n, classes)``, and which are unlike the training images.

    ``unlike`` ``(n,)`` is ``None`` for a model whose export did not measure that.
    """

    probabilities: np.ndarray
    unlike: np.ndarray | None


@dataclass(frozen=True)
class Classifier:
    """A trained network with its classes, the preparation of its images, and its temperature.

    Probabilities are the softmax of the logits over the ``temperature``; ``familiarity`` is what
    the training images look like, where an export has measured it.
    """

    model: ImageModel
    classes: list[str]
    images: Images
    temperature: float = 1.0
    familiarity: Familiarity | None = None

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """From a run folder or an exported model, whose temperature and features it takes, too.

        Raises ``RunError`` when it is neither, or not finished, or a file of it is missing or
        damaged.
        """
        run = RunFolder(folder)
        params = run.params
        classifier = cls(run.load_model(), params.classes, Images(**params.images))
        if not (folder / CARD).exists():
            return classifier
        calibration, unfamiliar = run.exported.calibration, run.exported.unfamiliar
        return replace(
            classifier,
            temperature=calibration.temperature if calibration else 1.0,
            familiarity=Familiarity.load(folder, unfamiliar.threshold) if unfamiliar else None,
        )

    def probabilities(self, files: File | Iterable[File]) -> np.ndarray:
        """``(n, classes)`` for one image file or several.

        ``DataError`` names all that are no images.
        """
        files = as_list(files)
        return self.judge(files).probabilities if files else np.empty((0, len(self.classes)))

    def judge(self, files: File | Iterable[File]) -> Judged:
        """Of an image file, or 1 or more; ``DataError`` names all that are no images."""
        decoded, unreadable = [], []
        for position, file in enumerate(as_list(files), start=1):
            where = str(file) if isinstance(file, str | Path) else f"image {position}"
            try:
                path = Path(file) if isinstance(file, str) else file
                decoded.append((where, decode(path, self.images)))
            except DataError as error:
                unreadable.append(f"{where}: {error}")
        # All of them together, as `prepare` does: of a series one image may be dark.
        if reason := too_dark(max((image.brightest for _, image in decoded), default=0)):
            unreadable += [f"{where}: {reason}" for where, image in decoded if image.brightest]
        if unreadable:
            raise DataError(f"not usable: {', '.join(unreadable)}")
        network = Network(self.model, self.temperature)
        answers = network.answers(np.stack([image.pixels for _, image in decoded]))
        unlike = None
        if self.familiarity and answers.vectors is not None:
            unlike = self.familiarity.is_unlike(answers.vectors)
        return Judged(answers.probabilities.astype(np.float64), unlike)
