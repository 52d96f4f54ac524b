"""The figures of one dataset, each for a light and for a dark page, as self-contained SVG."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from hdkd.config import Settings
from hdkd.data.batches.augment import normalise
from hdkd.data.batches.imageset import ImageSet
from hdkd.data.batches.recipes import blend
from hdkd.paper import published
from hdkd.paper.published import Network
from hdkd.report import results
from hdkd.report.tables import distillation_points, rival_cells
from hdkd.runs.folder import RunFolder
from hdkd.study import plan
from hdkd.study.names import BLOCK_NAMES, ROLE_NAMES, family, model_name
from hdkd.study.plan import RunKey

THEMES = {
    "light": {"ink": "#1f2430", "grid": "#d9dde5", "teacher": "#00775a", "student": "#0063a6", "hdkd": "#c44500", "ConvNet": "#6f7a90", "ViT": "#8a5fb5", "Hybrid": "#a08437"},
    "dark": {"ink": "#e4e8f0", "grid": "#3a4152", "teacher": "#3fcaa1", "student": "#6cb8f5", "hdkd": "#ff9d5c", "ConvNet": "#9aa6bd", "ViT": "#c39be8", "Hybrid": "#d8bd6a"},
}  # fmt: skip
SHOWN_IMAGES = 4


def write_figures(
    settings: Settings,
    dataset: str,
    folder: Path,
    summaries: list[dict[str, Any]],
    facts: dict[str, Any],
) -> None:
    """Write ``<name>.svg`` and ``<name>.dark.svg`` for each figure that has something to show.

    ``summaries`` are those of finished trainings, whose run folders are here; ``facts`` what is known of
    the dataset. When a study is whole and its prepared images are here, that is all of ``plan.figures``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    study = Study(settings, dataset, summaries, facts)
    for name in study.drawable():
        draw: Callable[[Study, dict[str, str]], Figure] = globals()[f"draw_{name}"]
        for theme, colours in THEMES.items():
            style = {
                "font.size": 10,
                "text.parse_math": False,  # a class may have dollars in its name
                "svg.hashsalt": "hdkd",
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.edgecolor": colours["ink"],
                "axes.labelcolor": colours["ink"],
                "axes.titlecolor": colours["ink"],
                "text.color": colours["ink"],
                "xtick.color": colours["ink"],
                "ytick.color": colours["ink"],
                "grid.color": colours["grid"],
                "legend.frameon": False,
            }
            with mpl.rc_context(style):
                figure = draw(study, colours)
                suffix = ".svg" if theme == "light" else ".dark.svg"
                figure.savefig(
                    folder / f"{name}{suffix}", transparent=True, metadata={"Date": None}
                )


class Study:
    """What the figures of one dataset are drawn from."""

    def __init__(
        self,
        settings: Settings,
        dataset: str,
        summaries: list[dict[str, Any]],
        facts: dict[str, Any],
    ) -> None:
        self.settings = settings
        self.dataset = dataset
        self.facts = facts
        table = results.runs(settings, summaries)
        self.table = table[table["dataset"] == dataset]
        self.gains = results.gains(self.table)
        self.teacher = plan.teacher_runs(settings, dataset)[0]
        self.students = plan.student_runs(settings, dataset)
        self.title = facts["title"]
        self.prepared = plan.prepared(settings.profile, dataset)

    def drawable(self) -> list[str]:
        """The figures of ``plan.figures`` that have their trainings and images."""
        table = self.table
        images = (self.prepared / "images.npy").exists()
        pairs = not self.gains.empty
        taught = pairs and (table["group"] == "teacher").any()
        possible = {
            "accuracy": pairs,
            "learning_curves": pairs,
            "confusion": taught,
            "activation_maps": taught and images,
            "samples": images,
            "ablations": ((table["group"] == "ablations") & (table["point"] == "")).any(),
            "distillation": not distillation_points(self.settings, self.dataset, table).empty,
            "rivals": not rival_cells(self.dataset, table).empty,
            "smote": images and (self.prepared / "smote.csv").exists(),
        }
        return [name for name in plan.figures(self.settings, self.dataset) if possible[name]]

    @cached_property
    def source(self) -> ImageSet:
        return ImageSet.load(self.prepared)

    def run(self, role: str, subset: str) -> RunKey:
        """The first seed's training of a role on a subset."""
        if role == "teacher":
            return self.teacher
        return next(k for k in self.students if k.role == role and k.subset == subset)

    @property
    def smallest(self) -> str:
        return self.gains["subset"].iloc[self.gains["training_images"].argmin()]


