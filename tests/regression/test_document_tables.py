"""The tables of README and the pages of results, cell by cell."""

import json
import math
from collections.abc import Iterator

import pandas as pd
from tables import tables_in

from hdkd.study.names import model_name
from project import DOCUMENTS, ROOT

TITLES = {"Brain Tumor MRI": "brain_tumor", "HAM-10000": "ham10000"}
# Which columns of gains.csv the columns of a sweep have, in their order; a p follows in some.
SWEEP = {
    "gain (points)": ("gain", "gain_low", "gain_high", "p_value"),
    "gain in balanced accuracy": ("balanced_gain", "balanced_low", "balanced_high", "balanced_p"),
    "gain without leaks": ("new_gain", "new_low", "new_high", "new_p"),
    "balanced, without leaks": (
        "new_balanced_gain", "new_balanced_low", "new_balanced_high", "new_balanced_p",
    ),
}  # fmt: skip


def prints(cell: str, value: float) -> bool:
    """Whether a cell is ``value`` as it is printed, with as many digits."""
    if cell.startswith("< "):
        return value < float(cell[2:])
    if cell == "–":
        return math.isnan(value)
    half = 0.5 * 10 ** -len(cell.partition(".")[2])
    return abs(value - float(cell)) <= half + 5e-6 * abs(value)  # the file has six digits


def sweeps() -> Iterator[tuple[str, dict[str, str], list[str], list[str]]]:
    """Each row of a sweep in a document: its profile, leading cells, and both rows from there."""
    for document in DOCUMENTS:
        for titles, *rows in tables_in(document.read_text("utf-8")):
            if "gain (points)" in titles and "student alone" in titles:
                first = titles.index("gain (points)")
                for row in rows:
                    lead = dict(zip(titles[:first], row[:first], strict=True))
                    default = "pilot" if "dataset" in lead else "reduced"
                    profile = lead.get("profile", default).strip("`")
                    yield profile, lead, titles[first:], row[first:]


def test_every_cell_of_a_sweep_is_that_of_the_gains():
    wrong, seen = [], 0
    for profile, lead, titles, cells in sweeps():
        gains = pd.read_csv(ROOT / "reports" / profile / "gains.csv")
        dataset = TITLES[lead.get("dataset", "Brain Tumor MRI")]
        own = gains[gains["dataset"] == dataset].set_index("training_images")
        gain = own.loc[int(lead["training images"])]
        where = f"{profile}, {dataset}, {lead['training images']} images"
        shares = {"student alone": 100 * gain["student"], "HDKD": 100 * gain["hdkd"]}
        wrong += [f"{where}: {n}" for n, v in shares.items() if not prints(lead[n][:-2], v)]
        names: tuple[str, ...] = ()
        for title, cell in zip(titles, cells, strict=True):
            names = SWEEP.get(title, names)
            if title == "95 % interval":
                ends = cell.split(" to ") if cell != "–" else ["–", "–"]
                values = gain[list(names[1:3])]
                fits = all(prints(end, value) for end, value in zip(ends, values, strict=True))
            else:
                name = {"p": names[3], "seeds": "seeds"}.get(title, names[0])
                fits = prints(cell, float(gain[name]))
            seen += 1
            if not fits:
                wrong.append(f"{where}: {cell} of {title}")
    assert seen > 180, "a table of README, docs/pilot.md or docs/reduced.md is not read"
    assert wrong == []


def of_report(profile: str, dataset: str, section: str) -> dict[str, list[str]]:
    """The rows of a table of a report, by their first cell, with the titles as ``Model``."""
    text = (ROOT / "reports" / profile / "README.md").read_text("utf-8")
    title = next(title for title, name in TITLES.items() if name == dataset)
    own = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    [table] = tables_in(own.partition(f"\n### {section}\n")[2].partition("\n### ")[0])
    return {row[0]: row for row in table}


# The report's columns, in the order of those of docs/pilot.md.
OF_BASELINES = [
    "Accuracy (%)", "Without leaks (%)", "Balanced (%)", "HDKD's gain", "95 % interval", "p (Holm)",
    "Balanced gain", "Its 95 % interval", "Its p (Holm)", "p of it (Holm)", "Its p without leaks",
    "Seeds",
]  # fmt: skip


def test_every_cell_of_the_baselines_is_that_of_the_report():
    text = (ROOT / "docs/pilot.md").read_text("utf-8")
    tables = [table for table in tables_in(text) if table[0][0] == "network"]
    for dataset, (titles, *rows) in zip(TITLES.values(), tables, strict=True):
        report = of_report("pilot", dataset, "Baselines")
        file = ROOT / "reports/pilot/chosen" / f"{dataset}.json"
        chosen = json.loads(file.read_text("utf-8"))["methods"]
        rates = {model_name(name): each["chosen"]["lr"] for name, each in chosen.items()}
        leaks = {"Without leaks (%)", "p of it (Holm)", "Its p without leaks"}
        columns = [name for name in OF_BASELINES if "without leaks" in titles or name not in leaks]
        assert {row[0] for row in rows} == rates.keys()
        for name, parameters, macs, rate, *cells in rows:
            there = dict(zip(report["Model"], report[name], strict=True))
            assert parameters == f"{int(there['Parameters'].replace(',', '')) / 1e6:.2f}"
            assert macs == there["MACs (M)"]
            assert float(rate) == rates[name]
            expected = [there[column].partition(" ± ")[0] for column in columns]
            assert [cell.removesuffix(" %") for cell in cells] == expected, name
