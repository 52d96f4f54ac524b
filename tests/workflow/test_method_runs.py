"""Every method trains a hybrid through the workflow, and some a ViT, too."""

import copy
import html
import re

import pytest
from safetensors import safe_open

from hdkd import config
from hdkd.config import methods
from hdkd.runs.folder import RunFolder
from hdkd.study import plan
from hdkd.study.key import RunKey
from hdkd.study.names import NETWORKS
from project import Project

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def parameters(tiny_parameters) -> dict:
    taught = {"hybrid": list(methods()), "vit": ["alone", "cskd", "rkd"]}
    parameters = copy.deepcopy(tiny_parameters)
    parameters["datasets"]["phantom"]["subsets"] = [16]
    parameters["ablations"]["demo"] = {"variants": [], "subset": 16, "distillation": None}
    parameters["baselines"]["demo"]["models"] = []
    parameters["methods"]["demo"] = {"subsets": {"phantom": [16]}, "seeds": [0]} | taught
    return parameters


@pytest.fixture(scope="module")
def taught(tmp_path_factory, parameters) -> Project:
    """A project in which every method has trained."""
    project = Project(tmp_path_factory.mktemp("methods") / "project", parameters)
    project.snakemake("all")
    return project


@pytest.fixture(scope="module")
def runs(parameters) -> list[RunKey]:
    return plan.method_runs(config.resolve(parameters), "phantom")


def test_each_leaves_a_whole_run_folder_that_names_method_and_teacher(taught, runs):
    assert len(runs) == len(methods()) + 3
    for run in runs:
        folder = RunFolder(taught.folder / run.folder)
        assert folder.summary.epochs == len(folder.metrics)
        params = folder.params
        assert params.distillation["method"] == run.method
        assert params.distillation["strength"] == 1
        assert bool(params.teacher) == methods()[run.method].taught


def test_what_a_method_learns_itself_is_not_exported(taught, runs):
    for run in runs:
        path = taught.folder / run.folder
        with safe_open(path / "model.safetensors", "pt") as weights:
            keys = set(weights.keys())
        assert keys == set(RunFolder(path).load_model().state_dict())


def test_the_report_has_a_row_for_each_and_says_where_it_comes_from(taught, runs):
    page = html.unescape((taught.folder / "reports/demo/report.html").read_text("utf-8"))
    text = (taught.folder / "reports/demo/README.md").read_text("utf-8")
    for run in runs:
        about = methods()[run.method]
        row = rf"\| *{re.escape(about.title)} *\| *{NETWORKS[run.role]} *\|"
        assert re.search(row, text), run.name
        assert about.origin in page
    figures = taught.folder / "reports/demo/figures/phantom"
    assert (figures / "methods.svg").exists()
    assert (figures / "methods_learning.dark.svg").exists()


def test_there_is_nothing_left_to_do(taught):
    assert "Nothing to be done" in taught.snakemake("--dry-run", "all").stdout


def test_a_changed_file_trains_its_own_method_again_and_no_other(taught, runs):
    path = taught.folder / "hdkd/distillation/rkd.py"
    path.write_text(path.read_text() + "# changed\n")
    planned = taught.snakemake("--dry-run", "methods").stdout
    again = [run for run in runs if f"Training {run.model} on" in planned]
    assert {run.method for run in again} == {"rkd"}
    assert len(again) == 2


def test_a_method_that_cannot_teach_a_student_is_refused(taught):
    result = taught.run(
        "hdkd", "train", "--dataset", "phantom", "--role", "vit", "--method", "fitnet", check=False
    )
    assert result.returncode == 2
    assert "--method of a vit must be one of alone," in result.stderr
    assert "not fitnet" in result.stderr


def test_a_strength_is_in_the_folder_and_the_record(taught, parameters):
    changed = copy.deepcopy(parameters)
    changed["methods"]["demo"] |= {"hybrid": ["alone", "cskd"], "vit": [], "strengths": [1, 0.25]}
    taught.write(changed)
    taught.snakemake("methods")
    folder = RunFolder(
        taught.folder / "models/demo/methods/phantom/hybrid-mbcsa-s2-cskd-times0_25/n16/seed0"
    )
    assert folder.params.distillation["strength"] == 0.25
