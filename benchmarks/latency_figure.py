"""Accuracy against latency: what the paper prints beside what ``python -m benchmarks`` measured.

``python -m benchmarks.latency_figure`` reads the committed report and writes ``docs/latency.svg``.
"""

import re
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.latency import OURS
from hdkd.evaluation.metrics import interval
from hdkd.paper.published import PaperNetwork, accuracy
from hdkd.report.drawing import drawn
from hdkd.study.names import BASELINES, model_name

REPORT = Path("reports/benchmarks.md")
FIGURE = Path("docs/latency.svg")
ENGINE = "ONNX"
DATASET, TEST_IMAGES = "ham10000", 828
# Where a name would lie on another: how far from its point in points, and which side of it.
MOVED = {
    "MobileNetV2": (-4, 5, "right"),
    "MobileNetV3-L": (-4, -11, "right"),
    "HDKD, stride 4": (0, 7, "center"),
    "HDKD, MBConv": (-4, 5, "right"),
    "MobileViT-S": (-6, -3, "right"),
    "PVT-Tiny": (-6, -3, "right"),
}
UNITS = {"µs": 1e-3, "ms": 1.0, "s": 1e3}


def latencies(report: str, engine: str, batch: int) -> dict[str, float]:
    """Milliseconds on one thread, by network, for batches of so many images."""
    section = report.partition("\n## Latency\n")[2].partition("\n## ")[0]
    table = section.partition(f"\nBatch {batch},")[2].partition("\nBatch ")[0]
    found = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        time = re.match(r"([\d.]+) (µs|ms|s) ", cells[3]) if len(cells) > 3 else None
        if time and cells[1] == engine:
            found[cells[0]] = float(time[1]) * UNITS[time[2]]
    return found


def accuracies(dataset: str) -> dict[str, float]:
    """Percentages as the paper prints them (Tables 5 to 7), by the benchmark's names."""
    networks = {model_name(name): PaperNetwork(name) for name in BASELINES}
    for title, (role, sizes) in OURS.items():
        networks[title] = PaperNetwork(role, **{"block": "mbcsa", "stem_stride": 2} | sizes)
    printed = {title: accuracy(dataset, network) for title, network in networks.items()}
    return {title: value for title, value in printed.items() if value is not None}


def draw(figure: Figure) -> None:
    """Each network's accuracy on HAM-10000, with its interval, against its latency."""
    times, printed = latencies(REPORT.read_text("utf-8"), ENGINE, 1), accuracies(DATASET)
    figure.set_size_inches(7.6, 4.4)
    panel = figure.subplots()
    for name in sorted(times.keys() & printed.keys()):
        place = (times[name], printed[name])
        low, high = interval(round(printed[name] / 100 * TEST_IMAGES), TEST_IMAGES)
        panel.plot([place[0]] * 2, [100 * low, 100 * high], color="0.6", alpha=0.4, linewidth=1)
        ours = name in OURS
        panel.plot(*place, "o" if ours else "s", color=f"C{int(ours)}")
        *shift, side = MOVED.get(name, (6, -3, "left"))
        panel.annotate(name, place, shift, textcoords="offset points", fontsize=8, ha=side)
    panel.set(
        xscale="log", xlim=(1.2, 250), xlabel="milliseconds for an image, one thread, ONNX",
        ylabel="published accuracy on HAM-10000 (%)",
    )  # fmt: skip
    panel.set_xticks([2, 5, 10, 20, 50, 100, 200], [2, 5, 10, 20, 50, 100, 200])
    panel.minorticks_off()
    panel.grid(alpha=0.3)


if __name__ == "__main__":
    FIGURE.write_bytes(drawn(draw, "light"))
