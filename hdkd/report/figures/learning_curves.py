"""Accuracy on the watched images after each epoch, over seeds, one panel per subset."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hdkd.report.figures import COLOURS, FigureSpec
from hdkd.study.names import ROLE_NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hdkd.report.drawing import FigureData


@partial(FigureSpec, section="sweep", wide=True, needs=lambda data: data.has_pairs)
def draw(data: FigureData, fig: Figure) -> None:
    """A line for each role in each panel, and a band from the lowest to the highest seed."""
    import pandas as pd

    from hdkd.runs.folder import RunFolder

    watched = "test"
    fig.set_size_inches(max(3.1 * len(data.gains), 5.4), 3.2)
    panels = fig.subplots(1, len(data.gains), sharey=True, squeeze=False)[0]
    for axes, gain in zip(panels, data.gains.itertuples(), strict=True):
        for role in ("student", "hdkd"):
            folders = data.students(role, gain.subset)["run"].map(Path)
            curves = [RunFolder(folder).metrics.set_index("epoch") for folder in folders]
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
    panels[0].set_ylabel(f"{watched.capitalize()} accuracy (%)")
    panels[-1].legend(loc="lower right")
    fig.suptitle(f"{data.title}: learning curves, mean and range over seeds", fontsize=11)
