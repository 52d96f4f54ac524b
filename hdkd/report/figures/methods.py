"""What each method gains over the student alone, against how long its runs take beside it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hdkd.report.figures import COLOURS, FigureSpec
from hdkd.study import plan
from hdkd.study.names import NETWORKS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hdkd.report.drawing import FigureData


@partial(
    FigureSpec,
    section="methods",
    wide=True,
    when=plan.method_runs,
    needs=lambda data: not data.methods.empty,
)
def draw(data: FigureData, fig: Figure) -> None:
    """A panel for each student, on the fewest images; a point with its interval for each method."""
    from hdkd.config import methods

    found = data.methods[data.methods["weights"].isin(["published", ""])]
    found = found[found["training_images"] == found["training_images"].min()]
    students = list(dict.fromkeys(found["role"]))
    fig.set_size_inches(7.2 * len(students), 4.8)
    for axes, role in zip(fig.subplots(1, len(students), squeeze=False)[0], students, strict=True):
        own = found[(found["role"] == role) & found["gain"].notna()].sort_values("gain")
        axes.axhline(0, color=COLOURS["student"], linewidth=1, linestyle="--", zorder=0)
        timed = own[own["ratio"].notna()]
        for place, row in enumerate(timed.itertuples()):
            colour = COLOURS["hdkd" if row.method == "hdkd" else "ViT"]
            reach = [[row.gain - row.gain_low], [row.gain_high - row.gain]]
            axes.errorbar(
                row.ratio, row.gain, yerr=reach, color=colour, marker="o", ms=5, elinewidth=0.8,
                capsize=2, alpha=0.85,
            )  # fmt: skip
            # Names stand beside the axes in the order of the gains, where they cannot overlap.
            height = (place + 0.5) / len(timed)
            axes.annotate(
                methods()[row.method].title, (row.ratio, row.gain), (1.04, height),
                textcoords="axes fraction", va="center", fontsize=8, color=colour,
                arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": colour},
            )  # fmt: skip
        axes.margins(x=0.08)
        axes.set_title(f"{NETWORKS[role]}, {found['training_images'].min()} images", fontsize=10)
        elsewhere = [methods()[name].title for name in own[own["ratio"].isna()]["method"]]
        without = f"\nno time, ran on another device: {', '.join(elsewhere)}" if elsewhere else ""
        axes.set_xlabel(f"Time of a run, student alone = 1{without}", wrap=True)
        axes.set_ylabel("Gain over the student alone (points)")
        axes.grid(True)
        axes.set_axisbelow(True)
    fig.suptitle(f"{data.title}: gain of each method against its cost", fontsize=11)
