"""Confusion matrices of the teacher, and of student and HDKD on the smallest subset."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hdkd.report.figures import FigureSpec
from hdkd.study.names import ROLE_NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hdkd.report.drawing import FigureData


@partial(
    FigureSpec, section="metrics", wide=True, needs=lambda data: data.has_pairs and data.has_teacher
)
def draw(data: FigureData, fig: Figure) -> None:
    """Counts in the cells, shares of the true class as their colour."""
    import numpy as np

    fig.set_size_inches(10.5, 4.8)
    panels = fig.subplots(1, 3, sharey=True)
    classes = data.facts["classes"]
    for axes, role in zip(panels, ROLE_NAMES, strict=True):
        run = data.first(role)
        matrix = np.array(data.summaries[run["run"]].final.confusion_matrix)
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="viridis", vmin=0, vmax=1)
        for i, j in np.ndindex(matrix.shape):
            axes.text(
                j, i, matrix[i, j], ha="center", va="center", fontsize=8,
                color="#111111" if shares[i, j] > 0.6 else "#ffffff",
            )  # fmt: skip
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        axes.set_yticks(range(len(classes)), classes)
        axes.set_xlabel("Predicted")
        images = (
            "all images" if role == "teacher" else f"{data.smallest} images, seed {run['seed']}"
        )
        axes.set_title(f"{ROLE_NAMES[role]}, {images}", fontsize=10)
    panels[0].set_ylabel("True class")
    fig.set_layout_engine("constrained", rect=(0, 0, 1, 0.93))
    fig.suptitle(f"{data.title}: test images by true and predicted class", fontsize=11, y=0.99)
