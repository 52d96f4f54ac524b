"""Every row of the committed ledger follows from committed summaries, published values and code."""

from pathlib import Path

import pandas as pd
import pytest

from hdkd import config
from hdkd.paper import ledger, published
from hdkd.runs import evidence
from hdkd.study import plan
from project import ROOT
from small import summary_of

RECORDED = ROOT / "tests/regression/verdicts.csv"


@pytest.fixture(scope="module")
def shown() -> pd.DataFrame:
    return ledger.read_ledger(ROOT / "reports/ledger.csv").set_index("row")


def test_every_row_is_the_one_that_the_evidence_gives(derived, shown):
    wrong = [
        f"{row}: {column} is {shown.loc[row, column]!r} in reports/ledger.csv, "
        f"and {value!r} by the evidence"
        for row, values in derived.set_index("row").to_dict("index").items()
        if row in shown.index
        for column, value in values.items()
        if shown.loc[row, column] != value
    ]
    assert not wrong, "\n".join(wrong)


def test_the_ledger_has_each_published_value_once_and_nothing_else(shown):
    assert list(shown.index) == [value.row for value in published.values()]
    assert shown.index.is_unique


def test_no_verdict_has_fallen(derived):
    now = derived.set_index("row")["verdict"]
    held = pd.read_csv(RECORDED).set_index("row")["verdict"]
    fallen = [
        f"{row}: {verdict} is recorded, {now.get(row, 'no row')} is what the evidence gives"
        for row, verdict in held.items()
        if now.get(row) != verdict
    ]
    assert not fallen, "\n".join(fallen)


def test_every_verdict_that_could_fall_is_recorded(derived):
    good = derived[derived["verdict"].isin(["exact", "reproduced"])]
    assert sorted(good["row"]) == sorted(pd.read_csv(RECORDED)["row"])


def test_every_number_that_needs_no_training_is_measured(derived):
    structural = ~derived["row"].str.endswith((" accuracy", " gain", " ordering"))
    assert set(derived[structural]["verdict"]) == {"exact", "differs"}


def test_every_structural_difference_is_explained(derived):
    structural = ~derived["row"].str.endswith((" accuracy", " gain", " ordering"))
    differs = derived[structural & (derived["verdict"] == "differs")]
    assert list(differs[differs["note"] == ""]["row"]) == []


def test_the_ledger_for_people_is_that_table(shown):
    text = (ROOT / "reports/ledger.md").read_text("utf-8")
    assert text == ledger.markdown(shown.reset_index())


def test_no_number_is_reproduced_by_a_run_of_another_profile(derived):
    claimed = derived[derived["verdict"] == "reproduced"]
    profiles = {run.split("/")[1] for runs in claimed["runs"] for run in runs.split()}
    assert profiles <= {published.COMPARABLE_PROFILE}


@pytest.mark.parametrize("profile", plan.LEDGER_PROFILES)
def test_summaries_agree_with_themselves(committed, profile, monkeypatch):
    monkeypatch.chdir(committed)
    wrong = []
    for summary in evidence.finished_summaries(profile):
        name = summary.run.folder.as_posix()
        matrix = summary.final.confusion_matrix
        right = sum(row[k] for k, row in enumerate(matrix))
        images = sum(map(sum, matrix))
        if images != summary.test_images:
            wrong.append(f"{name}: {images} images in its matrix, {summary.test_images} tested")
        if abs(summary.final.accuracy - right / images) > 1e-9:
            wrong.append(f"{name}: its accuracy is not that of its confusion matrix")
        best = summary.best_epoch  # none where test images were not watched
        if best and best.accuracy < summary.final.accuracy:
            wrong.append(f"{name}: its best epoch is worse than its last")
    assert not wrong, "\n".join(wrong)


def test_the_ledger_names_the_first_of_many_runs_that_are_left_out(derived):
    text = ledger.markdown(derived, [f"run {number}" for number in range(60)])
    assert "- run 49\n- and 10 more\n" in text
    assert "run 50" not in text
    assert "more\n" not in ledger.markdown(derived, ["run 0"]).partition("## ")[0]


def test_a_number_that_the_paper_prints_several_times_counts_once(derived):
    rows = derived[derived["what"] == "Teacher (MBCSA, stride 2): parameters"].copy()
    assert len(rows) == 4
    assert ledger.different(rows) == "1: 1 exact"
    rows.loc[rows.index[1], "verdict"] = "differs"
    assert ledger.different(rows) == "1: 1 differs"


def test_without_numbers_of_networks_and_data_there_are_none_to_count(derived):
    assert ledger.different(derived[derived["verdict"] == "not run"]) == ""


def test_networks_that_the_paper_lacks_are_left_alone(parameters, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    section = {"subsets": {"brain_tumor": [200]}, "vit": ["alone"], "hybrid": ["alone"]}
    parameters["methods"]["paper"] = section
    settings = config.resolve(parameters | {"profile": "paper"})
    runs = plan.method_runs(settings, "brain_tumor")
    assert {run.role for run in runs} == {"hybrid", "vit"}
    summaries = [
        summary_of(run, hyperparameters=plan.hyperparameters(settings, run)) for run in runs
    ]
    Path("reports/paper").mkdir(parents=True)
    evidence.write(summaries, Path("reports/paper") / evidence.SUMMARIES)
    table, left_out = ledger.write_ledger(parameters, tmp_path)
    assert left_out == []
    assert (table["runs"] == "").all()
