"""How numbers look in tables and sentences; a dash is where there is none."""

import math
from collections.abc import Callable
from typing import Any

DASH = "–"


def text(value: Any) -> str:
    """As it is; a dash where it is empty."""
    return str(value) or DASH


def decimals(digits: int, unit: float = 1.0) -> Callable[[float], str]:
    """A format of so many digits behind the point, of a value divided by ``unit``."""
    return lambda value: DASH if math.isnan(value) else f"{value / unit:.{digits}f}"


def thousands(value: int) -> str:
    """``5,712``."""
    return f"{value:,}"


def percent(mean: float, spread: float = math.nan) -> str:
    """``84.31 ± 1.20`` from values in [0, 1]; no spread for a single seed."""
    if math.isnan(mean):
        return DASH
    shown = f"{100 * mean:.2f}"
    return shown if math.isnan(spread) else f"{shown} ± {100 * spread:.2f}"


def ranged(mean: float, low: float, high: float, spread: float) -> str:
    """``84.31 (81.2–87.4)`` from values in [0, 1]; without an interval, as :func:`percent`."""
    if math.isnan(low):
        return percent(mean, spread)
    return f"{100 * mean:.2f} ({100 * low:.1f}–{100 * high:.1f})"


def signed(mean: float, spread: float = math.nan) -> str:
    """``+8.35 ± 2.00`` from values in points; no spread for a single seed."""
    if math.isnan(mean):
        return DASH
    return f"{mean:+.2f}" + ("" if math.isnan(spread) else f" ± {spread:.2f}")


def between(low: float, high: float) -> str:
    """``+4.41 to +11.77`` from values in points; a dash for a single seed, which has none."""
    return DASH if math.isnan(low) else f"{low:+.2f} to {high:+.2f}"


def p_value(value: float) -> str:
    """``0.013``, near 0.05 with a digit more; a dash for a single seed, which has none."""
    if math.isnan(value):
        return DASH
    shown = f"{value:.2g}"
    return f"{value:.3g}" if shown == "0.05" else shown


def estimated(digits: int) -> Callable[[float, bool], str]:
    """A format of so many digits, with ``≈`` in front of an estimate."""
    return lambda value, guessed: (
        DASH if math.isnan(value) else f"{'≈ ' if guessed else ''}{value:.{digits}f}"
    )


def settings(changes: dict[str, Any]) -> str:
    """``lr 0.001, weight_decay 0.05``."""
    return ", ".join(f"{name} {value}" for name, value in changes.items())


def parameter(value: Any) -> str:
    """A parameter as a table shows it: ``4, 3, 2``, or ``rotation 180, blur none``."""
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {parameter(v)}" for name, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(parameter, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def span(hours: float) -> str:
    """``6.1 hours``, or minutes where that is less than one."""
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
