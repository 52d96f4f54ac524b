"""The committed reports follow from the committed summaries."""

import difflib
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from hdkd import config
from hdkd.files import CHECKSUMS
from hdkd.remote.bundle import unpack_bundle
from hdkd.report import drawing, figures, page
from hdkd.report.tables.tables import write_tables
from hdkd.runs import evidence, predictions
from hdkd.runs.folder import RunFolder
from hdkd.runs.predictions import PREDICTIONS
from hdkd.study import plan
from project import PROFILES, ROOT

OF_IMAGES = {"samples", "smote"}


def settings_of(study: str) -> config.Settings:
    return config.load(ROOT / "params.yaml", study)


@pytest.mark.parametrize("profile", PROFILES)
def test_tables_are_those_of_the_summaries(profile, committed, tmp_path, monkeypatch):
    monkeypatch.chdir(committed)
    shown = committed / "reports" / profile
    settings = settings_of(profile)
    summaries = evidence.read(shown / evidence.SUMMARIES)
    for name in (PREDICTIONS, CHECKSUMS):
        shutil.copy(shown / name, tmp_path)
    write_tables(settings, tmp_path, summaries, evidence.facts(profile))
    curves = [f"accuracy/{dataset}.csv" for dataset in settings.study]
    for name in [*(name for name in plan.TABLES if name not in (PREDICTIONS, CHECKSUMS)), *curves]:
        then = (shown / name).read_text("utf-8").splitlines()
        now = (tmp_path / name).read_text("utf-8").splitlines()
        changes = list(difflib.unified_diff(then, now, "committed", "derived", n=0, lineterm=""))
        assert not changes, f"reports/{profile}/{name}\n" + "\n".join(changes[:12])


@pytest.mark.parametrize(("most", "shown"), [(1000, True), (5, False)])
def test_the_page_has_a_row_for_each_run_of_all_but_large_studies(
    most, shown, committed, tmp_path, monkeypatch
):
    monkeypatch.chdir(committed)
    monkeypatch.setattr(page, "MOST_RUNS", most)
    shutil.copytree(committed / "reports/reduced", tmp_path / "reduced")
    page.write_page(settings_of("reduced"), tmp_path / "reduced", ROOT / "reports/ledger.csv")
    text = (tmp_path / "reduced/report.html").read_text("utf-8")
    runs = pd.read_csv(tmp_path / "reduced/runs.csv")["run"]
    assert len(runs) > 5
    assert all((f"<td>{run}</td>" in text) == shown for run in runs)
    assert ("<code>runs.csv</code> beside this page" in text) != shown


@pytest.mark.parametrize("profile", PROFILES)
def test_no_axis_of_the_figures_shows_raw_tex(profile, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    settings, facts = settings_of(profile), evidence.facts(profile)["brain_tumor"]
    summaries = evidence.read(ROOT / "reports" / profile / evidence.SUMMARIES)
    data = drawing.FigureData(settings, "brain_tumor", summaries, facts)
    drawn = []
    for spec in figures.of_study(settings, "brain_tumor"):
        if not (spec.of_folders or spec.name in OF_IMAGES) and spec.needs(data):
            drawing.write_figure(spec, data, "light", tmp_path / "figure.svg")
            assert "mathdefault" not in (tmp_path / "figure.svg").read_text("utf-8"), spec.name
            drawn.append(spec.name)
    assert ("accuracy" in drawn) == data.has_pairs


def test_figures_that_need_no_run_folder_show_all_runs_without_one(committed, monkeypatch):
    monkeypatch.chdir(committed)
    settings, facts = settings_of("pilot"), evidence.facts("pilot")["brain_tumor"]
    summaries = evidence.read(committed / "reports/pilot" / evidence.SUMMARIES)
    folder = committed / "reports/pilot/figures/brain_tumor"
    folder.mkdir(parents=True)
    (folder / "learning_curves.svg").write_text("of runs that are gone")
    own = [each for each in summaries if each.run.dataset == "brain_tumor"]
    drawing.write_figures(settings, "brain_tumor", folder, own, facts)
    shown = {"ablations", "accuracy", "baselines", "confusion", "distillation", "methods"}
    assert {path.name.partition(".")[0] for path in folder.iterdir()} == shown
    text = (folder / "baselines.svg").read_text("utf-8")
    assert "<!-- HDKD -->" in text
    assert "<!-- CoAtNet-0 -->" in text


def test_the_figure_of_methods_has_the_intervals_of_the_table(committed, monkeypatch):
    monkeypatch.chdir(committed)
    settings, facts = settings_of("pilot"), evidence.facts("pilot")["brain_tumor"]
    summaries = evidence.read(committed / "reports/pilot" / evidence.SUMMARIES)
    drawn = drawing.FigureData(settings, "brain_tumor", summaries, facts).methods
    table = (committed / "reports/pilot/README.md").read_text("utf-8")
    shown = [
        f"{row.gain:+.2f} | {row.gain_low:+.2f} to {row.gain_high:+.2f}"
        for row in drawn.itertuples()
        if row.method != "alone"
    ]
    assert len(shown) == 36
    assert [each for each in shown if each not in re.sub(r" +", " ", table)] == []


@pytest.mark.parametrize("profile", PROFILES)
def test_predictions_belong_to_the_summaries(profile, committed, monkeypatch):
    monkeypatch.chdir(committed)
    found = predictions.read(committed / "reports" / profile)
    belonging = found.of_summaries(evidence.finished_summaries(profile))
    assert sorted(found.probabilities.keys() - belonging.probabilities.keys()) == []


def test_parts_of_the_distillation_and_controls_differ_from_hdkd_as_the_runs_do():
    runs = pd.read_csv(
        ROOT / "reports/pilot/runs.csv", dtype={"subset": str}, keep_default_na=False
    )
    own = runs[(runs["dataset"] == "brain_tumor") & (runs["subset"] == "200")].set_index("seed")
    hdkd = own[(own["role"] == "hdkd") & (own["point"] == "")]["accuracy"]
    text = (ROOT / "reports/pilot/README.md").read_text("utf-8")
    table = text.partition("### A teacher of the same images")[0]  # there others are compared
    for name, point, sign in (
        ("logits only", "logits_only", 1),
        ("temperature 4", "temperature_4", 1),
        ("Student alone, as many steps", "same_steps", -1),  # there it is HDKD's gain
    ):
        differences = 100 * (own[own["point"] == point]["accuracy"] - hdkd)
        [row] = [line for line in table.splitlines() if line.startswith(f"| {name} ")]
        assert len(differences) == 5
        assert f"| {sign * differences.mean():+.2f} " in row


@pytest.mark.parametrize("bundle", sorted(ROOT.glob("reports/*/needed/*")), ids=lambda p: p.name)
def test_a_kept_teacher_can_teach(bundle: Path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, [placed] = unpack_bundle(bundle)
    teacher = RunFolder(tmp_path / placed)
    assert teacher.summary.run.role == "teacher"
    assert set(teacher.load_model().state_dict())
