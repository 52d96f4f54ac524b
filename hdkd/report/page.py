"""The report: one HTML page that needs no network, made from tables, figures and run folders."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from hdkd.config import Settings, plain
from hdkd.paper import ledger, published
from hdkd.report import results, tables
from hdkd.runs import evidence, predictions
from hdkd.runs.predictions import Predictions
from hdkd.study import plan

PART_NAMES = {"train": "Training", "validation": "Validation", "test": "Test"}


def write_page(settings: Settings, folder: Path, ledger_path: Path) -> None:
    """Write ``report.html`` into ``folder``, beside the tables and figures that it is made of."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["thousands"] = lambda number: f"{number:,}"
    page = environment.get_template("template.html").render(
        **content(settings, folder, ledger_path)
    )
    (folder / "report.html").write_text(page, "utf-8")


def content(settings: Settings, folder: Path, ledger_path: Path) -> dict[str, Any]:
    """Everything that the template shows."""
    table = results.read_runs(folder)
    cells, gains = results.read_cells(folder), results.read_gains(folder)
    costs = pd.read_csv(
        folder / "cost.csv", dtype=dict.fromkeys(("subset", "block", "control"), str)
    )
    costs = costs.fillna({"block": "", "device": "", "control": ""})
    summaries = evidence.read(folder / evidence.SUMMARIES)
    known = predictions.read(folder).belonging(summaries)
    numbers = ledger.read_ledger(ledger_path)
    return {
        "profile": settings.profile,
        "comparable": settings.profile == published.COMPARABLE_PROFILE,
        "written": datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        "unfinished": tables.unfinished(settings, table),
        "datasets": [
            dataset_section(settings, folder, name, table, cells, gains, summaries, known)
            for name in tables.begun(settings, table)
        ],
        "headline": ledger.headline(numbers),
        "copies": ledger.copies(numbers),
        "intervals": tables.INTERVALS,
        "controls_explained": tables.CONTROLS_EXPLAINED,
        "ledger": [
            {"place": place, "headline": ledger.headline(rows), "rows": ledger.shown_rows(rows)}
            for place, rows in numbers.groupby("place", sort=False)
        ],
        "contradictions": published.document()["contradictions"],
        "protocol": protocol_rows(settings),
        "runs": run_rows(table),
        "trainings": len(summaries),
        "trained": tables.span(
            sum(summary["provenance"]["duration_seconds"] for summary in summaries) / 3600
        ),
        "cost_text": tables.cost_lines(table, summaries, costs),
        "costs": tables.cost_rows(settings, costs),
        "commits": sorted({str(commit) for commit in table["git_commit"]}),
        "devices": sorted(set(table["device"])),
    }


def dataset_section(
    settings: Settings,
    folder: Path,
    name: str,
    table: pd.DataFrame,
    cells: pd.DataFrame,
    gains: pd.DataFrame,
    summaries: list[dict[str, Any]],
    known: Predictions,
) -> dict[str, Any]:
    """Text, tables and figures of one dataset."""
    facts = results.read_facts(folder)[name]
    own = gains[gains["dataset"] == name].sort_values("training_images")
    return {
        "name": name,
        "facts": facts,
        "headline": None if own.empty else headline(own.iloc[0].to_dict(), facts),
        "warnings": warnings(facts),
        "counts": [
            {"Class": label} | {PART_NAMES[part]: str(number) for part, number in count.items()}
            for label, count in facts["counts"].items()
        ],
        "sweep": tables.sweep_rows(settings, name, table, gains),
        "new": tables.new_rows(name, table, gains),
        "steps": steps_sentence(settings, name),
        "metrics": tables.metric_rows(name, cells),
        "ablations": tables.ablation_rows(settings, name, table),
        "distillation": tables.distillation_rows(settings, name, table),
        "controls": tables.control_rows(settings, name, table, known),
        "trials": tables.trial_rows(settings, name, summaries),
        "kept": tables.KEPT[settings.parameters.student.keep],
        "rivals": tables.rival_rows(settings, name, table),
        "guessing": tables.guessing(facts),
        "figures": {
            figure: {
                "caption": caption(figure),
                "light": embedded(folder / "figures" / name / f"{figure}.svg"),
                "dark": embedded(folder / "figures" / name / f"{figure}.dark.svg"),
            }
            for figure in plan.figures(settings, name)
            if (folder / "figures" / name / f"{figure}.svg").exists()
        },
    }


