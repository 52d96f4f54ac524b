"""How often the networks are right when they are as sure as they say, before and after scaling."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from hdkd.report.figures import COLOURS, FigureSpec
from hdkd.study.names import ROLE_NAMES

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from hdkd.report.drawing import FigureData


@partial(
    FigureSpec,
    section="metrics",
    wide=True,
    of_folders=True,
    when=lambda settings, dataset: settings.parameters.split.validation_fraction > 0,
    needs=lambda data: data.has_pairs and data.has_teacher and data.has_images,
)
def draw(data: FigureData, fig: Figure) -> None:
    """Accuracy by confidence on the test images, a panel for each role; errors in the legend."""
    fig.set_size_inches(10.5, 4.4)
    panels = fig.subplots(1, 3, sharey=True)
    labels = data.source.labels[data.source.part("test")]
    for axes, role in zip(panels, ROLE_NAMES, strict=True):
        logits, temperature = _tested(data, role)
        axes.plot([0, 100], [0, 100], color="C3", linewidth=0.8, linestyle=":")
        _line(axes, "as trained", logits, labels, color="C3")
        if temperature is None:
            axes.plot([], [], " ", label="no temperature fits\nthe validation images")
        else:
            name = f"temperature {temperature:.2f}"
            _line(axes, name, logits / temperature, labels, color=COLOURS[role])
        images = (
            "all images"
            if role == "teacher"
            else f"{data.smallest} images, seed {data.first(role)['seed']}"
        )
        axes.set_title(f"{ROLE_NAMES[role]}, {images}", fontsize=10)
        axes.set_xlabel("Probability of the answer (%)")
        axes.grid(axis="y")
        axes.legend(loc="upper left", fontsize=8)
    panels[0].set_ylabel("Right (%)")
    panels[0].set_ylim(0, 135)  # room for the legends
    panels[0].set_yticks(range(0, 101, 20))
    fig.suptitle(f"{data.title}: test accuracy by probability of the answer", fontsize=11)


@lru_cache(maxsize=len(ROLE_NAMES))  # light and dark figures show the same
def _tested(data: FigureData, role: str) -> tuple[np.ndarray, float | None]:
    """A network's logits ``(images, classes)`` of the test images, and its temperature."""
    from hdkd.deploy.network import Network
    from hdkd.evaluation.calibration import fit_temperature
    from hdkd.runs.folder import RunFolder

    source = data.source
    network = Network(RunFolder(Path(data.first(role)["run"])).load_model())
    validation = source.part("validation")
    temperature = None
    if len(validation):
        logits = network.answers(source.chosen(validation)).logits
        temperature = fit_temperature(logits, source.labels[validation])
    return network.answers(source.chosen(source.part("test"))).logits, temperature


def _line(axes: Axes, name: str, logits: np.ndarray, labels: np.ndarray, color: str) -> None:
    """A point for each bin of confidence that has images; its area grows with their number."""
    import numpy as np

    from hdkd.evaluation.calibration import calibration_errors, log_probabilities
    from hdkd.evaluation.metrics import confidence_bins

    probabilities = np.exp(log_probabilities(logits))
    confidence, hits = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = confidence_bins(confidence)
    groups = [bins == k for k in np.unique(bins)]
    sure = [100 * confidence[group].mean() for group in groups]
    right = [100 * hits[group].mean() for group in groups]
    sizes = [4 + 150 * group.mean() for group in groups]
    errors = calibration_errors(logits, labels)
    label = (
        f"{name}: error {100 * errors['calibration_error']:.2f} %,\n"
        f"cross-entropy {errors['loss']:.3f}, Brier {errors['brier']:.3f}"
    )
    axes.plot(sure, right, color=color, linewidth=1.2, label=label)
    axes.scatter(sure, right, s=sizes, color=color, alpha=0.7, linewidths=0)
