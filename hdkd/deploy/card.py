"""The model card, and the terms of the weights.

The card's sections follow Mitchell et al., "Model Cards for Model Reporting" (2019). It is a
template of this project: huggingface_hub's ``ModelCard`` would be a client of a hub for the sake of
one Markdown file.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hdkd import templates
from hdkd.config import methods
from hdkd.evaluation.metrics import interval
from hdkd.models import StudentSizes, TeacherSizes
from hdkd.runs.records import LicensedData, ModelSummary, RunParams
from hdkd.study.key import RunKey
from hdkd.study.names import BASELINES, model_name

TERMS = "LICENSE"  # of the weights, which follow those of the images
# By the licence of the images; ``None`` where none is stated.
TERMS_BY_LICENCE = {
    None: "No licence is stated for these images, so none is given for the weights: ask whoever "
    "holds the\nrights in the images.",
    "CC0": "The images are in the public domain (CC0 1.0). The weights are licensed under the "
    "Apache License,\nVersion 2.0: https://www.apache.org/licenses/LICENSE-2.0",
    "CC BY-NC 4.0": "The images are licensed under Creative Commons Attribution-NonCommercial 4.0 "
    "International, and so\nare the weights: "
    "https://creativecommons.org/licenses/by-nc/4.0/legalcode\n"
    "They may be used and shared with attribution, and not for commercial purposes.",
}


# The hybrid that other methods teach is the paper's HDKD, taught otherwise.
PAPERS_SIZES = {
    "teacher": TeacherSizes,
    "student": StudentSizes,
    "hdkd": StudentSizes,
    "hybrid": StudentSizes,
}


def card(summary: ModelSummary, params: RunParams) -> str:
    """The model card, Markdown, from the ``summary`` and ``params`` of an exported model."""
    matrix = summary.final.confusion_matrix
    sizes = dict(zip(params.classes, map(sum, matrix), strict=True))
    return templates.render(
        Path(__file__).with_name("model_card.md"),
        **summary.content(),
        share_interval=share_interval,
        weights_licence=licence(summary.data.licence),
        params=params,
        classes=params.classes,
        network=model_name(summary.run.role),
        scale=scale(summary.run.role, params.model),
        taught=taught(summary.run),
        rows=list(zip(params.classes, matrix, sizes.values(), strict=True)),
        largest=max(sizes, key=sizes.__getitem__),
        sizes=sizes,
    )


def taught(run: RunKey) -> str:
    """How a run was taught and by whom; empty for one that no teacher taught."""
    if not run.is_taught:
        return ""
    by = f" by {methods()[run.method].title}" if run.method and run.method != "hdkd" else ""
    seen = "the same images only"
    if run.point != "subset_teacher":
        seen = "all training images of the collection"
    return f"distilled{by} from a teacher that was trained on {seen}"


def scale(role: str, sizes: dict[str, Any]) -> str:
    """What sets a network outside the profile ``paper`` apart from the paper's."""
    if role in BASELINES:
        return "a baseline of the paper on smaller images"
    if role not in PAPERS_SIZES:
        return "a network that the paper lacks"
    if is_the_papers(role, sizes):
        return "the paper's network on smaller images"
    return "smaller networks and images than the paper's"


def is_the_papers(role: str, sizes: dict[str, Any]) -> bool:
    """Whether a network is the paper's own, with whichever block and stride."""
    own = asdict(PAPERS_SIZES[role]())
    compared = own.keys() - {"block", "stem_stride", "channels", "depths"}
    lists = all(tuple(sizes[name]) == own[name] for name in ("channels", "depths"))
    return lists and all(sizes[name] == own[name] for name in compared)


def described(summary: ModelSummary, params: RunParams) -> dict[str, str]:
    """What a file of another format says of itself: what its user needs, and the card."""
    calibration = summary.calibration
    return {
        "title": f"{model_name(summary.run.role)} for {summary.data.title}",
        "classes": json.dumps(params.classes, ensure_ascii=False),
        "size": str(params.images["size"]),
        "colour": params.images["colour"],
        "temperature": str(calibration.temperature) if calibration else "not calibrated",
        "licence": licence(summary.data.licence) or "none is stated",
        "card": card(summary, params),
    }


def licence(images: str | None) -> str | None:
    """The licence of weights trained on ``images`` of a licence; ``None`` where none is known."""
    return "Apache-2.0" if images == "CC0" else images


def terms(data: LicensedData) -> str:
    """What may be done with weights that were trained on ``data``, for the file beside them."""
    images = data.licence
    about = f"The weights in this folder were trained on {data.title} ({data.source})."
    other = f"The images have the licence {images}; the same terms hold for the weights."
    return f"{about}\n{TERMS_BY_LICENCE.get(images, other)}\nNot for clinical use.\n"


def share_interval(right: float, images: int) -> str:
    """``83.01 to 86.94 %``: the 95 % interval where a share ``right`` of ``images`` is right."""
    low, high = interval(round(right * images), images)
    return f"{100 * low:.2f} to {100 * high:.2f} %"
