"""Every result, interval and p in README and the pages of results is in a committed table."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from tables import tables_in

from project import DOCUMENTS, PROFILES, ROOT


def numbers_of_the_reports() -> list[float]:
    """Accuracies in percent and gains in points, from every committed table and model."""
    found = []
    for profile in PROFILES:
        folder = ROOT / "reports" / profile
        gains = pd.read_csv(folder / "gains.csv")
        cells = pd.read_csv(folder / "results.csv")
        found += [*gains["gain"], *gains["gain_sd"].dropna(), *(100 * gains["student"])]
        found += [*(100 * gains["hdkd"]), *(100 * cells["accuracy"])]
        table = (folder / "README.md").read_text("utf-8")
        found += [float(number) for number in re.findall(r"[-+](\d+\.\d+) ±", table)]
        found += [
            float(number) for number in re.findall(r"(?:± |right for |balanced )(\d+\.\d+)", table)
        ]
        found += [float(number) for number in re.findall(r"\| [-+]?(\d+\.\d+) ", table)]
    ledger = (ROOT / "reports/ledger.md").read_text("utf-8")
    found += [float(number) for number in re.findall(r"\| [-+]?(\d+\.\d+) *[,(|]", ledger)]
    for path in ROOT.glob("pretrained/*/summary.json"):
        summary = json.loads(path.read_text("utf-8"))
        for metrics in (summary["final"], summary["without_leaks"]):
            found += [100 * metrics["accuracy"], 100 * metrics["balanced_accuracy"]]
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_result_in_a_document_is_in_a_table(document: Path):
    text = document.read_text("utf-8")
    results = re.findall(r"(?<![\d.])(\d+\.\d+)(?= %| points| ±)|(?<=± )(\d+\.\d+)", text)
    shown = [first or second for first, second in results]
    assert shown, "it shows no result"
    known = numbers_of_the_reports()
    for number in shown:
        digits = len(number.partition(".")[2])
        assert any(f"{abs(value):.{digits}f}" == number for value in known), number


NUMBER = r"[-+]?\d+\.\d+"


def intervals_in(text: str) -> list[tuple[float, float]]:
    return [
        (float(low), float(high)) for low, high in re.findall(f"({NUMBER}) to ({NUMBER})", text)
    ]


def intervals_of_the_reports() -> set[tuple[float, float]]:
    """From every committed table, the ledger and the models' cards; of losses, too."""
    paths = [ROOT / "reports/ledger.md", *ROOT.glob("pretrained/*/README.md")]
    paths += [ROOT / "reports" / profile / "README.md" for profile in PROFILES]
    found = [each for path in paths for each in intervals_in(path.read_text("utf-8"))]
    return {*found, *((-high, -low) for low, high in found)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_interval_in_a_document_is_in_a_table(document: Path):
    shown = intervals_in(document.read_text("utf-8"))
    assert shown, "it shows no interval"
    known = intervals_of_the_reports()
    assert [each for each in shown if each not in known] == []


def p_values() -> set[str]:
    """All p values of the reports and the ledger, as they are printed and rounded to two digits."""
    paths = [ROOT / "reports" / profile / "README.md" for profile in PROFILES]
    found: set[float] = set()
    for path in paths:
        for titles, *rows in tables_in(path.read_text("utf-8")):
            places = [k for k, title in enumerate(titles) if re.match(r"(Its )?p\b", title)]
            cells = [row[k] for row in rows for k in places]
            found |= {float(cell) for cell in cells if re.fullmatch(r"[\d.]+", cell)}
    return {f"{value:.{digits}f}" for value in found for digits in (2, 3, 4)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_p_value_of_the_prose_is_in_no_table(document: Path):
    """It catches those that are left over from other runs, but not those of another comparison."""
    lines = document.read_text("utf-8").splitlines()
    prose = "\n".join(line for line in lines if not re.match(r"\| .*\d \|$", line))
    clauses = re.findall(r"\bp (?:at most |of it |about |is )?((?:0\.\d+(?:, | and |$)?)+)", prose)
    shown = [number for clause in clauses for number in re.findall(r"0\.\d+", clause)]
    known = p_values()
    assert [number for number in shown if number not in known] == []
    assert len(shown) > 10 or document.name == "reduced.md", "its prose has no p"
