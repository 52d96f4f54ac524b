"""Accuracy against subset size with and without distillation (Figures 3 and 4)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hdkd.report.figures import COLOURS, FigureSpec
from hdkd.study.names import ROLE_NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hdkd.report.drawing import FigureData

MOST_DOTS = 1000  # that are drawn one by one: more are a picture, which takes less space


@partial(FigureSpec, section="headline", needs=lambda data: data.has_pairs)
def draw(data: FigureData, fig: Figure) -> None:
    """Each seed a dot, mean and deviation a line for each role, the teacher a dashed line."""
    fig.set_size_inches(6.4, 4.2)
    axes = fig.subplots()
    cells = data.cells
    students = cells[cells["group"] == "students"].sort_values("training_images")
    for role, marker in (("student", "s"), ("hdkd", "o")):
        line = students[students["role"] == role]
        seeds = data.table[(data.table["group"] == "students") & (data.table["role"] == role)]
        axes.scatter(
            seeds["training_images"], 100 * seeds["accuracy"], s=12, alpha=0.5,
            color=COLOURS[role], linewidths=0, rasterized=len(seeds) > MOST_DOTS,
        )  # fmt: skip
        axes.errorbar(
            line["training_images"], 100 * line["accuracy"], 100 * line["accuracy_sd"].fillna(0),
            marker=marker, color=COLOURS[role], label=ROLE_NAMES[role], capsize=3,
        )  # fmt: skip
    for teacher in cells[cells["group"] == "teacher"].itertuples():
        axes.axhline(
            100 * teacher.accuracy, color=COLOURS["teacher"], linestyle="--",
            label=f"Teacher, all {teacher.training_images} images",
        )  # fmt: skip
    axes.set_xscale("log")
    ticks = sorted(students["training_images"].unique())
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("Training images of the student")
    axes.set_ylabel("Test accuracy (%)")
    axes.set_title(f"{data.title}: accuracy by training set size")
    axes.grid(axis="y")
    axes.legend()
