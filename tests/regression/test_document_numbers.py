"""Every result, interval and p in README and the pages of results is in a committed table."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from tables import tables_in

from hdkd.runs import evidence
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
    # Ends of intervals have a test of their own.
    signed = r"(?<!to [-+])(?<=[-+±])(\d+\.\d+)(?!\d| to)"
    named = r"(?<=± )(\d+\.\d+)|(?<![\d.])(\d+\.\d+)(?= %| points| ±)"
    results = re.findall(f"{signed}|{named}", text)
    shown = ["".join(groups) for groups in results]
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


def test_most_of_the_gain_on_few_images_of_ham10000_is_in_the_largest_class():
    """In percentage points of all test images, and melanomas as how many are found."""
    folder = ROOT / "reports/pilot"
    recalls = pd.read_csv(folder / "recalls.csv", keep_default_na=False)
    own = recalls[(recalls["dataset"] == "ham10000") & (recalls["group"] == "students")]
    images = {
        name: parts["test"] for name, parts in evidence.facts("pilot")["ham10000"]["counts"].items()
    }
    found = own.set_index(["subset", "role", "class"])["recall"].astype(float)
    text = (ROOT / "docs/pilot.md").read_text("utf-8")
    for subset in ("350", "700", "991"):
        gain = (found[subset, "hdkd", "nv"] - found[subset, "student", "nv"]) * images["nv"]
        assert f"{100 * gain / sum(images.values()):.2f} of " in text
    for subset in ("350", "700", "991", "all"):
        for role in ("hdkd", "student"):
            assert f" {found[subset, role, 'mel'] * images['mel']:.1f}" in text
