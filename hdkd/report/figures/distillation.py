"""Accuracy of HDKD with one part of its distillation changed: seeds, mean and deviation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hdkd.report.figures import COLOURS, FigureSpec
from hdkd.study import plan
from hdkd.study.names import ROLE_NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hdkd.report.drawing import FigureData


@partial(
    FigureSpec,
    section="distillation",
    when=plan.point_runs,
    needs=lambda data: not data.points.empty,
)
def draw(data: FigureData, fig: Figure) -> None:
    """A row for each change; the student alone and HDKD are dashed lines through all."""
    points = data.points
    names = list(dict.fromkeys(points["name"]))
    fig.set_size_inches(6.8, 0.42 * len(names) + 1.3)
    axes = fig.subplots()
    for place, name in enumerate(reversed(names)):
        runs = points[points["name"] == name]
        colour = COLOURS["student"] if name == ROLE_NAMES["student"] else COLOURS["hdkd"]
        accuracy = 100 * runs["accuracy"]
        axes.scatter(accuracy, [place] * len(runs), s=14, color=colour, alpha=0.5, linewidths=0)
        spread = accuracy.std() if len(runs) > 1 else 0
        axes.errorbar(
            accuracy.mean(), place, xerr=spread, color=colour, marker="D", ms=5, capsize=3
        )
        if name in (ROLE_NAMES["student"], ROLE_NAMES["hdkd"]):
            axes.axvline(accuracy.mean(), color=colour, linestyle="--", linewidth=1, zorder=0)
    labels = [
        name if name in ROLE_NAMES.values() else f"{name} ({change})"
        for name, change in points.groupby("name", sort=False)["change"].first().items()
    ]
    axes.set_yticks(range(len(names)), labels[::-1])
    axes.set_xlabel("Test accuracy (%)")
    axes.grid(axis="x")
    subset = plan.point_runs(data.settings, data.dataset)[0].subset
    axes.set_title(f"{data.title}: distillation, part by part, {subset} images", fontsize=11)
