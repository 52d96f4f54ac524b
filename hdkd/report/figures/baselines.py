"""Accuracy against multiply-accumulates, parameters as area (Table 5); published values hollow.

Where this study is not at the paper's scale, the published values have a panel of their own.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hdkd.report.figures import COLOURS, FigureSpec
from hdkd.study import plan
from hdkd.study.names import ROLE_NAMES, family, model_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hdkd.report.drawing import FigureData


@partial(
    FigureSpec,
    section="baselines",
    wide=True,
    when=plan.baseline_runs,
    needs=lambda data: not data.baselines.empty,
)
def draw(data: FigureData, fig: Figure) -> None:
    """A bubble for each network, coloured by role or family."""
    import pandas as pd
    from matplotlib.ticker import EngFormatter, LogLocator

    from hdkd.paper import published
    from hdkd.paper.published import PaperNetwork

    comparable = data.settings.profile == published.COMPARABLE_PROFILE
    known = published.accuracy(data.dataset, published.HDKD) is not None
    panels = 2 if known and not comparable else 1
    fig.set_size_inches(5.6 * panels, 4.8)
    axes = fig.subplots(1, panels, squeeze=False)[0]
    size = data.facts["size"]
    cells = data.baselines
    measured = cells.assign(accuracy=100 * cells["accuracy"])
    draw_models(axes[0], measured)
    axes[0].set_title(f"Measured here, {size}×{size} pixels", fontsize=10)
    if known:
        rows = []
        for role in cells["role"]:
            network = PaperNetwork(role, "mbcsa", 2) if role in ROLE_NAMES else PaperNetwork(role)
            value = published.accuracy(data.dataset, network)
            if value is not None:  # a network may have been added here
                rows.append((role, value, *published.complexity(network)))
        printed = pd.DataFrame(rows, columns=["role", "accuracy", "parameters", "macs"])
        draw_models(axes[-1], printed, hollow=True)
        title = "Published (hollow), 224×224 pixels"
        axes[-1].set_title("Measured, and published (hollow)" if comparable else title, fontsize=10)
    for panel in axes:
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_major_formatter(EngFormatter())  # 20 M; the default is TeX, shown raw
        panel.minorticks_off()
        panel.margins(x=0.18, y=0.12)
        panel.set_xlabel("Multiply-accumulates per image")
        panel.grid(True)
        panel.set_axisbelow(True)
    axes[0].set_ylabel("Test accuracy (%)")
    fig.suptitle(f"{data.title}: all images; area is proportional to parameters", fontsize=11)


def draw_models(axes: Axes, models: pd.DataFrame, hollow: bool = False) -> None:
    """Bubbles with names, the upper of two neighbours above its bubble, the lower one below.

    10⁶ parameters are 30 square points.
    """
    import numpy as np

    places = np.stack([np.log(models["macs"].astype(float)), models["accuracy"]], axis=1)
    spread = (places - places.min(axis=0)) / np.maximum(np.ptp(places, axis=0), 1e-9)
    distances = np.linalg.norm(spread[:, None] - spread[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    for model, place, other in zip(models.itertuples(), places, places[nearest], strict=True):
        colour = COLOURS.get(model.role) or COLOURS[family(model.role)]
        area = max(4, 30 * model.parameters / 1e6)
        axes.scatter(
            model.macs, model.accuracy, s=area, alpha=0.75, linewidths=1.3,
            facecolors="none" if hollow else colour, edgecolors=colour,
        )  # fmt: skip
        side = 1 if (place[1], place[0]) >= (other[1], other[0]) else -1
        axes.annotate(
            model_name(model.role), (model.macs, model.accuracy),
            (0, side * (area**0.5 / 2 + 3)), textcoords="offset points", ha="center",
            va="bottom" if side > 0 else "top", fontsize=8, color=colour,
        )  # fmt: skip
