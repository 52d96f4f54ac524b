"""Synthetic images between the two images that each is made of."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hdkd.report.figures import FigureSpec, show_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hdkd.report.drawing import FigureData

SHOWN_CLASSES = 4


@partial(
    FigureSpec,
    section="data",
    when=lambda settings, dataset: settings.dataset(dataset).smote.enabled,
    needs=lambda data: data.has_images and data.has_recipes,
)
def draw(data: FigureData, fig: Figure) -> None:
    """A row for each class: an image, the synthetic one, the neighbour."""
    import numpy as np

    from hdkd.data.batches.imageset import blend

    arithmetic = data.settings.parameters.smote.arithmetic
    chosen = data.recipes.groupby("label").head(1).head(SHOWN_CLASSES)
    if chosen.empty:
        fig.text(0.5, 0.5, "No class falls short: SMOTE adds no image", ha="center")
        return
    fig.set_size_inches(5.6, 1.75 * len(chosen))
    grid = fig.subplots(len(chosen), 3, squeeze=False)
    for row, recipe in enumerate(chosen.itertuples()):
        base = data.source.images[[recipe.base]]
        neighbour = data.source.images[[recipe.neighbour]]
        synthetic = blend(base, neighbour, np.array([recipe.gap]), arithmetic)
        for axes, image in zip(grid[row], (base[0], synthetic[0], neighbour[0]), strict=True):
            show_image(axes, image)
        grid[row, 0].set_ylabel(data.source.classes[int(recipe.label)])
        grid[row, 1].set_xlabel(f"gap {recipe.gap:.2f}")
    for axes, name in zip(grid[0], ("Image", "SMOTE's", "Neighbour"), strict=True):
        axes.set_title(name, fontsize=10)
    fig.suptitle(f"{data.title}: synthetic images of the teacher's set", fontsize=11)
