"""The critical-difference diagram of the methods (Demšar 2006, *JMLR* 7:1)."""

from matplotlib.figure import Figure

from hdkd.config import methods
from hdkd.report.tables.methods import Ranks

ROW = 0.26  # inches


def draw(ranks: Ranks, fig: Figure) -> None:
    """Methods on an axis of mean ranks, and bars that join those which may be equal."""
    order = sorted(ranks.means.items(), key=lambda item: item[1])
    groups = alike([rank for _, rank in order], ranks.difference)
    rows = len(order) + len(groups) + 2
    fig.set_size_inches(7.2, ROW * rows + 0.7)
    axes = fig.subplots()
    count = len(order)
    axes.set(xlim=(max(count, 1 + ranks.difference) + 0.2, 0.8), ylim=(rows, 0))
    axes.xaxis.set_ticks_position("top")
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(f"Mean rank over {ranks.blocks} pairs of dataset and subset")
    axes.set_yticks([])
    for side in ("left", "right", "bottom"):
        axes.spines[side].set_visible(False)
    for k, (name, rank) in enumerate(order):
        height = len(groups) + 1 + k
        axes.plot([rank, rank], [0, height], color="C2" if name == "hdkd" else "C0", linewidth=0.8)
        axes.annotate(
            f"{methods()[name].title} ({rank:.1f})", (rank, height), (4, 0), va="center",
            textcoords="offset points", fontsize=8,
        )  # fmt: skip
    for k, (first, last) in enumerate(groups):
        ends = [order[first][1], order[last][1]]
        axes.plot(ends, [k + 0.7] * 2, color="C3", linewidth=3, solid_capstyle="butt")
    axes.plot([1, 1 + ranks.difference], [rows - 0.4] * 2, color="C3", linewidth=1.5)
    axes.annotate(
        f"critical difference {ranks.difference:.1f}", (1, rows - 0.4), (-4, 0), ha="left",
        va="bottom", textcoords="offset points", fontsize=8,
    )  # fmt: skip


def alike(ranks: list[float], difference: float) -> list[tuple[int, int]]:
    """Positions of the first and last of each group of ``ranks`` within ``difference``.

    ``ranks`` rise; groups inside another are left out.
    """
    groups: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(k for k in range(len(ranks)) if ranks[k] - ranks[first] <= difference)
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return groups
