"""Results, intervals and p in README and the pages of results are those of committed tables."""

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


# What a page says of a gain, as “10.48 points behind (8.55 to 12.41, p below 0.001)”.
CLAIM = re.compile(rf"\(({NUMBER}) to ({NUMBER})(?:[^()]*?\bp (below )?(0\.\d+|1\b))?")


def claims_in(text: str) -> list[str]:
    """Each number with the interval that follows it, and the p in that parenthesis."""
    prose = "\n".join(line for line in text.splitlines() if not re.match(r"\| .*\d \|$", line))
    found = []
    for claim in CLAIM.finditer(prose):
        number = re.findall(r"\d+\.\d+", prose[: claim.start()])[-1]
        found.append(f"{number} {claim[0]}")
    return found


def rows_of_the_reports() -> list[tuple[set[tuple[float, float]], set[float]]]:
    """The intervals, either way round, and all numbers of each row and each paragraph."""
    paths = [ROOT / "reports/ledger.md", *ROOT.glob("pretrained/*/README.md")]
    paths += [ROOT / "reports" / profile / "README.md" for profile in PROFILES]
    rows = []
    for block in "\n\n".join(path.read_text("utf-8") for path in paths).split("\n\n"):
        for row in block.splitlines() if "|" in block else [" ".join(block.split())]:
            intervals = {
                each for low, high in intervals_in(row) for each in ((low, high), (-high, -low))
            }
            numbers = {float(number) for number in re.findall(r"\d+(?:\.\d+)?(?:e-\d+)?", row)}
            rows.append((intervals, numbers))
    return rows


def is_of_a_row(claim: str, rows: list[tuple[set[tuple[float, float]], set[float]]]) -> bool:
    number, _, rest = claim.partition(" ")
    found = CLAIM.match(rest)
    assert found
    low, high, below, p = found.groups()
    numbers = [
        numbers
        for intervals, numbers in rows
        if (float(low), float(high)) in intervals and float(number) in numbers
    ]
    if below:
        return any(min(each) < float(p) for each in numbers)
    return any(not p or float(p) in each for each in numbers)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_gain_its_interval_and_its_p_are_of_one_row(document: Path):
    claims = claims_in(document.read_text("utf-8"))
    rows = rows_of_the_reports()
    assert [claim for claim in claims if not is_of_a_row(claim, rows)] == []
    assert len(claims) > 10 or document.name == "reduced.md"


@pytest.mark.parametrize(
    "claim", ["6.61 (5.26 to 7.98", "6.62 (5.26 to 7.97", "0.32 (-1.25 to 1.89, p 0.11"]
)
def test_a_number_of_another_row_would_be_found(claim):
    assert not is_of_a_row(claim, rows_of_the_reports())


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


SUBSETS = ("350", "700", "991", "all")


def test_what_two_classes_of_ham10000_have_of_its_gains():
    """In percentage points of all test images, and melanomas as how many are found."""
    folder = ROOT / "reports/pilot"
    recalls = pd.read_csv(folder / "recalls.csv", keep_default_na=False)
    own = recalls[(recalls["dataset"] == "ham10000") & (recalls["group"] == "students")]
    images = {
        name: parts["test"] for name, parts in evidence.facts("pilot")["ham10000"]["counts"].items()
    }
    found = own.set_index(["subset", "role", "class"])["recall"].astype(float)
    text = " ".join((ROOT / "docs/pilot.md").read_text("utf-8").split())
    shares = [
        100 * (found[subset, "hdkd", "nv"] - found[subset, "student", "nv"]) * images["nv"]
        for subset in SUBSETS[:3]
    ]
    first, second, third = (share / sum(images.values()) for share in shares)
    assert (
        f"makes {first:.2f} of 5.22 points, {second:.2f} of 6.01, and {third:.2f} of 4.52" in text
    )
    melanomas = {
        role: [f"{found[subset, role, 'mel'] * images['mel']:.1f}" for subset in SUBSETS]
        for role in ("hdkd", "student")
    }
    few, alone = (", ".join(each[:2]) + f" and {each[2]}" for each in melanomas.values())
    assert f"HDKD finds {few} (means over seeds), the student alone {alone}" in text
    assert f"with all images {melanomas['hdkd'][3]} and {melanomas['student'][3]}" in text
