"""Which run is exported where none is named, and what it may replace."""

import shutil

import pytest

from hdkd import config
from hdkd.deploy.export import content_of, default_run, terms
from hdkd.deploy.predict import PRETRAINED
from hdkd.runs.records import LicensedData
from project import without_controls
from small import DATA


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
        "models/pilot/students/brain_tumor/hdkd-mbcsa-s2/nall/seed0 20"
    )
    (folder / "notes.txt").touch()
    assert content_of(folder) == "something else than a model"


def test_weights_get_no_licence_where_none_is_known_for_their_images():
    text = terms(LicensedData(**DATA, licence=None, source="local"))
    assert "No licence is stated for these images, so none is given for the weights" in text
