"""The report: one HTML page that needs no network, made from tables, figures and run folders."""

import base64
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from hdkd import config, templates
from hdkd.config import Local, Settings, plain
from hdkd.paper import ledger, published
from hdkd.report import drawing, figures, ranks
from hdkd.report.tables import columns, formats, methods, sentences, tables
from hdkd.report.tables.columns import shown
from hdkd.report.tables.numbers import Numbers
from hdkd.study.names import NETWORKS

MOST_RUNS = 1000  # rows of the table of all runs: a page with more opens slowly
PART_NAMES = {"train": "Training", "validation": "Validation", "test": "Test"}


def write_page(settings: Settings, folder: Path, ledger_path: Path) -> None:
    """Write ``report.html`` into ``folder``, beside the tables and figures that it is made of."""
    numbers = Numbers.read(settings, folder)
    rows = ledger.read_ledger(ledger_path)
    content = tables.of_study(numbers) | {
        "comparable": numbers.are_comparable,
        "of_the_paper": not all(
            isinstance(settings.dataset(name).source, Local) for name in settings.study
        ),
        "written": datetime.now(UTC).strftime("%d %B %Y, %H:%M UTC"),
        "contradictions": published.document()["contradictions"],
        "protocol": protocol_rows(settings),
        "runs": shown(numbers.runs, columns.RUNS) if len(numbers.runs) <= MOST_RUNS else [],
        "run_count": sentences.counted(len(numbers.summaries)),
        "trained": formats.span(sentences.hours_of(numbers.summaries)),
        "commits": sorted(set(numbers.runs["git_commit"]) - {""}),
        "devices": sorted(set(numbers.runs["device"])),
        "headline": ledger.headline(rows),
        "copies": ledger.copies(rows),
        "ledger": ledger.by_place(rows),
        "methods": methods_of(numbers),
    }
    for dataset in content["datasets"]:
        name = dataset["name"]
        own = {"figures": figures_of(settings, name, folder / "figures" / name)}
        dataset.update(of_dataset(numbers, name) | own)
    page = templates.render(Path(__file__).with_name("page.html"), **content)
    (folder / "report.html").write_text(page, "utf-8")


def of_dataset(numbers: Numbers, name: str) -> dict[str, Any]:
    """What only the page says of a dataset."""
    facts = numbers.facts[name]
    gains = numbers.gains[numbers.gains["dataset"] == name].sort_values("training_images")
    return {
        "headline": None if gains.empty else headline(gains.iloc[0].to_dict(), facts),
        "warnings": sentences.warnings(numbers.settings, facts),
        "steps": sentences.steps(numbers.settings, name),
        "counts": [
            {"Class": label} | {PART_NAMES[part]: str(number) for part, number in count.items()}
            for label, count in facts["counts"].items()
        ],
    }


def headline(gain: dict[str, Any], facts: dict[str, Any]) -> dict[str, Any]:
    """The gain on the fewest images in the metric that fits the test classes, and in the other.

    Accuracy is mostly about one class where that has more than half of the test images.
    """
    metrics = [
        {
            "metric": "accuracy", "student": gain["student"], "hdkd": gain["hdkd"],
            "gain": gain["gain"], "low": gain["gain_low"], "high": gain["gain_high"],
        },
        {
            "metric": "balanced accuracy",
            "student": gain["student_balanced"], "hdkd": gain["hdkd_balanced"],
            "gain": gain["balanced_gain"],
            "low": gain["balanced_low"], "high": gain["balanced_high"],
        },
    ]  # fmt: skip
    tests = sentences.tests(facts).values()
    unbalanced = max(tests) > sum(tests) / 2
    first, second = reversed(metrics) if unbalanced else metrics
    return {
        **gain,
        "first": first,
        "second": second,
        "unbalanced": unbalanced,
        "leaks_change_nothing": pd.isna(gain["new_gain"]) or gain["new_gain"] == gain["gain"],
        "disagreement": sentences.disagreement(gain),
    }


def methods_of(numbers: Numbers) -> dict[str, Any] | None:
    """The methods of a study in sentences, and their ranks in figures; ``None`` without any."""
    own = numbers.runs[numbers.runs["group"] == "methods"]
    if own.empty:
        return None
    diagrams = [
        {"student": NETWORKS[role]}
        | {
            theme: data_uri(drawing.drawn(partial(ranks.draw, found), theme))
            for theme in drawing.SUFFIXES
        }
        for role in NETWORKS
        if (found := methods.ranks(numbers.runs, role))
    ]
    described = config.methods()
    names = [name for name in described if name in set(own["method"])]
    return {
        "diagrams": diagrams,
        "described": [described[name] for name in names],
        "left_out": config.LEFT_OUT,
    }


def figures_of(settings: Settings, name: str, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The figures that are in ``folder``, by the section of the page that shows them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for spec in figures.of_study(settings, name):
        if (folder / f"{spec.name}.svg").exists():
            figure = {
                "caption": spec.caption.read_text("utf-8").strip(),
                "wide": spec.wide,
                "light": embedded(folder / f"{spec.name}.svg"),
                "dark": embedded(folder / f"{spec.name}.dark.svg"),
            }
            found.setdefault(spec.section, []).append(figure)
    return found


def embedded(path: Path) -> str:
    """An SVG file as a data URI."""
    return data_uri(path.read_bytes())


def data_uri(svg: bytes) -> str:
    """SVG as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def protocol_rows(settings: Settings) -> list[dict[str, str]]:
    """Where paper and released code differ, and what this study did."""
    rows = []
    for point in published.document()["protocol"]:
        here = point.get("here")
        if point["key"]:
            section, _, name = point["key"].partition(".")
            value = getattr(settings.parameters, section)
            value = plain(getattr(value, name) if name else value)
            here = f"{formats.parameter(value)} ({point['key']})"
        rows.append(
            {
                "Point": point["point"],
                "Paper": point["paper"],
                "Released code": point["released"],
                "This study": str(here),
            }
        )
    return rows
