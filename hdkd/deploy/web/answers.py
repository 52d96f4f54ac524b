"""What a model says of an image, and what it takes to judge that."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pydantic import BaseModel, Field

from hdkd.deploy.card import licence
from hdkd.deploy.familiarity import Familiarity
from hdkd.deploy.network import Network
from hdkd.deploy.predict import CARD, Classifier
from hdkd.deploy.web.uploads import decoded
from hdkd.runs.folder import RunFolder
from hdkd.study.names import model_name


class Details(BaseModel):
    """What the network saw, and where it responded.

    ``seen`` is the prepared image as a PNG in a data URL. ``stage`` has the mean over channels of
    the last convolutional stage, a list of rows, from 0 (least in this image) to 1 (most); nothing
    for a network without stages.
    """

    seen: str
    stage: list[list[float]] | None


class Answer(BaseModel):
    """A class, the probability of each class, and whether the image is unlike the training images.

    ``unlike_training`` is nothing where the model's export did not measure that.
    """

    label: str = Field(serialization_alias="class")
    probabilities: dict[str, float]
    unlike_training: bool | None
    details: Details | None = None


class About(BaseModel):
    """What to know of the model: accuracies and shares are in [0, 1], intervals at 95 %.

    ``unlike_alarms`` is the share of test images that are wrongly called unlike the training
    images. Of a run folder, which no export has measured, there is its name only.
    """

    name: str
    title: str
    classes: list[str]
    size: int
    colour: str
    calibrated: bool
    accuracy: float | None = None
    accuracy_interval: tuple[float, float] | None = None
    unlike_alarms: float | None = None
    licence: str | None = None
    warning: str = "Not for clinical use. A research model, tested on one public collection."


@dataclass(frozen=True)
class Served:
    """A model that answers: ``folder`` is a run folder or an exported model."""

    folder: Path
    classifier: Classifier
    network: Network
    familiarity: Familiarity | None

    @classmethod
    def load(cls, folder: Path) -> "Served":
        """Raises ``RunError`` when ``folder`` is no finished run and no exported model."""
        classifier, familiarity = Classifier.load(folder), None
        if (folder / CARD).exists() and (found := RunFolder(folder).exported.unfamiliar):
            familiarity = Familiarity.load(folder, found.threshold)
        network = Network(classifier.model, classifier.temperature)
        return cls(folder, classifier, network, familiarity)

    @property
    def about(self) -> About:
        """What the card says, in short."""
        run, images = RunFolder(self.folder), self.classifier.images
        data = run.params.data
        about = About(
            name=self.folder.name,
            title=f"{model_name(run.params.run.role)} for {data.title}"
            + (" (generated images)" if data.synthetic else ""),
            classes=self.classifier.classes,
            size=images.size,
            colour=images.colour,
            calibrated=False,
        )
        if not (self.folder / CARD).exists():
            return about
        summary = run.exported
        about.calibrated = summary.calibration is not None
        about.accuracy, about.accuracy_interval = summary.final.accuracy, summary.interval
        about.licence = licence(summary.data.licence)
        if summary.unfamiliar:
            about.unlike_alarms = summary.unfamiliar.alarms / summary.test_images
        return about

    @torch.inference_mode()
    def answer(self, content: bytes, details: bool) -> Answer:
        """Of an image file. Raises ``DataError`` for what is not one that can be judged."""
        pixels = decoded(content, self.classifier.images)
        batch = torch.from_numpy(pixels[None].copy()).contiguous(memory_format=torch.channels_last)
        looked = self.network.look(batch)
        (row,) = looked.probabilities.tolist()
        unlike = None
        if self.familiarity and looked.stage is not None:
            (distance,) = self.familiarity.distances(looked.stage.mean(dim=(2, 3)).numpy())
            unlike = bool(distance > self.familiarity.threshold)
        names = self.classifier.classes
        return Answer(
            label=names[int(np.argmax(row))],
            probabilities={n: round(p, 6) for n, p in zip(names, row, strict=True)},
            unlike_training=unlike,
            details=_details(pixels, looked.stage) if details else None,
        )


def _details(pixels: np.ndarray, stage: torch.Tensor | None) -> Details:
    content = io.BytesIO()
    shown = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    Image.fromarray(shown).save(content, "PNG")
    seen = "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
    return Details(seen=seen, stage=None if stage is None else _scaled(stage[0].mean(dim=0)))


def _scaled(heat: torch.Tensor) -> list[list[float]]:
    """``(side, side)`` from 0 to 1, to three digits; all 0 where all are equal."""
    low, high = heat.min(), heat.max()
    rows = ((heat - low) / (high - low).clamp_min(torch.finfo(heat.dtype).tiny)).tolist()
    return [[round(value, 3) for value in row] for row in rows]
