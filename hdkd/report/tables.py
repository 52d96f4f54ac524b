"""The tables of the report, as CSV for programs and Markdown for people."""

from pathlib import Path
from typing import Any

from hdkd import templates
from hdkd.config import Settings
from hdkd.report import frames, sections
from hdkd.report.numbers import Numbers
from hdkd.runs import predictions


def write_tables(
    settings: Settings,
    folder: Path,
    summaries: list[dict[str, Any]],
    facts: dict[str, dict[str, Any]],
) -> None:
    """Write every table of a study into ``folder`` (see ``plan.TABLES``).

    ``summaries`` are those of its finished trainings, ``facts`` what is known of each dataset.
    Predictions are those that are there (``predictions.update``): without them intervals are over
    seeds alone, or there are none.
    """
    numbers = Numbers.compute(settings, summaries, facts, predictions.read(folder))
    numbers.write(folder)
    (folder / "README.md").write_text(markdown(numbers), "utf-8")


def markdown(numbers: Numbers) -> str:
    """All tables on one page of Markdown."""
    datasets = [
        sections.of_dataset(numbers, name)
        | {"accuracies_without_leaks": frames.has_leaks(numbers.of(name))}
        for name in numbers.begun
    ]
    template = Path(__file__).with_name("tables.md")
    return templates.render(template, datasets=datasets, **sections.of_study(numbers))