def headline(gain: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """The gain on the fewest images, in the metric that fits the test classes, and the other beside it."""
    metrics = [
        {
            "metric": "accuracy",
            "student": gain["student"],
            "hdkd": gain["hdkd"],
            "gain": gain["gain"],
            "low": gain["gain_low"],
            "high": gain["gain_high"],
        },
        {
            "metric": "balanced accuracy",
            "student": gain["student_balanced"],
            "hdkd": gain["hdkd_balanced"],
            "gain": gain["balanced_gain"],
            "low": gain["balanced_low"],
            "high": gain["balanced_high"],
        },
    ]
    unbalanced = tables.is_unbalanced(facts)
    first, second = reversed(metrics) if unbalanced else metrics
    return {
        **gain,
        "first": first,
        "second": second,
        "unbalanced": unbalanced,
        "new_same": pd.isna(gain["new_gain"]) or gain["new_gain"] == gain["gain"],
        "disagreement": tables.disagreement(gain),
    }


def steps_sentence(settings: Settings, name: str) -> str:
    """Whether rows of the sweep differ in more than their images, in a sentence."""
    subsets = map(str, settings.dataset(name).subsets)
    trainings = {settings.training("student", subset, name) for subset in subsets}
    training = trainings.pop()
    if not trainings and (images := training.epoch_images):
        # A single image left over joins the batch before it.
        batches = images // training.batch_size + (images % training.batch_size > 1)
        return (
            f"Every student takes {training.epochs * batches} steps, however many images it has; an epoch "
            f"counts {images} images."
        )
    return "Students on more images take more steps an epoch, so the rows differ in compute as well as in data."


def caption(figure: str) -> str:
    """The caption of a figure, which Snakemake's own report shows too."""
    return (Path(__file__).parent / "captions" / f"{figure}.rst").read_text("utf-8").strip()


def warnings(facts: dict[str, Any]) -> list[str]:
    """What a reader must know about the data, one sentence each."""
    found = []
    test = sum(count["test"] for count in facts["counts"].values())
    if sentence := tables.leaks_sentence(facts):
        found.append(sentence)
    if facts["test_images_in_training"]:
        found.append(
            f"{facts['test_images_in_training']} of the {test} test images are, as prepared, pixel for "
            "pixel copies of a training image."
        )
    if facts["repeated_training_images"]:
        found.append(f"{facts['repeated_training_images']} training images repeat another one.")
    if facts.get("images_in_two_classes"):
        found.append(
            f"{facts['images_in_two_classes']} images stand in more than one class, pixel for pixel as "
            "prepared: for each, one of the labels is wrong."
        )
    found += [f"Count differs from the published one. {text}." for text in facts["differences"]]
    if facts["published_size"]:
        size = "×".join(map(str, facts["published_size"]))
        if facts["native_sizes"].keys() != {size}:
            common = ", ".join(facts["native_sizes"])
            found.append(f"Images were published at {size} pixels; this copy has {common}.")
    if facts["native_size_count"] == 1 and not facts["published_size"] and not facts["synthetic"]:
        found.append(
            f"All images of this copy have the same size, {next(iter(facts['native_sizes']))}: "
            "it may have been resized before."
        )
    if facts["left_out"]:
        found.append(
            f"Left out, because they are no usable images: {', '.join(facts['left_out'])}."
        )
    return found


def protocol_rows(settings: Settings) -> list[dict[str, str]]:
    """Where paper and released code differ, and what this study did."""
    rows = []
    for point in published.document()["protocol"]:
        here = point.get("here")
        if point["key"]:
            section, _, name = point["key"].partition(".")
            value = getattr(settings.parameters, section)
            value = getattr(value, name) if name else value
            here = f"{shown_value(plain(value))} ({point['key']})"
        rows.append(
            {
                "Point": point["point"],
                "Paper": point["paper"],
                "Released code": point["released"],
                "This study": str(here),
            }
        )
    return rows


def shown_value(value: Any) -> str:
    """A parameter as a table shows it: ``4, 3, 2``, or ``rotation 180, blur none``."""
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {shown_value(v)}" for name, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(shown_value, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def run_rows(table: pd.DataFrame) -> list[dict[str, str]]:
    """One row per training, for tracing every number."""
    return [
        {
            "Run folder": row.run,
            "Accuracy (%)": f"{100 * row.accuracy:.2f}",
            "Best epoch (%)": "–"
            if pd.isna(row.best_epoch)
            else f"{100 * row.best_epoch_accuracy:.2f} (epoch {row.best_epoch:.0f})",
            "Seconds": f"{row.duration_seconds:.0f}",
            "Device": row.device,
            "MLflow run": row.mlflow_run if isinstance(row.mlflow_run, str) else "–",
        }
        for row in table.itertuples()
    ]


def embedded(path: Path) -> str:
    """An SVG file as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()
