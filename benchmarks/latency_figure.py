"""Accuracy against latency: what the paper prints beside what ``python -m benchmarks`` measured.

``python -m benchmarks.latency_figure`` reads the committed report and writes ``docs/latency.svg``.
"""

import re
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.latency import OURS
from hdkd.paper.published import DATASETS, PaperNetwork, accuracy
from hdkd.report.drawing import drawn
from hdkd.study.names import BASELINES, model_name

REPORT = Path("reports/benchmarks.md")
FIGURE = Path("docs/latency.svg")
ENGINE = "ONNX"
UNITS = {"µs": 1e-3, "ms": 1.0, "s": 1e3}
TITLES = {"ham10000": "HAM-10000", "brain_tumor": "Brain Tumor MRI"}


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
    """A panel for each dataset."""
    times = latencies(REPORT.read_text("utf-8"), ENGINE, 1)
    figure.set_size_inches(9.6, 4.2)
    for panel, dataset in zip(figure.subplots(1, 2), DATASETS, strict=True):
        printed = accuracies(dataset)
        for name in sorted(times.keys() & printed.keys()):
            ours = name in OURS
            panel.plot(times[name], printed[name], "o" if ours else "s", color=f"C{int(ours)}")
            panel.annotate(
                name, (times[name], printed[name]), (4, 4), textcoords="offset points", fontsize=7
            )
        panel.set(
            xscale="log", title=TITLES[dataset], xlabel="milliseconds for an image, one thread",
            ylabel="published test accuracy (%)",
        )  # fmt: skip
        panel.grid(alpha=0.3)


if __name__ == "__main__":
    FIGURE.write_bytes(drawn(draw, "light"))
