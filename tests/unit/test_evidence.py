"""Which of two records of one run counts: the committed one, or that of the run folder."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from hdkd.files import CHECKSUMS, write_checksums, write_json
from hdkd.remote.handover import gather
from hdkd.runs import evidence
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import RunSummary
from hdkd.study.key import RunKey
from hdkd.study.plan import RUN_FILES
from small import summary_of

TEACHER = RunKey("pilot", "moles", "teacher", "teacher", "all", 0, "mbcsa", 2)


@pytest.fixture
def committed(tmp_path, monkeypatch) -> RunSummary:
    monkeypatch.chdir(tmp_path)
    Path("reports/pilot").mkdir(parents=True)
    summary = summary_of(TEACHER, epochs=20)
    evidence.write([summary], Path("reports/pilot") / evidence.SUMMARIES)
    return summary


def trained_again(epochs: int, project: Path = Path()) -> RunSummary:
    summary, folder = summary_of(TEACHER, epochs=epochs), project / TEACHER.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "params.json", {})
    pd.DataFrame({"epoch": range(1, epochs + 1)}).to_csv(folder / "metrics.csv", index=False)
    save_file({"weight": torch.zeros(2)}, folder / "model.safetensors")
    (folder / "predictions.csv").write_text("path\n")
    write_json(folder / "summary.json", summary.content())
    write_checksums(folder, [name for name in RUN_FILES if name != CHECKSUMS])
    return summary


def test_a_run_that_was_trained_here_counts_instead_of_the_committed_one(committed):
    here = trained_again(epochs=30)
    assert evidence.finished_summaries("pilot") == [here]


def test_a_run_that_was_restored_to_build_on_does_not(committed):
    trained_again(epochs=30)
    RunFolder(TEACHER.folder).mark_restored()
    assert evidence.finished_summaries("pilot") == [committed]


def test_a_restored_run_that_is_trained_again_counts(committed):
    trained_again(epochs=30)
    RunFolder(TEACHER.folder).mark_restored()
    here = trained_again(epochs=40)
    assert evidence.finished_summaries("pilot") == [here]


def test_a_restored_run_counts_where_nothing_else_is_known_of_it(committed):
    (Path("reports/pilot") / evidence.SUMMARIES).unlink()
    here = trained_again(epochs=30)
    RunFolder(TEACHER.folder).mark_restored()
    assert evidence.finished_summaries("pilot") == [here]


def test_a_run_that_another_checkout_only_restored_stays_one_here(committed, tmp_path):
    other = tmp_path / "other"
    trained_again(epochs=30, project=other)
    RunFolder(other / TEACHER.folder).mark_restored()
    assert gather(other, 1e9) == [TEACHER.folder.as_posix()]
    assert evidence.finished_summaries("pilot") == [committed]


def test_a_run_that_another_checkout_trained_counts_here(committed, tmp_path):
    made = trained_again(epochs=30, project=tmp_path / "other")
    gather(tmp_path / "other", 1e9)
    assert evidence.finished_summaries("pilot") == [made]


def test_a_run_folder_that_was_moved_aside_does_not_count(committed):
    here = trained_again(epochs=30)
    aside = TEACHER.folder.with_name("seed0.old")
    shutil.copytree(TEACHER.folder, aside)
    write_json(aside / "summary.json", summary_of(TEACHER, epochs=50).content())
    write_checksums(aside, ["summary.json"])
    assert evidence.finished_summaries("pilot") == [here]


def test_epochs_of_a_training_that_is_not_finished_are_not_taken_for_those_of_the_run(committed):
    trained_again(epochs=20)
    epochs = Path("reports/pilot") / evidence.EPOCHS
    evidence.write_epochs([committed], epochs)
    shutil.rmtree(TEACHER.folder)
    trained_again(epochs=3)
    (TEACHER.folder / CHECKSUMS).unlink()
    evidence.write_epochs([committed], epochs)
    assert len(pd.read_csv(epochs)) == 20
