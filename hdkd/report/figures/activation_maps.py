"""Features of stages 2 and 3 of the same images in three networks, mean over channels (Figure 5).

The third stage of small images has few positions; the second has four times as many.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hdkd.report.figures import FigureSpec, show_image
from hdkd.study.names import ROLE_NAMES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hdkd.report.drawing import FigureData

SHOWN_CLASSES = 5


@partial(
    FigureSpec,
    section="activations",
    wide=True,
    of_folders=True,
    needs=lambda data: data.has_pairs and data.has_teacher and data.has_images,
)
def draw(data: FigureData, fig: Figure) -> None:
    """A row for each class: its first test image, then stage 2 and stage 3 in each network."""
    import numpy as np
    import torch

    from hdkd.data.batches.augment import normalise
    from hdkd.runs.folder import RunFolder

    test = data.source.part("test")
    labels = data.source.labels[test]
    chosen = [test[np.flatnonzero(labels == k)[0]] for k in np.unique(labels)[:SHOWN_CLASSES]]
    images = np.array(data.source.images[chosen])
    fig.set_size_inches(9.6, 1.5 * len(chosen) + 0.7)
    grid = fig.subplots(len(chosen), 7, squeeze=False)
    for row, (position, image) in enumerate(zip(chosen, images, strict=True)):
        show_image(grid[row, 0], image)
        grid[row, 0].set_ylabel(data.source.classes[data.source.labels[position]])
    grid[0, 0].set_title("Image", fontsize=9)
    for number, role in enumerate(ROLE_NAMES):
        model = RunFolder(Path(data.first(role)["run"])).load_model()
        with torch.inference_mode():
            features = model(normalise(torch.from_numpy(images))).features
        name = ROLE_NAMES[role]
        label = name if role == "teacher" else f"{name} ({data.smallest})"
        for stage in (2, 3):
            column = 3 * (stage - 2) + 1 + number
            for row, heat in enumerate(features[stage - 1].mean(dim=1).numpy()):
                grid[row, column].imshow(heat, cmap="inferno")
                grid[row, column].set(xticks=[], yticks=[])
            grid[0, column].set_title(f"{label}\nstage {stage}", fontsize=9)
    fig.suptitle(f"{data.title}: mean activation of stages 2 and 3, first seed", fontsize=11)