def draw_accuracy(study: Study, colours: dict[str, str]) -> Figure:
    """Accuracy against subset size with and without distillation (Figures 3 and 4)."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    cells = results.cells(study.table)
    students = cells[cells["group"] == "students"].sort_values("training_images")
    for role, marker in (("student", "s"), ("hdkd", "o")):
        line = students[students["role"] == role]
        seeds = study.table[(study.table["group"] == "students") & (study.table["role"] == role)]
        axes.scatter(
            seeds["training_images"], 100 * seeds["accuracy"], s=12, alpha=0.5,
            color=colours[role], linewidths=0,
        )  # fmt: skip
        axes.errorbar(
            line["training_images"], 100 * line["accuracy"], 100 * line["accuracy_sd"].fillna(0),
            marker=marker, color=colours[role], label=ROLE_NAMES[role], capsize=3,
        )  # fmt: skip
    for teacher in cells[cells["group"] == "teacher"].itertuples():
        axes.axhline(
            100 * teacher.accuracy, color=colours["teacher"], linestyle="--",
            label=f"Teacher, all {teacher.training_images} images",
        )  # fmt: skip
    axes.set_xscale("log")
    ticks = sorted(students["training_images"].unique())
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("Training images of the student")
    axes.set_ylabel("Test accuracy (%)")
    axes.set_title(f"{study.title}: accuracy by training set size")
    axes.grid(axis="y")
    axes.legend()
    return figure


def draw_learning_curves(study: Study, colours: dict[str, str]) -> Figure:
    """Accuracy on the watched images after each epoch, mean and range over seeds, one panel per subset."""
    watched = "test"
    subsets = list(dict.fromkeys(study.gains["subset"]))
    figure = Figure(figsize=(max(3.1 * len(subsets), 5.4), 3.2), layout="constrained")
    panels = figure.subplots(1, len(subsets), sharey=True, squeeze=False)[0]
    for axes, subset in zip(panels, subsets, strict=True):
        for role in ("student", "hdkd"):
            runs = [k for k in study.students if k.role == role and k.subset == subset]
            runs = [key for key in runs if key.folder.as_posix() in set(study.table["run"])]
            curves = [RunFolder(key.folder).metrics.set_index("epoch") for key in runs]
            if "validation_accuracy" in curves[0]:
                watched = "validation"
            table = pd.concat([curve[f"{watched}_accuracy"] for curve in curves], axis=1).dropna()
            table *= 100
            epochs = table.index
            axes.plot(epochs, table.mean(axis=1), color=colours[role], label=ROLE_NAMES[role])
            axes.fill_between(
                epochs, table.min(axis=1), table.max(axis=1), color=colours[role], alpha=0.2, lw=0
            )
        count = study.gains.set_index("subset")["training_images"][subset]
        axes.set_title(f"{count} images", fontsize=10)
        axes.set_xlabel("Epoch")
        axes.grid(axis="y")
    panels[0].set_ylabel(f"{watched.capitalize()} accuracy (%)")
    panels[-1].legend(loc="lower right")
    figure.suptitle(f"{study.title}: learning curves, mean and range over seeds", fontsize=11)
    return figure


def draw_confusion(study: Study, colours: dict[str, str]) -> Figure:
    """Confusion matrices of the teacher, and of student and HDKD on the smallest subset."""
    figure = Figure(figsize=(10.5, 4.8), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    classes = study.facts["classes"]
    for axes, role in zip(panels, ROLE_NAMES, strict=True):
        key = study.run(role, study.smallest)
        matrix = np.array(RunFolder(key.folder).summary["final"]["confusion_matrix"])
        shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="viridis", vmin=0, vmax=1)
        for i, j in np.ndindex(matrix.shape):
            axes.text(
                j, i, matrix[i, j], ha="center", va="center", fontsize=8,
                color="#111111" if shares[i, j] > 0.6 else "#ffffff",
            )  # fmt: skip
        axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right")
        axes.set_yticks(range(len(classes)), classes)
        axes.set_xlabel("Predicted")
        images = "all images" if role == "teacher" else f"{study.smallest} images, seed {key.seed}"
        axes.set_title(f"{ROLE_NAMES[role]}, {images}", fontsize=10)
    panels[0].set_ylabel("True class")
    figure.get_layout_engine().set(rect=(0, 0, 1, 0.93))
    figure.suptitle(f"{study.title}: test images by true and predicted class", fontsize=11, y=0.99)
    return figure


def draw_activation_maps(study: Study, colours: dict[str, str]) -> Figure:
    """Features of stages 2 and 3 of the same images in three networks, mean over channels (Figure 5).

    The third stage of small images has few positions; the second has four times as many.
    """
    test = study.source.part("test")
    labels = study.source.labels[test]
    chosen = [test[np.flatnonzero(labels == k)[0]] for k in np.unique(labels)[: SHOWN_IMAGES + 1]]
    images = np.array(study.source.images[chosen])
    figure = Figure(figsize=(9.6, 1.5 * len(chosen) + 0.7), layout="constrained")
    grid = figure.subplots(len(chosen), 7, squeeze=False)
    for row, (position, image) in enumerate(zip(chosen, images, strict=True)):
        show_image(grid[row, 0], image)
        grid[row, 0].set_ylabel(study.source.classes[study.source.labels[position]])
    grid[0, 0].set_title("Image", fontsize=9)
    for number, role in enumerate(ROLE_NAMES):
        model = RunFolder(study.run(role, study.smallest).folder).load_model()
        with torch.inference_mode():
            _, features = model(normalise(torch.from_numpy(images)), return_features=True)
        name = ROLE_NAMES[role]
        label = name if role == "teacher" else f"{name} ({study.smallest})"
        for stage in (2, 3):
            column = 3 * (stage - 2) + 1 + number
            for row, heat in enumerate(features[stage - 1].mean(dim=1).numpy()):
                grid[row, column].imshow(heat, cmap="inferno")
                grid[row, column].set(xticks=[], yticks=[])
            grid[0, column].set_title(f"{label}\nstage {stage}", fontsize=9)
    figure.suptitle(f"{study.title}: mean activation of stages 2 and 3, first seed", fontsize=11)
    return figure


def draw_samples(study: Study, colours: dict[str, str]) -> Figure:
    """The first training images of each class, as the networks see them."""
    train = study.source.part("train")
    classes = study.source.classes
    figure = Figure(figsize=(1.5 * SHOWN_IMAGES + 0.6, 1.5 * len(classes)), layout="constrained")
    grid = figure.subplots(len(classes), SHOWN_IMAGES, squeeze=False)
    for row, name in enumerate(classes):
        members = train[study.source.labels[train] == row]
        for column in range(SHOWN_IMAGES):
            if column < len(members):
                show_image(grid[row, column], study.source.images[members[column]])
            else:
                grid[row, column].axis("off")
        grid[row, 0].set_ylabel(name)
    size = study.facts["size"]
    figure.suptitle(f"{study.title}: training images, {size}×{size} pixels", fontsize=11)
    return figure


def draw_smote(study: Study, colours: dict[str, str]) -> Figure:
    """Synthetic images between the two images that each is made of."""
    recipes = pd.read_csv(study.prepared / "smote.csv")
    chosen = recipes.groupby("label").head(1).head(SHOWN_IMAGES)
    figure = Figure(figsize=(5.6, 1.75 * len(chosen)), layout="constrained")
    grid = figure.subplots(len(chosen), 3, squeeze=False)
    for row, recipe in enumerate(chosen.itertuples()):
        base = study.source.images[[recipe.base]]
        neighbour = study.source.images[[recipe.neighbour]]
        synthetic = blend(base, neighbour, np.array([recipe.gap]))
        for axes, image in zip(grid[row], (base[0], synthetic[0], neighbour[0]), strict=True):
            show_image(axes, image)
        grid[row, 0].set_ylabel(study.source.classes[int(recipe.label)])
        grid[row, 1].set_xlabel(f"gap {recipe.gap:.2f}")
    for axes, name in zip(grid[0], ("Image", "SMOTE's", "Neighbour"), strict=True):
        axes.set_title(name, fontsize=10)
    figure.suptitle(f"{study.title}: synthetic images of the teacher's set", fontsize=11)
    return figure


def draw_ablations(study: Study, colours: dict[str, str]) -> Figure:
    """Accuracy of teacher, student and HDKD by block and stem stride (Tables 6 and 7)."""
    ablations = study.settings.parameters.ablations
    table = study.table
    same = (table["subset"] == str(ablations.subset)) & table["seed"].isin(ablations.seeds)
    swept = (table["group"] == "teacher") | ((table["group"] == "students") & same)
    chosen = table[swept | ((table["group"] == "ablations") & (table["point"] == ""))]
    variants = list(dict.fromkeys(zip(chosen["block"], chosen["stem_stride"], strict=True)))
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for offset, role in enumerate(ROLE_NAMES):
        heights = [
            100 * chosen[
                (chosen["role"] == role) & (chosen["block"] == block) & (chosen["stem_stride"] == stride)
            ]["accuracy"].mean()
            for block, stride in variants
        ]  # fmt: skip
        places = np.arange(len(variants)) + 0.27 * (offset - 1)
        bars = axes.bar(places, heights, 0.25, color=colours[role], label=ROLE_NAMES[role])
        axes.bar_label(bars, fmt="%.1f", fontsize=8, padding=2, color=colours["ink"])
    names = [f"{BLOCK_NAMES[block]}, stride {stride}" for block, stride in variants]
    axes.set_xticks(range(len(variants)), names)
    axes.set_ylabel("Test accuracy (%)")
    axes.set_ylim(0, 112)
    axes.set_yticks(range(0, 101, 20))
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.legend(ncols=3, loc="upper center", fontsize=9)
    subset = ablations.subset
    images = "all images" if subset == "all" else f"students on {subset} images"
    axes.set_title(f"{study.title}: block and stem stride, {images}", fontsize=11)
    return figure


def draw_distillation(study: Study, colours: dict[str, str]) -> Figure:
    """Accuracy of HDKD with one part of its distillation changed: seeds, mean and deviation."""
    points = distillation_points(study.settings, study.dataset, study.table)
    names = list(dict.fromkeys(points["name"]))
    figure = Figure(figsize=(6.8, 0.42 * len(names) + 1.3), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(reversed(names)):
        runs = points[points["name"] == name]
        colour = colours["student"] if name == ROLE_NAMES["student"] else colours["hdkd"]
        accuracy = 100 * runs["accuracy"]
        axes.scatter(accuracy, [place] * len(runs), s=14, color=colour, alpha=0.5, linewidths=0)
        spread = accuracy.std() if len(runs) > 1 else 0
        axes.errorbar(
            accuracy.mean(), place, xerr=spread, color=colour, marker="D", ms=5, capsize=3
        )
        if name in (ROLE_NAMES["student"], ROLE_NAMES["hdkd"]):
            axes.axvline(accuracy.mean(), color=colour, linestyle="--", linewidth=1, zorder=0)
    labels = [
        name if name in ROLE_NAMES.values() else f"{name} ({change})"
        for name, change in points.groupby("name", sort=False)["change"].first().items()
    ]
    axes.set_yticks(range(len(names)), labels[::-1])
    axes.set_xlabel("Test accuracy (%)")
    axes.grid(axis="x")
    subset = study.settings.parameters.ablations.distillation.subset
    axes.set_title(f"{study.title}: distillation, part by part, {subset} images", fontsize=11)
    return figure


def draw_rivals(study: Study, colours: dict[str, str]) -> Figure:
    """Accuracy against multiply-accumulates, parameters as area (Table 5); published values hollow.

    Where this study is not at the paper's scale, the published values have a panel of their own.
    """
    comparable = study.settings.profile == published.COMPARABLE_PROFILE
    known = published.accuracy(study.dataset, published.HDKD) is not None
    panels = 2 if known and not comparable else 1
    figure = Figure(figsize=(5.6 * panels, 4.8), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    size = study.facts["size"]
    cells = rival_cells(study.dataset, study.table)
    measured = cells.assign(accuracy=100 * cells["accuracy"])
    draw_models(axes[0], measured, colours)
    axes[0].set_title(f"Measured here, {size}×{size} pixels", fontsize=10)
    if known:
        rows = []
        for role in cells["role"]:
            network = Network(role, "mbcsa", 2) if role in ROLE_NAMES else Network(role)
            value = published.accuracy(study.dataset, network)
            rows.append((role, value, *published.complexity(network)))
        printed = pd.DataFrame(rows, columns=["role", "accuracy", "parameters", "macs"])
        draw_models(axes[-1], printed, colours, hollow=True)
        title = "Published (hollow), 224×224 pixels"
        axes[-1].set_title("Measured, and published (hollow)" if comparable else title, fontsize=10)
    for panel in axes:
        panel.set_xscale("log")
        panel.margins(x=0.18, y=0.12)
        panel.set_xlabel("Multiply-accumulates per image")
        panel.grid(True)
        panel.set_axisbelow(True)
    axes[0].set_ylabel("Test accuracy (%)")
    figure.suptitle(f"{study.title}: all images; area is proportional to parameters", fontsize=11)
    return figure


def draw_models(axes, models: pd.DataFrame, colours: dict[str, str], hollow: bool = False) -> None:
    """Bubbles with names, the upper of two neighbours above its bubble, the lower one below.

    10⁶ parameters are 30 square points.
    """
    places = np.stack([np.log(models["macs"].astype(float)), models["accuracy"]], axis=1)
    spread = (places - places.min(axis=0)) / np.maximum(np.ptp(places, axis=0), 1e-9)
    distances = np.linalg.norm(spread[:, None] - spread[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = distances.argmin(axis=1)
    for model, place, other in zip(models.itertuples(), places, places[nearest], strict=True):
        colour = colours.get(model.role) or colours[family(model.role)]
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


def show_image(axes, image: np.ndarray) -> None:
    """Show bytes ``(channels, size, size)`` without axes."""
    if len(image) == 1:
        axes.imshow(image[0], cmap="gray", vmin=0, vmax=255)
    else:
        axes.imshow(image.transpose(1, 2, 0))
    axes.set(xticks=[], yticks=[])
