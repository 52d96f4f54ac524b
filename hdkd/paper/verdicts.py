"""Verdicts on a published gain, ordering or accuracy: is there an effect, of the size claimed.

================  ==================================================================================
``reproduced``    the effect is there in the direction claimed, and the published size is possible
``smaller``       the published size is above all that the interval holds
``larger``        the published size is below all that the interval holds; of a gain, which is there
``contradicted``  the effect is there in the other direction
``inconclusive``  none of these: too few seeds or images
``not run``       no such measurement at the paper's own scale yet
================  ==================================================================================
"""

import math
from dataclasses import dataclass

from hdkd.evaluation.statistics import LEVEL, Estimate

REPRODUCED, SMALLER, LARGER = "reproduced", "smaller", "larger"
CONTRADICTED, INCONCLUSIVE, NOT_RUN = "contradicted", "inconclusive", "not run"
VERDICTS = (REPRODUCED, SMALLER, LARGER, CONTRADICTED, INCONCLUSIVE, NOT_RUN)

FEWEST_SEEDS = 3  # with two, an interval over seeds is nine sample deviations wide either way
# Points of accuracy that an interval may reach either way and still say that a number is
# reproduced: most rows of Tables 5 to 7 are less than two points from each other.
WIDEST_REACH = 1.0


@dataclass(frozen=True)
class Verdict:
    """A verdict and the answers behind it.

    ``effect`` is ``yes``, ``no``, ``opposite`` or empty, ``size`` ``as published``, ``smaller``,
    ``larger`` or empty; ``need`` says what an inconclusive study lacks.
    """

    verdict: str
    effect: str = ""
    size: str = ""
    need: str = ""


TOO_FEW = Verdict(INCONCLUSIVE, need=f"at least {FEWEST_SEEDS} seeds")


def of_effect(
    found: Estimate, p_value: float, published: float | None, rounding: float, step: int = 1
) -> Verdict:
    """On a gain or ordering that is claimed to be positive.

    ``p_value`` is corrected for the table's other comparisons, in which it has counted ``step``
    times; ``published`` is the size in points, where one is claimed, and ``rounding`` what its
    printed digits may hide. A size is told by an interval that reaches at most half of it either
    way.
    """
    if found.seeds < FEWEST_SEEDS:
        return TOO_FEW
    effect = "no"
    if p_value < 1 - LEVEL:
        effect = "yes" if found.mean > 0 else "opposite"
    low, high = found.interval
    size = "" if published is None else _size((low, high), published, rounding)
    need = ""
    if effect == "opposite":
        verdict = CONTRADICTED
    elif size == SMALLER or (effect == "yes" and size == LARGER):
        verdict = size
    elif effect == "no":
        verdict = INCONCLUSIVE
        goal = found.mean if published is None else published
        need = found.needed(goal, (1 - LEVEL) / step) if goal > 0 else ""
    elif published is not None and high - low > published:
        verdict = INCONCLUSIVE
        need = f"an interval of at most ±{published / 2:.2g} points to tell the size"
    else:
        verdict = REPRODUCED
    return Verdict(verdict, effect, size, need)


def of_accuracy(found: Estimate, published: float, rounding: float, same_images: bool) -> Verdict:
    """On an accuracy in percent, which claims a size only.

    The published one is of a single run, so it is held against the interval of one more run
    (:func:`one_more_run`), tested on the ``same_images`` or on others.
    """
    if found.seeds < FEWEST_SEEDS:
        return TOO_FEW
    low, high = one_more_run(found, same_images)
    size = _size((low, high), published, rounding)
    if size != "as published":
        return Verdict(size, size=size)
    if (high - low) / 2 > WIDEST_REACH:
        need = f"seeds that differ less: one more may lie {(high - low) / 2:.2f} points off"
        return Verdict(INCONCLUSIVE, size=size, need=need)
    return Verdict(REPRODUCED, size=size)


def one_more_run(found: Estimate, same_images: bool) -> tuple[float, float]:
    """The 95 % interval of one more run's accuracy; NaN for a single seed.

    The error from test images counts only where that run is not tested on the ``same_images``.
    """
    from scipy.stats import t

    between = found.seed_error * math.sqrt(found.seeds + 1)
    error = between if same_images else math.hypot(between, found.image_error * math.sqrt(2))
    reach = float(t.ppf((1 + LEVEL) / 2, found.seeds - 1)) * error
    return found.mean - reach, found.mean + reach


def _size(interval: tuple[float, float], published: float, rounding: float) -> str:
    low, high = interval
    if published - rounding > high:
        return SMALLER
    return LARGER if published + rounding < low else "as published"
