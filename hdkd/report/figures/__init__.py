"""The figures of a dataset: each module here is one; the ``.rst`` file beside it is its caption.

A module makes its function ``draw`` a :class:`FigureSpec`; nothing else names it. The Snakefile
asks which figures a study has each time it starts, so the modules import numpy, pandas, matplotlib
and torch only when they draw.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hdkd.config import Settings

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hdkd.report.drawing import FigureData

# Places in the cycle of colours that light.mplstyle and dark.mplstyle define.
COLOURS = {
    "teacher": "C0",
    "student": "C1",
    "hdkd": "C2",
    "ConvNet": "C3",
    "ViT": "C4",
    "Hybrid": "C5",
}
Draw = Callable[["FigureData", "Figure"], None]  # onto an empty figure


@dataclass(frozen=True, kw_only=True)
class FigureSpec:
    """A figure's drawing function, and what is known of the figure before it is drawn.

    ``section`` is the one of the page (``page.html``) that shows it, ``wide`` whether it is wider
    than the text. ``when`` tells whether a study has this figure of a dataset, ``needs`` whether
    the runs, images or recipes that it shows are here. ``of_folders`` is for a figure of weights or
    epochs, which only run folders have.
    """

    draw: Draw = field(kw_only=False)
    section: str
    needs: Callable[[FigureData], object]
    when: Callable[[Settings, str], object] = lambda settings, dataset: True
    wide: bool = False
    of_folders: bool = False

    @property
    def name(self) -> str:
        """The name of its module."""
        return self.draw.__module__.rpartition(".")[2]

    @property
    def caption(self) -> Path:
        """The file of its caption, which the page and Snakemake's own report show."""
        return Path(__file__).with_name(f"{self.name}.rst")


@cache
def registered() -> tuple[FigureSpec, ...]:
    """All figures there are, by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return tuple(importlib.import_module(f"{__name__}.{name}").draw for name in names)


def of_study(settings: Settings, dataset: str) -> list[FigureSpec]:
    """The figures of a dataset in a study with these settings, once its runs are finished."""
    return [spec for spec in registered() if spec.when(settings, dataset)]


def show_image(axes: Axes, image: np.ndarray) -> None:
    """Show an image, bytes of shape ``(channels, size, size)``, without ticks."""
    if len(image) == 1:
        axes.imshow(image[0], cmap="gray", vmin=0, vmax=255)
    else:
        axes.imshow(image.transpose(1, 2, 0))
    axes.set(xticks=[], yticks=[])
