"""What is exported: which run, in the place of what, how it was calibrated and tested."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import softmax

from exporting import OPTIONS, PREPARED, trained
from hdkd import cli, config
from hdkd.data.batches.imageset import PREPARED_FILES, ImageSet
from hdkd.deploy.card import card, terms
from hdkd.deploy.export import content_of, default_run
from hdkd.deploy.network import Network
from hdkd.deploy.predict import PRETRAINED, Classifier, notice_of
from hdkd.files import write_checksums
from hdkd.models import build
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import Leaked, LicensedData
from hdkd.training.loop import predict
from project import without_controls
from small import DATA, SIZES, STUDENT


@pytest.mark.parametrize(
    ("subsets", "chosen"), [(["all", 200], "all"), ([200, "all"], "all"), ([400, 200], "400")]
)
def test_it_is_hdkd_on_most_images_whatever_their_order(parameters, subsets, chosen):
    without_controls(parameters)["datasets"]["phantom"]["subsets"] = subsets
    parameters["sweep"]["demo"]["seeds_by_subset"] = {}
    run = default_run(config.resolve(parameters), "phantom")
    assert (run.role, run.subset, run.seed, run.group) == ("hdkd", chosen, 0, "students")


def test_a_model_is_known_by_its_training_not_only_by_its_name(tmp_path):
    folder = tmp_path / "model"
    assert content_of(folder) == "nothing"
    shutil.copytree(PRETRAINED / "brain_tumor", folder)
    assert content_of(folder).startswith(
        "models/reduced/students/brain_tumor/hdkd-mbcsa-s2/nall/seed0 20"
    )
    (folder / "notes.txt").touch()
    assert content_of(folder) == "something else than a model"


def card_with_leaks(images: int) -> str:
    folder = RunFolder(PRETRAINED / "ham10000")
    found = Leaked(copies=0, images=images)
    return card(folder.exported.model_copy(update={"leaked": found}), folder.params)


def card_of(**changes: str) -> str:
    """The card of the model of the profile ``reduced``, of a run with ``changes``."""
    folder = RunFolder(PRETRAINED / "brain_tumor")
    run = replace(folder.exported.run, **changes)
    return card(folder.exported.model_copy(update={"run": run}), folder.params)


def test_a_card_says_how_a_run_was_taught():
    by_hdkd = "distilled from a teacher that was trained on all training images of the collection"
    assert by_hdkd in card_of()
    text = card_of(group="methods", role="hybrid", method="deit_soft")
    assert "distilled by DeiT, soft from a teacher that was trained on all training images" in text
    assert "from a teacher" not in card_of(group="methods", role="hybrid", method="alone")
    assert (
        "from a teacher that was trained on the same images only (`subset_teacher` of"
        in card_of(group="ablations", point="subset_teacher")
    )


@pytest.mark.parametrize(
    ("role", "sentence"),
    [
        ("hdkd", "the paper's network on smaller images"),
        ("hybrid", "the paper's network on smaller images"),
        ("coatnet_0", "a baseline of the paper on smaller images"),
        ("vit", "a network that the paper lacks"),
    ],
)
def test_a_card_says_what_sets_a_network_apart_from_the_papers(role, sentence):
    assert f"| Profile | `reduced`: {sentence}, so this is no reproduction" in card_of(role=role)


def test_a_card_of_many_leaks_says_that_those_left_are_of_other_classes():
    text = card_with_leaks(90)
    assert "**90 of the 828 test images have a copy or near-copy" in text
    assert "their mix of classes is another one" in text


def test_a_card_of_a_single_leak_does_not():
    text = card_with_leaks(1)
    assert "**1 of the 828 test images has a copy or near-copy" in text
    assert "mix of classes" not in text


def test_weights_get_no_licence_where_none_is_known_for_their_images():
    text = terms(LicensedData(**DATA, licence=None, source="local"))
    assert "No licence is stated for these images, so none is given for the weights" in text


def test_a_network_answers_as_in_training_and_a_temperature_changes_probabilities_only(source):
    torch.manual_seed(0)
    model = build("hdkd", **SIZES, **STUDENT)
    logits, probabilities, _ = Network(model).answers(source.images)
    trained, _ = predict(model, torch.from_numpy(source.images), source.labels)
    assert np.array_equal(probabilities, trained)
    cooler, scaled, _ = Network(model, 2.5).answers(source.images)
    assert np.array_equal(cooler, logits)
    assert scaled == pytest.approx(softmax(logits / 2.5, axis=1), abs=1e-6)


class TestCalibration:
    def test_fits_the_validation_images(self, study):
        """Where the cross-entropy is least its derivative, written out here, is zero."""
        folder, source = RunFolder(Path("exported")), ImageSet.load(PREPARED)
        part = source.part("validation")
        logits = Network(folder.load_model()).answers(source.images[part]).logits
        logits, labels = logits.astype(float), source.labels[part]

        def derivative(temperature: float) -> float:
            expected = (softmax(logits / temperature, axis=1) * logits).sum(axis=1)
            return float((logits[np.arange(len(labels)), labels] - expected).mean())

        calibration = folder.exported.calibration
        assert calibration.images == len(part)
        assert calibration.temperature == pytest.approx(brentq(derivative, 0.05, 20), rel=1e-3)

    def test_is_measured_on_the_test_images_before_and_after(self, study):
        summary = RunFolder(Path("exported")).exported
        before, after = summary.calibration.before, summary.calibration.after
        run = RunFolder(Path("run")).summary
        assert before.calibration_error == pytest.approx(run.final.calibration_error, abs=0.02)
        assert after.calibration_error == pytest.approx(summary.final.calibration_error, abs=1e-6)
        card = Path("exported/README.md").read_text()
        assert f"temperature {summary.calibration.temperature:.4f}" in card
        assert f"| Mean cross-entropy | {before.loss:.4f} | {after.loss:.4f} |" in card

    def test_is_what_predict_divides_logits_by(self, study, capsys):
        image = next(Path("data/raw/phantom/files/test").rglob("*.png"))
        exported, run = (Classifier.load(Path(name)) for name in ("exported", "run"))
        assert run.temperature == 1.0
        plain = Classifier(exported.model, exported.classes, exported.images)
        powers = plain.probabilities([image]) ** (1 / exported.temperature)
        expected = powers / powers.sum()
        assert exported.probabilities([image]) == pytest.approx(expected, abs=1e-6)
        assert cli.main(["predict", "--model", "exported", "--json", str(image)]) == 0
        printed = capsys.readouterr()
        answer = json.loads(printed.out)
        assert list(answer["probabilities"].values()) == pytest.approx(expected[0], abs=2e-6)
        assert "probabilities calibrated on 12 validation images" in printed.err

    def test_where_there_are_no_validation_images_there_is_none(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        trained(tmp_path, 0)
        assert cli.main(["export", *OPTIONS, "--run", "run", "--output", "exported"]) == 0
        assert RunFolder(Path("exported")).exported.calibration is None
        assert "probabilities not calibrated" in notice_of(Path("exported"))
        assert "Its probabilities are not calibrated.\n" in Path("exported/README.md").read_text()

    def test_says_where_the_epoch_was_chosen_on_the_same_images(self, study):
        folder = RunFolder(Path("exported"))
        summary = folder.exported
        best = summary.kept.model_copy(update={"rule": "best_on_validation"})
        text = card(summary.model_copy(update={"kept": best}), folder.params)
        sentence = "on these the epoch was chosen, too"
        assert sentence in text
        assert sentence not in card(summary, folder.params)


def test_a_run_of_another_dataset_than_named_is_refused(study, capsys):
    options = ["--params", "params.yaml", "--dataset", "folder", "--run", "run", "--output", "x"]
    assert cli.main(["export", *options]) == 2
    said = capsys.readouterr().err
    assert said == "error: run is of the dataset phantom, not folder: name it with --dataset\n"


def test_images_that_are_split_otherwise_than_for_the_run_are_refused(study, tmp_path, capsys):
    """Or the temperature might be fitted on images that the run was trained on."""
    copy = tmp_path / "study"
    shutil.copytree(study, copy)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy)
        table = PREPARED / "split.csv"
        rows = table.read_text().splitlines()
        first = next(k for k, row in enumerate(rows) if ",train," in row)
        other = next(k for k, row in enumerate(rows) if ",validation," in row)
        rows[first] = rows[first].replace(",train,", ",validation,")
        rows[other] = rows[other].replace(",validation,", ",train,")
        table.write_text("\n".join(rows) + "\n")
        write_checksums(PREPARED, PREPARED_FILES)
        capsys.readouterr()
        assert cli.main(["export", *OPTIONS, "--run", "run", "--output", "other"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: the images prepared for phantom are split otherwise than for")
    assert error.endswith("run `hdkd split` with the parameters of that run\n")
