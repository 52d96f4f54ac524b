"""What a model says of an image, and what it takes to judge that."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from markdown_it import MarkdownIt
from PIL import Image
from pydantic import BaseModel, Field

from hdkd.deploy.card import TERMS, licence
from hdkd.deploy.network import Network
from hdkd.deploy.predict import CARD, Classifier
from hdkd.deploy.web.uploads import LIMIT, decoded
from hdkd.evaluation.metrics import interval
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import RunParams
from hdkd.study.names import model_name

WARNING = "Not for clinical use. A research model."
HEADINGS_BELOW = 2  # the page's own


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


class Share(BaseModel):
    """A share in [0, 1] of so many images, with its interval at 95 %."""

    share: float
    interval: tuple[float, float]
    images: int


class Description(BaseModel):
    """What to know of the model and of what it takes.

    ``accuracy`` is on the test images, ``accuracy_without_copies`` on those of which no copy was
    trained on, where others were. ``unlike_alarms`` is the share of test images that are wrongly
    called unlike the training images. Of a run folder, which no export has measured, there are none
    of these.
    """

    name: str
    title: str
    classes: list[str]
    size: int
    colour: str
    bytes_limit: int = LIMIT
    calibrated: bool = False
    accuracy: Share | None = None
    accuracy_without_copies: Share | None = None
    unlike_alarms: Share | None = None
    licence: str | None = None
    warning: str = WARNING


@dataclass(frozen=True)
class Served:
    """A model that answers, with its description, its card (HTML) and the terms of its weights.

    All of it is as it was when the model was loaded.
    """

    classifier: Classifier
    network: Network
    description: Description
    card: str | None
    terms: str | None

    @classmethod
    def load(cls, folder: Path) -> "Served":
        """From a run folder or an exported model. Raises ``RunError`` where it is no whole one."""
        classifier, run = Classifier.load(folder), RunFolder(folder)
        network = Network(classifier.model, classifier.temperature)
        description = _described(folder.name, classifier, run.params)
        if not (folder / CARD).exists():
            return cls(classifier, network, description, None, None)
        card, terms = (run.read(name).decode() for name in (CARD, TERMS))
        measured = description.model_copy(update=_measured(run))
        return cls(classifier, network, measured, _html(card), terms)

    @torch.inference_mode()
    def answer(self, content: bytes, details: bool) -> Answer:
        """Of an image file. Raises ``DataError`` for what is not one that can be judged."""
        pixels = decoded(content, self.classifier.images)
        batch = torch.from_numpy(pixels[None].copy()).contiguous(memory_format=torch.channels_last)
        _, probabilities, stage = self.network.infer(batch)
        unlike = None
        if (familiarity := self.classifier.familiarity) and stage is not None:
            (unlike,) = familiarity.is_unlike(stage.mean(dim=(2, 3)).numpy()).tolist()
        (row,) = probabilities.tolist()
        names = self.classifier.classes
        return Answer(
            label=names[int(np.argmax(row))],
            probabilities={n: round(p, 6) for n, p in zip(names, row, strict=True)},
            unlike_training=unlike,
            details=_details(pixels, stage) if details else None,
        )


def _described(name: str, classifier: Classifier, params: RunParams) -> Description:
    title = f"{model_name(params.run.role)} for {params.data.title}"
    return Description(
        name=name,
        title=f"{title} (generated images)" if params.data.synthetic else title,
        classes=classifier.classes,
        size=classifier.images.size,
        colour=classifier.images.colour,
    )


def _measured(run: RunFolder) -> dict[str, object]:
    """What the export of a model has measured of it, as fields of :class:`Description`."""
    summary = run.exported
    measured: dict[str, object] = {
        "calibrated": summary.calibration is not None,
        "accuracy": _share(summary.final.accuracy, summary.test_images),
        "licence": licence(summary.data.licence),
    }
    if summary.leaked.images and (new := summary.without_leaks):
        measured["accuracy_without_copies"] = _share(new.accuracy, new.images)
    if summary.unfamiliar:
        alarms = summary.unfamiliar.test
        measured["unlike_alarms"] = _share(alarms.alarms / alarms.images, alarms.images)
    return measured


def _share(share: float, images: int) -> Share:
    return Share(share=share, interval=interval(round(share * images), images), images=images)


def _html(card: str) -> str:
    """A card below the page's own headings; HTML in it stays text."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(card)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + HEADINGS_BELOW, 6)}"
    return reader.renderer.render(tokens, reader.options, {})


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
