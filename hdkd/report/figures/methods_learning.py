"""How each method learns: accuracy on the watched images after each epoch, a panel per method."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hdkd.report.figures import COLOURS, FigureSpec
from hdkd.study import plan

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from hdkd.report.drawing import FigureData

COLUMNS = 4


@partial(
    FigureSpec,
    section="methods",
    wide=True,
    of_folders=True,
    when=lambda settings, dataset: any(
        run.method != "alone" for run in plan.method_runs(settings, dataset)
    ),
    needs=lambda data: not taught(data.table).empty,
)
def draw(data: FigureData, fig: Figure) -> None:
    """Means over seeds on the fewest images, published weights; the student alone is in each."""
    from hdkd.config import methods

    fewest = taught(data.table)["training_images"].min()
    own = published(data.table)
    own = own[own["training_images"] == fewest]
    roles = list(dict.fromkeys(own["role"]))
    cells = {key: runs for key, runs in own.groupby(["role", "method"], sort=False)}  # noqa: C416
    shown = list(dict.fromkeys(method for _, method in cells if method != "alone"))
    lines = -(-len(shown) // COLUMNS)
    fig.set_size_inches(2.6 * min(COLUMNS, len(shown)), 2.1 * lines + 0.8)
    panels = fig.subplots(lines, min(COLUMNS, len(shown)), sharex=True, sharey=True, squeeze=False)
    watched = "test"
    for axes, method in zip(panels.flat, shown, strict=False):
        for role in roles:
            for name, style in (("alone", "--"), (method, "-")):
                if (role, name) not in cells:
                    continue
                curves = [data.metrics(run) for run in cells[role, name]["run"]]
                watched, curve = mean_curve(curves)
                colour = COLOURS["student" if role == "hybrid" else "ViT"]
                axes.plot(curve.index, curve, style, color=colour, linewidth=1.2)
        axes.set_title(methods()[method].title, fontsize=9)
        axes.grid(axis="y")
    for axes in panels.flat[len(shown) :]:
        axes.set_axis_off()
    fig.supxlabel("Epoch", fontsize=9)
    fig.supylabel(f"{watched.capitalize()} accuracy (%)", fontsize=9)
    what = "hybrid" + (" and plain ViT (other colour)" if "vit" in roles else "")
    fig.suptitle(f"{data.title}: {what}; dashed is the student alone", fontsize=11)


def published(table: pd.DataFrame) -> pd.DataFrame:
    """The runs of the methods with their published weights, and those of the student alone."""
    return table[(table["group"] == "methods") & (table["point"] == "")]


def taught(table: pd.DataFrame) -> pd.DataFrame:
    """The runs of the methods with their published weights."""
    own = published(table)
    return own[own["method"] != "alone"]


def mean_curve(curves: list[pd.DataFrame]) -> tuple[str, pd.Series]:
    """What was watched, and accuracy in percent by epoch, mean over the metrics of some runs."""
    import pandas as pd

    watched = "validation" if "validation_accuracy" in curves[0] else "test"
    table = pd.concat([curve[f"{watched}_accuracy"] for curve in curves], axis=1).dropna()
    return watched, 100 * table.mean(axis=1)
