"""The parameters that the page on own images shows change those of the project as it says."""

import re

import pytest
import yaml
from snakemake.utils import update_config

from hdkd.config import Settings, resolve
from hdkd.study import plan
from project import ROOT


@pytest.fixture
def settings(parameters) -> Settings:
    """What `snakemake --configfile mine.yaml` makes of the page's file."""
    page = (ROOT / "docs/own-images.md").read_text("utf-8")
    [mine] = re.findall(r"^```yaml\n(.*?)^```$", page, re.M | re.S)
    update_config(parameters, yaml.safe_load(mine))
    return resolve(parameters)


def test_they_train_as_many_networks_as_the_page_says(settings):
    runs = plan.all_runs(settings, "folder")
    controls = [run.role for run in runs if run.group == "ablations"]
    swept = [(run.role, run.subset) for run in runs if run.group != "ablations"]
    assert {each: swept.count(each) for each in swept} == {
        ("teacher", "all"): 1,
        ("student", "100"): 5,
        ("student", "all"): 5,
        ("hdkd", "100"): 5,
        ("hdkd", "all"): 5,
    }
    assert {role: controls.count(role) for role in controls} == {
        "teacher": 7,
        "student": 10,
        "hdkd": 15,
    }


def test_the_teacher_gets_as_many_images_as_on_brain_tumor_mri(settings):
    epochs = settings.training("teacher", "all", "folder").epochs
    shown = settings.training("teacher", "all", "brain_tumor").epochs * 5712
    assert epochs * 250 == 100_000
    assert abs(shown / 100_000 - 1) < 0.03
