"""What the files of ``hdkd/distillation`` say of the methods in them, without importing torch."""

import functools
from dataclasses import dataclass
from pathlib import Path

from hdkd.files import literal

# Methods of the paper's section 2 that have no file, and why.
LEFT_OUT = {
    "CiT (Co-advise, Ren et al., 2022)": "It differs from DeiT by a second teacher of another "
    "kind, with involutions; to train that one well takes as long as the first, on every dataset.",
    "Cross-architecture distillation (Liu et al., 2022)": "It teaches a convolutional network by a "
    "transformer's queries, keys and values, which a convolutional teacher does not have.",
}
FOLDER = Path(__file__).parents[1] / "distillation"


@dataclass(frozen=True, kw_only=True)
class About:
    """A method, as ``ABOUT`` in its file describes it.

    ``origin`` is two or three sentences on where it comes from, ``source`` the code that was read,
    ``licence`` that code's. ``published`` are the published weights, ``logits`` how the logit term
    is normalised, ``networks`` the students that it can teach, ``predicting`` the heads that
    predict (``ImageModel``), ``taught`` whether it asks a teacher, ``fewest_classes`` for how
    many its loss has a meaning.
    """

    title: str
    origin: str
    source: str
    licence: str
    published: str
    logits: str
    networks: tuple[str, ...]
    predicting: str
    taught: bool
    fewest_classes: int = 2


@functools.cache
def methods() -> dict[str, About]:
    """Every method by the name of its file, the student alone and HDKD before the others."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        if values := literal(path, "ABOUT"):
            found[path.stem] = About(**values | {"networks": tuple(values["networks"])})
    return {name: found[name] for name in dict.fromkeys(("alone", "hdkd", *found))}
