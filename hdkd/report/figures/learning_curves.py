"""Accuracy on the watched images after each epoch, over seeds, one panel per subset."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hdkd.report.figures import COLOURS, FigureSpec
from hdkd.study.names import ROLE_NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hdkd.report.drawing import FigureData

COLUMNS = 6  # subsets beside each other


@partial(FigureSpec, section="sweep", wide=True, of_folders=True, needs=lambda data: data.has_pairs)
def draw(data: FigureData, fig: Figure) -> None:
    """A line for each role in each panel, and a band from the lowest to the highest seed."""
    import pandas as pd

    watched = "test"
    columns = min(len(data.gains), COLUMNS)
    rows = -(-len(data.gains) // COLUMNS)
    fig.set_size_inches(max(3.1 * columns, 5.4), 3.2 * rows)
    grid = fig.subplots(rows, columns, sharey=True, squeeze=False)
    panels = [*grid.flat][: len(data.gains)]
    for axes in [*grid.flat][len(data.gains) :]:
        axes.set_axis_off()
    for axes, gain in zip(panels, data.gains.itertuples(), strict=True):
        for role in ("student", "hdkd"):
            curves = [data.metrics(run) for run in data.students(role, gain.subset)["run"]]
            if "validation_accuracy" in curves[0]:
                watched = "validation"
            table = pd.concat([curve[f"{watched}_accuracy"] for curve in curves], axis=1).dropna()
            table *= 100
            epochs = table.index
            axes.plot(epochs, table.mean(axis=1), color=COLOURS[role], label=ROLE_NAMES[role])
            axes.fill_between(
                epochs, table.min(axis=1), table.max(axis=1), color=COLOURS[role], alpha=0.2, lw=0
            )
        axes.set_title(f"{gain.training_images} images", fontsize=10)
        axes.set_xlabel("Epoch")
        axes.grid(axis="y")
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{watched.capitalize()} accuracy (%)")
    panels[-1].legend(loc="lower right")
    fig.suptitle(f"{data.title}: learning curves, mean and range over seeds", fontsize=11)
