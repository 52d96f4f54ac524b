"""Draws the figures of one dataset, each for a light and for a dark page, as self-contained SVG."""

import io
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import matplotlib.style
import pandas as pd
from matplotlib.figure import Figure

from hdkd.config import Settings
from hdkd.data.batches.imageset import ImageSet
from hdkd.report import figures
from hdkd.report.figures import FigureSpec
from hdkd.report.tables import frames, results
from hdkd.report.tables.methods import method_table
from hdkd.runs import predictions
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import RunSummary
from hdkd.study import plan

STYLES = Path(figures.__file__).parent
SUFFIXES = {"light": ".svg", "dark": ".dark.svg"}


def write_figures(
    settings: Settings,
    dataset: str,
    folder: Path,
    summaries: list[RunSummary],
    facts: dict[str, Any],
) -> None:
    """Write ``<name>.svg`` and ``<name>.dark.svg`` for each figure that has something to show.

    ``summaries`` are those of finished runs, ``facts`` what is known of the dataset. Figures of
    weights and epochs are of those whose run folders are here. That is all of ``figures.of_study``
    once every run folder and the prepared images are here; others, of before, are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = FigureData(settings, dataset, summaries, facts)
    tested = [each for each in summaries if each.run.group != "tuning"]
    here = [each for each in tested if _is_here(each)]
    own = data if len(here) == len(tested) else None
    if here and not own:
        own = FigureData(settings, dataset, here, facts)
    for spec in figures.of_study(settings, dataset):
        source = own if spec.of_folders else data
        shown = source and spec.needs(source)
        for theme, suffix in SUFFIXES.items():
            path = folder / f"{spec.name}{suffix}"
            if source and shown:
                write_figure(spec, source, theme, path)
            else:
                path.unlink(missing_ok=True)


def _is_here(summary: RunSummary) -> bool:
    """Whether the run folder of a summary is here; a restored one may be of another training."""
    folder = RunFolder(summary.run.folder)
    return plan.is_finished(folder.path) and folder.summary == summary


def write_figure(spec: FigureSpec, data: "FigureData", theme: str, path: Path) -> None:
    """Draw one figure into an SVG file, in the ``theme`` of a light or a dark page."""
    path.write_bytes(drawn(lambda figure: spec.draw(data, figure), theme))


def drawn(draw: Callable[[Figure], None], theme: str) -> bytes:
    """What ``draw`` puts onto an empty figure, as SVG."""
    styles = [STYLES / f"{name}.mplstyle" for name in ("common", theme)]
    content = io.BytesIO()
    with matplotlib.style.context(styles):
        figure = Figure(layout="constrained")
        draw(figure)
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None})
    return content.getvalue()


class FigureData:
    """What the figures of one dataset are drawn from.

    ``table`` has the dataset's runs (``results.runs``), ``gains`` and ``cells`` are the tables of
    these names in ``results.py``, ``points`` is ``frames.distillation_points``, ``variants``
    ``frames.variant_cells`` and ``baselines`` ``frames.baseline_cells``. ``summaries`` are by the
    name of their run folder, of which ``metrics`` gives the epochs. Each ``has_`` is whether there
    is something to show: student and HDKD with the same subset and seed, the teacher, the prepared
    images, SMOTE's recipes.
    """

    def __init__(
        self,
        settings: Settings,
        dataset: str,
        summaries: list[RunSummary],
        facts: dict[str, Any],
    ) -> None:
        self.settings = settings
        self.dataset = dataset
        self.facts = facts
        self.title = facts["title"]
        table = results.runs(settings, summaries)
        self.table = table[table["dataset"] == dataset]
        self.gains = results.gains(self.table)
        self.cells = results.cells(self.table)
        self.points = frames.distillation_points(settings, dataset, self.table)
        self.variants = frames.variant_cells(settings, dataset, self.table)
        self.baselines = frames.baseline_cells(dataset, self.table)
        self.summaries = {each.run.folder.as_posix(): each for each in summaries}
        self.prepared = plan.prepared_folder(settings.profile, dataset)
        self.has_pairs = not self.gains.empty
        self.has_teacher = (self.table["group"] == "teacher").any()
        self.has_images = (self.prepared / "images.npy").exists()
        self.has_recipes = (self.prepared / "smote.csv").exists()
        # Of a run folder by its name; read once, though every figure is drawn in two themes.
        self.metrics = cache(lambda run: RunFolder(Path(run)).metrics.set_index("epoch"))

    @cached_property
    def methods(self) -> pd.DataFrame:
        """``tables/methods.py``'s table, paired by image where the study's predictions are here."""
        known = predictions.read(plan.report_folder(self.settings.profile))
        summaries = [*self.summaries.values()]
        of_these = known.of_summaries(summaries)
        return method_table(self.settings, self.dataset, self.table, summaries, of_these)

    @cached_property
    def source(self) -> ImageSet:
        """The prepared images."""
        return ImageSet.load(self.prepared)

    @cached_property
    def recipes(self) -> pd.DataFrame:
        """How SMOTE made each synthetic image: label, base, neighbour, gap."""
        return pd.read_csv(self.prepared / "smote.csv")

    @property
    def smallest(self) -> str:
        """The subset with the fewest images."""
        return self.gains["subset"].iloc[self.gains["training_images"].argmin()]

    def students(self, role: str, subset: str) -> pd.DataFrame:
        """The finished runs of student or HDKD on a subset, one a seed."""
        own = self.table[(self.table["group"] == "students") & (self.table["role"] == role)]
        return own[own["subset"] == subset]

    def first(self, role: str) -> pd.Series:
        """The first finished run of a role; of student and HDKD, that on the smallest subset."""
        teachers = self.table[self.table["group"] == "teacher"]
        return (teachers if role == "teacher" else self.students(role, self.smallest)).iloc[0]
