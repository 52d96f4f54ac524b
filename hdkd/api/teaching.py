"""A method for two networks of anyone's: made, with what does not fit said in a sentence."""

import torch
from torch import Tensor

from hdkd.api import needs
from hdkd.api.networks import Adapted, given_for
from hdkd.api.settings import Chosen
from hdkd.config import About, methods
from hdkd.distillation.hdkd import HDKD
from hdkd.distillation.method import Method, Pair, Seen, Teaching, build_method
from hdkd.errors import ParameterError
from hdkd.models import Output
from hdkd.models.student import Student

METHOD_SEED = 3_000_017  # what a run adds to its seed (training/job.py)


def teaching_of(
    method: str | type[Method],
    teacher: Adapted | None,
    student: Adapted,
    images: Tensor,
    settings: Chosen,
    seed: int,
) -> Teaching:
    """How ``teacher`` teaches ``student``, on the device of both and of ``images``.

    ``images`` ``(batch, channels, height, width)`` are some to see what the networks give.
    ``method`` is a name or a class. Raises ``ParameterError`` where method and networks do not fit.
    """
    own = given_for(student, images[:2])
    taught = None if teacher is None else given_for(teacher, images[:2])
    other_classes = taught is not None and taught.logits.shape != own.logits.shape
    if taught is not None and other_classes and method not in needs.of_features():
        raise ParameterError(
            f"the student has {own.logits.shape[1]} classes and the teacher "
            f"{taught.logits.shape[1]}: give both the classes of the labels, or take a method that "
            f"reads features only: {', '.join(needs.of_features())}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + METHOD_SEED)
        if isinstance(method, str):
            made = _named(method, teacher, student, own, images, settings)
        elif isinstance(method, type) and issubclass(method, Method):
            made = method.of(Pair(own, taught, settings.distillation))
        else:
            raise ParameterError(
                f"method must be a name or a subclass of hdkd.distillation.method.Method, not "
                f"{method!r}"
            )
    # HDKD sets how fast statistics run in its own hybrid, here as they run anyway.
    if not isinstance(made, HDKD) or isinstance(student.network, Student):
        made.prepare(student.network)
    asks = not isinstance(method, str) or methods()[method].taught
    made, asked = made.to(images.device), teacher if asks else None
    if isinstance(method, str):
        seen = Seen(asked, taught) if asked is not None and taught is not None else None
        _check_shapes(method, made, Seen(student, own), seen)
    return Teaching(asked, made, settings.strength)


@torch.no_grad()
def _check_shapes(name: str, method: Method, student: Seen, teacher: Seen | None) -> None:
    """Raise ``ParameterError`` where a method cannot compare the maps or tokens of two networks."""
    logits = student.output.logits
    labels = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    try:
        method.eval()(student, teacher, labels, torch.zeros((), device=logits.device))
    except (RuntimeError, ValueError):
        there = f"the student gives {_shapes(student.output)}"
        if teacher is not None:
            there += f", the teacher {_shapes(teacher.output)}"
        raise ParameterError(
            f"{name} cannot compare what the networks give: {there} (of an image each)"
        ) from None
    method.train()


def _shapes(output: Output) -> str:
    """The shapes of the maps and tokens of an image, as in ``features 8×16×16 and 8×8×8``."""
    found = []
    for field in ("features", "layers", "patches"):
        value = getattr(output, field)
        tensors = [value] if isinstance(value, Tensor) else value or ()
        shapes = dict.fromkeys("×".join(map(str, each.shape[1:])) for each in tensors)
        if shapes:
            found.append(f"{field} {' and '.join(shapes)}")
    return ", ".join(found) or "logits only"


def _named(
    name: str,
    teacher: Adapted | None,
    student: Adapted,
    own: Output,
    images: Tensor,
    settings: Chosen,
) -> Method:
    """The method of the file ``name``; ``own`` is what the student gives."""
    if name not in methods():
        raise ParameterError(f"there is no method {name!r}: take one of {', '.join(methods())}")
    about = methods()[name]
    if about.taught:
        if teacher is None:
            raise ParameterError(f"{name} asks a teacher: pass one")
        needs.check(name, parts_of(student, own), parts_of(teacher, given_for(teacher, images[:1])))
    if own.logits.shape[1] < about.fewest_classes:
        raise ParameterError(
            f"{name} says nothing of {own.logits.shape[1]} classes: it needs {about.fewest_classes}"
        )
    _check_heads(name, about, student, own, settings)
    image = (images.shape[1], images.shape[2], images.shape[3])
    asked = teacher if about.taught else None
    return build_method(name, student, asked, image, settings.distillation)


def parts_of(network: Adapted, output: Output) -> needs.Parts:
    """What a ``network`` gives beside logits, as :class:`~hdkd.api.needs.Needs` names it."""
    return needs.given(output) | ({"classify"} if network.classifies else set())


def _check_heads(name: str, about: About, student: Adapted, own: Output, settings: Chosen) -> None:
    """Raise ``ParameterError`` where a head would predict that nothing trains."""
    heads = settings.distillation.heads if name == "hdkd" else about.predicting
    two = own.distillation_logits is not own.logits
    predicting = getattr(student.network, "predicting", student.predicting)
    if two and heads in ("class", "distillation") and predicting != heads:
        raise ParameterError(
            f"{name} with these settings trains one head of the student, which predicts with "
            f"{predicting}: build it with predicting={heads!r}"
        )
