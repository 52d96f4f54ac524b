"""Accuracy of teacher, student and HDKD by block and stem stride (Tables 6 and 7)."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from hdkd.report.figures import COLOURS, FigureSpec
from hdkd.study import plan
from hdkd.study.names import BLOCK_NAMES, ROLE_NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hdkd.report.drawing import FigureData


@partial(
    FigureSpec,
    section="ablations",
    when=plan.variant_runs,
    needs=lambda data: not data.variants.empty,
)
def draw(data: FigureData, fig: Figure) -> None:
    """A group of bars for each block and stride, in it one for each role."""
    variants = list(data.variants.groupby(["block", "stem_stride"], sort=False).groups)
    fig.set_size_inches(6.4, 3.8)
    axes = fig.subplots()
    means = 100 * data.variants.set_index(["role", "block", "stem_stride"])["accuracy"]
    for offset, role in enumerate(ROLE_NAMES):
        heights = [means.get((role, *variant), math.nan) for variant in variants]
        places = [k + 0.27 * (offset - 1) for k in range(len(variants))]
        bars = axes.bar(places, heights, 0.25, color=COLOURS[role], label=ROLE_NAMES[role])
        axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=2)
    names = [f"{BLOCK_NAMES[block]}, stride {stride}" for block, stride in variants]
    axes.set_xticks(range(len(variants)), names)
    axes.set_ylabel("Test accuracy (%)")
    axes.set_ylim(0, 112)
    axes.set_yticks(range(0, 101, 20))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.legend(ncols=3, loc="upper center", fontsize=9)
    subset = data.settings.parameters.ablations.subset
    images = "all images" if subset == "all" else f"students on {subset} images"
    axes.set_title(f"{data.title}: block and stem stride, {images}", fontsize=11)
