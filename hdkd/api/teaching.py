"""A method for two networks of anyone's: made, with what does not fit said in a sentence."""

import torch
from torch import Tensor

from hdkd.api import needs
from hdkd.api.networks import Adapted, given_for
from hdkd.api.settings import Chosen
from hdkd.config import About, methods
from hdkd.distillation.hdkd import HDKD
from hdkd.distillation.method import Method, Pair, Seen, Teaching, build_method, in_mode
from hdkd.errors import ParameterError
from hdkd.models import ImageModel, Output
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
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + METHOD_SEED)
        if isinstance(method, str):
            heard = None if teacher is None or taught is None else Seen(teacher, taught)
            made = _named(method, Seen(student, own), heard, images, settings)
        elif isinstance(method, type) and issubclass(method, Method):
            made = method.of(Pair(own, taught, settings.distillation))
        else:
            raise ParameterError(
                f"method must be a name or a subclass of hdkd.distillation.method.Method, not "
                f"{method!r}"
            )
    made = made.to(images.device)
    # HDKD sets how fast statistics run in its own hybrid, here as they run anyway.
    if not isinstance(made, HDKD) or isinstance(student.network, Student):
        made.prepare(student.network)
    asks = not isinstance(method, str) or methods()[method].taught
    return Teaching(teacher if asks else None, made, settings.strength)


def _named(
    name: str, student: Seen, teacher: Seen | None, images: Tensor, settings: Chosen
) -> Method:
    """The method of the file ``name``, on the device of ``images``."""
    if name not in methods():
        raise ParameterError(f"there is no method {name!r}: take one of {', '.join(methods())}")
    about, own = methods()[name], student.output
    if not about.taught:
        teacher = None
    elif teacher is None:
        raise ParameterError(f"{name} asks a teacher: pass one")
    else:
        _check_classes(name, own, teacher.output)
        needs.check(name, parts_of(student), parts_of(teacher))
    if own.logits.shape[1] < about.fewest_classes:
        raise ParameterError(
            f"{name} says nothing of {own.logits.shape[1]} classes: it needs {about.fewest_classes}"
        )
    _check_heads(name, about, student, images, settings)
    image = (images.shape[1], images.shape[2], images.shape[3])
    try:
        asked = None if teacher is None else teacher.network
        method = build_method(name, student.network, asked, image, settings.distillation)
        _try(method.to(images.device), student, teacher)
    except (RuntimeError, ValueError, IndexError):
        there = f"the student gives {_shapes(own)}"
        if teacher is not None:
            there += f", the teacher {_shapes(teacher.output)}"
        raise ParameterError(
            f"{name} cannot compare what the networks give: {there} (of an image each)"
        ) from None
    return method


@torch.no_grad()
def _try(method: Method, student: Seen, teacher: Seen | None) -> None:
    """Compare what two networks give, once, which changes nothing of the ``method``."""
    logits = student.output.logits
    labels = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
    with in_mode(method, training=False):
        method(student, teacher, labels, torch.zeros((), device=logits.device))


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


def parts_of(seen: Seen) -> needs.Parts:
    """What a network gives beside logits, as :class:`~hdkd.api.needs.Needs` names it."""
    network = seen.network
    classifies = isinstance(network, Adapted) and network.classifies
    return needs.given(seen.output) | ({"classify"} if classifies else set())


def _check_classes(name: str, own: Output, taught: Output) -> None:
    """Raise ``ParameterError`` where what a teacher says of its classes is not of the student's."""
    if own.logits.shape != taught.logits.shape and name not in needs.of_features():
        raise ParameterError(
            f"the student has {own.logits.shape[1]} classes and the teacher "
            f"{taught.logits.shape[1]}: give both the classes of the labels, or take a method that "
            f"reads features only: {', '.join(needs.of_features())}"
        )


def _check_heads(name: str, about: About, student: Seen, images: Tensor, settings: Chosen) -> None:
    """Raise ``ParameterError`` where a head would predict that nothing trains."""
    heads = settings.distillation.heads if name == "hdkd" else about.predicting
    network, own = student.network, student.output
    if heads not in ("class", "distillation"):
        return
    two = own.distillation_logits is not own.logits
    if two and network.predicting != heads:
        raise ParameterError(
            f"{name} with these settings trains one head of the student, which predicts with "
            f"{network.predicting}: build it with predicting={heads!r}"
        )
    if not two and _has_second_in_training(network, images):
        raise ParameterError(
            f"{name} with these settings trains one head of the student, which has a second one in "
            f"training only and may predict with it: let it return both in evaluation, too, and "
            f"have predicting = {heads!r}"
        )


def _has_second_in_training(network: ImageModel, images: Tensor) -> bool:
    """Whether someone's own ``network`` has another head in training."""
    if not isinstance(network, Adapted) or isinstance(network.network, ImageModel):
        return False
    with torch.random.fork_rng([images.device] if images.is_cuda else []):  # of its dropout
        output = given_for(network, images[:2], training=True)
    return output.distillation_logits is not output.logits
