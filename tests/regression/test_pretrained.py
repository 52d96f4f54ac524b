"""The models that come with the project are the runs they say, and reach what their cards say."""

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from exporting import hdkd, prepare_images
from hdkd import config
from hdkd.data.batches.imageset import ImageSet
from hdkd.deploy.card import card, described, terms
from hdkd.deploy.export import CLASSIFY, measure
from hdkd.deploy.formats import ONNX
from hdkd.deploy.network import Network
from hdkd.deploy.predict import PRETRAINED
from hdkd.files import read_checksums, sha256
from hdkd.runs import evidence
from hdkd.runs.folder import RunFolder
from hdkd.study import plan
from project import ROOT

MODELS = sorted(path.parent for path in PRETRAINED.glob("*/summary.json"))
WITH_ONNX = [path for path in MODELS if (path / ONNX).exists()]


@pytest.fixture(scope="module", params=MODELS, ids=[path.name for path in MODELS])
def model(request) -> RunFolder:
    return RunFolder(request.param)


@pytest.fixture(scope="module")
def prepared(model, tmp_path_factory) -> Path:
    """A folder with the model's images; needs the archive that the dataset's variable names."""
    run = model.exported.run
    variable = config.load(ROOT / "params.yaml", run.profile).dataset(run.dataset).source.variable
    if variable not in os.environ:
        pytest.skip(f"{variable} names no archive of {run.dataset}")
    folder = tmp_path_factory.mktemp(run.dataset)
    prepare_images(folder, run)
    return folder


def test_there_is_the_one_that_predict_uses_by_default():
    assert PRETRAINED / "brain_tumor" in MODELS


def test_its_files_are_as_exported(model):
    sums = read_checksums(model.path)
    assert {name: sha256(model.path / name) for name in sums} == sums
    names = {path.name for path in model.path.iterdir()} - {"SHA256SUMS"}
    assert set(sums) == names
    assert names >= {"params.json", "model.safetensors", "summary.json", "README.md", "LICENSE"}


def test_deployment_has_a_row_for_each_of_its_files(model):
    """As ``docs/deployment.md`` shows them, from the summary."""
    text = (ROOT / "docs" / "deployment.md").read_text("utf-8")
    summary = model.exported
    for each in summary.conversions:
        low, high = (f"{100 * share:.2f}" for share in each.interval)
        file = f"| `{each.file}` | {each.bytes / 1e6:.2f} | {each.difference:.2g} | "
        answers = f"{each.changed} of {summary.test_images} | {100 * each.accuracy:.2f} % "
        row = f"{file}{answers}({low} to {high} %) |"
        assert row in text


def test_beside_onnx_is_the_program_that_an_export_writes_today(model):
    today = (ROOT / "hdkd" / "deploy" / CLASSIFY).read_bytes()
    beside = [path.read_bytes() for path in model.path.glob(CLASSIFY)]
    assert beside == ([today] if model.exported.conversions else [])


def test_its_card_follows_from_its_summary(model):
    text = (model.path / "README.md").read_text("utf-8")
    assert text == card(model.exported, model.params)
    assert "Not for clinical use" in text


@pytest.mark.parametrize("model", WITH_ONNX, ids=lambda path: path.name, indirect=True)
def test_what_its_conversions_say_of_themselves_follows_from_its_summary(model):
    """They were written before they were measured, so their card has no row for them."""
    unmeasured = model.exported.model_copy(update={"conversions": []})
    for conversion in model.exported.conversions:
        properties = onnx.load(model.path / conversion.file).metadata_props
        said = {each.key: each.value for each in properties}
        assert said == described(unmeasured, model.params)
        assert conversion.bytes == (model.path / conversion.file).stat().st_size


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("brain_tumor", "Apache License"),
        ("brain_tumor_teacher", "Apache License"),
        ("ham10000", "NonCommercial 4.0"),
    ],
)
def test_its_terms_follow_from_those_of_its_images(name, weights):
    folder = RunFolder(PRETRAINED / name)
    text = (folder.path / "LICENSE").read_text("utf-8")
    assert text == terms(folder.exported.data)
    assert weights in text


def test_its_run_is_among_the_committed_evidence(model):
    summary = model.exported
    records = ROOT / "reports" / summary.run.profile / evidence.SUMMARIES
    runs = {record.run: record for record in evidence.read(records)}
    record = runs[summary.run]
    assert summary.run_accuracy == record.final.accuracy
    assert summary.data.content_hash == record.data.content_hash
    assert summary.provenance == record.provenance


def test_its_accuracy_is_that_of_its_confusion_matrix(model):
    final = model.exported.final
    right = sum(row[k] for k, row in enumerate(final.confusion_matrix))
    assert final.accuracy == pytest.approx(right / model.exported.test_images)


def test_predict_says_what_it_is_and_what_it_is_not_for():
    image = ROOT / "docs" / "nothing.png"
    command = [sys.executable, "-m", "hdkd", "predict", str(image)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2
    assert "HDKD for Brain Tumor MRI" in result.stderr
    assert "not for clinical use" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: not usable: ")


@pytest.mark.slow
def test_it_reaches_on_the_real_test_images_what_its_card_says(model, prepared):
    run = model.exported.run
    source = ImageSet.load(prepared / plan.prepared_folder(run.profile, run.dataset))
    assert source.facts["content_hash"] == model.exported.data.content_hash
    tested = json.loads(json.dumps(measure(Network(model.load_model()), source)))
    shown = model.exported.content()
    # Other processors may round a near tie the other way.
    assert tested["final"]["accuracy"] == pytest.approx(shown["final"]["accuracy"], abs=0.004)
    assert tested["leaked"] == shown["leaked"]
    assert tested["without_leaks"]["images"] == shown["without_leaks"]["images"]


@pytest.mark.slow
@pytest.mark.parametrize("model", WITH_ONNX, ids=lambda path: path.name, indirect=True)
def test_as_onnx_it_answers_the_same_on_the_real_test_images(model, prepared):
    formats = ["--format", "onnx", "--precision", "int8"]
    hdkd(
        prepared, model.exported.run, "export", "--run", str(model.path), "--output", "again",
        *formats,
    )  # fmt: skip
    again = RunFolder(prepared / "again").exported
    exact, quantised = again.conversions
    assert (exact.changed, exact.accuracy) == (0, again.final.accuracy)
    assert exact.difference < 1e-4
    assert again.final.accuracy - quantised.accuracy < 0.01
