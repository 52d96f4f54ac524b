"""The first training images of each class, as the networks see them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hdkd.report.figures import FigureSpec, show_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hdkd.report.drawing import FigureData

IMAGES_OF_A_CLASS = 4


@partial(FigureSpec, section="data", needs=lambda data: data.has_images)
def draw(data: FigureData, fig: Figure) -> None:
    """A row for each class."""
    train = data.source.part("train")
    classes = data.source.classes
    fig.set_size_inches(1.5 * IMAGES_OF_A_CLASS + 0.6, 1.5 * len(classes))
    grid = fig.subplots(len(classes), IMAGES_OF_A_CLASS, squeeze=False)
    for row, name in enumerate(classes):
        members = train[data.source.labels[train] == row]
        for column in range(IMAGES_OF_A_CLASS):
            if column < len(members):
                show_image(grid[row, column], data.source.images[members[column]])
            else:
                grid[row, column].axis("off")
        grid[row, 0].set_ylabel(name)
    size = data.facts["size"]
    fig.suptitle(f"{data.title}: training images, {size}×{size} pixels", fontsize=11)
