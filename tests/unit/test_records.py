"""Records: what was committed is read, what drifts is an error."""

import json
from pathlib import Path

import pytest

from hdkd.errors import RunError
from hdkd.files import write_checksums
from hdkd.runs import records
from hdkd.runs.folder import RunFolder
from hdkd.study.key import RunKey
from hdkd.study.plan import RUN_FILES
from project import ROOT
from small import params_of, summary_of

KEY = RunKey("demo", "noise", "students", "student", "all", 0, "mbcsa", 2)
COMMITTED = sorted((ROOT / "reports").glob("*/summaries.jsonl"))
EXPORTED = sorted(path.parent for path in (ROOT / "pretrained").glob("*/summary.json"))


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.parent.name)
def test_every_committed_summary_is_read_with_the_numbers_that_it_has(path):
    for content in lines(path):
        record = records.read_summary(content, path)
        assert record.content() == content


@pytest.mark.parametrize("folder", EXPORTED, ids=lambda path: path.name)
def test_exported_models_are_read(folder):
    summary, params = RunFolder(folder).exported, RunFolder(folder).params
    stored = json.loads((folder / "summary.json").read_text("utf-8"))
    assert summary.run == params.run
    assert summary.kept.content() == stored["kept"]
    assert summary.kept.epoch <= summary.epochs


def test_what_is_written_is_read_again(tmp_path):
    folder = RunFolder(tmp_path / "run")
    params, summary = params_of("student"), summary_of(KEY)
    folder.start(params)
    for name in ("metrics.csv", "model.safetensors", "predictions.csv"):
        (folder.path / name).write_text("")
    folder.write_summary(summary)
    assert folder.params.content() == params.content()
    assert folder.summary == summary
    assert {path.name for path in folder.path.iterdir()} == set(RUN_FILES)


@pytest.mark.parametrize("version", [None, 2, 4])
def test_a_record_of_another_version_is_an_error_that_says_so(tmp_path, version):
    content = summary_of(KEY).content()
    del content["version"]
    if version:
        content["version"] = version
    (tmp_path / "summary.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=f"is a record of version {version or 0}, and this version"):
        _ = RunFolder(tmp_path).summary


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"epochs": None}, "(epochs: "),
        ({"speed": 3}, "(speed: "),
        ({"final": {}}, "(final.accuracy: "),
    ],
)
def test_drift_is_an_error_that_names_the_field(tmp_path, change, sentence):
    content = summary_of(KEY).content() | change
    (tmp_path / "summary.json").write_text(json.dumps(content))
    with pytest.raises(RunError) as caught:
        _ = RunFolder(tmp_path).summary
    assert f"{tmp_path}/summary.json is no record that this version can read {sentence}" in str(
        caught.value
    )
    assert str(caught.value).endswith("use the version that wrote it, or train this run again")


def test_a_checksum_guards_typed_records_too(tmp_path):
    (tmp_path / "summary.json").write_text(json.dumps(summary_of(KEY).content()))
    write_checksums(tmp_path, ["summary.json"])
    (tmp_path / "summary.json").write_text(json.dumps(summary_of(KEY, epochs=3).content()))
    with pytest.raises(RunError, match="its checksum is not the one"):
        _ = RunFolder(tmp_path).summary
