"""Which of two records of one run counts: the committed one, or that of the run folder."""

from pathlib import Path

import pytest

from hdkd.files import write_checksums, write_json
from hdkd.runs import evidence
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import RunSummary
from hdkd.study.key import RunKey
from small import summary_of

TEACHER = RunKey("pilot", "moles", "teacher", "teacher", "all", 0, "mbcsa", 2)


@pytest.fixture
def committed(tmp_path, monkeypatch) -> RunSummary:
    monkeypatch.chdir(tmp_path)
    Path("reports/pilot").mkdir(parents=True)
    summary = summary_of(TEACHER, epochs=20)
    evidence.write([summary], Path("reports/pilot") / evidence.SUMMARIES)
    return summary


def trained_again(epochs: int) -> RunSummary:
    summary = summary_of(TEACHER, epochs=epochs)
    TEACHER.folder.mkdir(parents=True, exist_ok=True)
    write_json(TEACHER.folder / "summary.json", summary.content())
    write_checksums(TEACHER.folder, ["summary.json"])
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
