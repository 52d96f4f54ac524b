"""What a method reads of a network beside logits.

No list says it: the method is built and asked once for small networks of this project, of which
every part that it reads is noted. So a new method needs no entry anywhere.
"""

import functools
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from hdkd.api.settings import choose
from hdkd.config import methods
from hdkd.distillation.method import Seen, build_method
from hdkd.errors import ParameterError
from hdkd.models import ImageModel, Output, build

Parts = frozenset[str]
LOGITS = "logits"
PARTS = ("features", "layers", "patches")  # of an Output, beside logits
CLASSES = 4
IMAGES = {"num_classes": CLASSES, "image_size": 16, "in_channels": 1}
STAGES = {"channels": (8, 8, 8), "depths": (1, 1, 1)}
TOKENS = {"layers": 1, "embed_dim": 8, "heads": 2}
SIZES: dict[str, dict[str, Any]] = {
    "teacher": STAGES,
    "hybrid": STAGES | TOKENS | {"patch_size": 1, "head_dim": 4},
    "vit": TOKENS | {"patch_pixels": 8},
}


class Needs(NamedTuple):
    """Parts that a method reads of the student and of the teacher, for a student of one kind.

    They are ``features``, ``layers`` and ``patches`` of the ``Output``, and ``classify``, the
    method of the network.
    """

    student: Parts
    teacher: Parts


class Noted:
    """What a network gave; notes which of its parts are read and not empty, and the logits."""

    def __init__(self, output: Output, read: set[str]) -> None:
        self._output, self._read = output, read

    def __getattr__(self, name: str) -> Any:
        if name == LOGITS or name in given(self._output):
            self._read.add(name)
        return getattr(self._output, name)

    def _replace(self, **changes: Any) -> "Noted":
        return Noted(self._output._replace(**changes), self._read)


class NotedNetwork(ImageModel):
    """A network; notes whether it is asked to classify, and what is read of what it gives."""

    def __init__(self, network: ImageModel) -> None:
        super().__init__()
        self.network = network
        self.read: set[str] = set()

    def forward(self, images: Tensor) -> Output:
        """What the network gives, noted."""
        return cast(Output, Noted(self.network(images), self.read))

    def classify(self, vectors: Tensor) -> Tensor:
        """What the network makes of vectors ``(…, dim)``, noted."""
        self.read.add("classify")
        return self.network.classify(vectors)


def needs(name: str, student: str = "hybrid") -> Needs:
    """What the method of the file ``name`` reads, where it teaches a ``hybrid`` or a ``vit``."""
    return Needs(*(each - {LOGITS} for each in _read(name, student)))


def of_features() -> list[str]:
    """The methods that ask a teacher, but not for what it says of the classes."""
    return [
        name
        for name, about in methods().items()
        if about.taught
        and not any(_read(name, kind).teacher & {LOGITS, "classify"} for kind in about.networks)
    ]


@functools.cache
def _read(name: str, student: str) -> Needs:
    images, labels = torch.zeros(2, 1, 16, 16), torch.arange(2)
    with torch.random.fork_rng(devices=[]):
        taught, teacher = (
            NotedNetwork(build(kind, **IMAGES, **SIZES[kind]).eval())
            for kind in (student, "teacher")
        )
        method = build_method(name, taught, teacher, (1, 16, 16), choose({}, False).distillation)
        with torch.no_grad():
            seen = (Seen(each, each(images)) for each in (taught, teacher))
            method(*seen, labels, torch.zeros(()))
    return Needs(Parts(taught.read), Parts(teacher.read))


def check(name: str, student: Parts, teacher: Parts) -> None:
    """Whether two networks give what a method reads, as it does with some kind of student.

    Raises ``ParameterError`` with what is lacking where they do not.
    """
    wanted = [needs(name, kind) for kind in methods()[name].networks]
    lacks = [(each.student - student, each.teacher - teacher) for each in wanted]
    least = min(lacks, key=lambda pair: len(pair[0] | pair[1]))
    lacking = [
        f"of the {who} {', '.join(sorted(each))}"
        for who, each in zip(("student", "teacher"), least, strict=True)
        if each
    ]
    if lacking:
        raise ParameterError(
            f"{name} needs more than logits ({'; '.join(lacking)}): let the network give it, as "
            f"those of hdkd.models do, or take one of {', '.join(of_logits())}"
        )


def given(output: Output) -> Parts:
    """The parts of ``output`` beside logits that are not empty."""
    values = {name: getattr(output, name) for name in PARTS}
    return frozenset(name for name, v in values.items() if isinstance(v, Tensor) or v)


def of_logits() -> list[str]:
    """The methods that can teach any network by any other."""
    return [
        name
        for name, about in methods().items()
        if any(needs(name, kind) == Needs(Parts(), Parts()) for kind in about.networks)
    ]
