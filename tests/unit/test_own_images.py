"""The page on own images says what the profile ``own`` trains, and how to change that."""

import re
from collections import Counter

import yaml
from snakemake.utils import update_config

from hdkd.config import resolve
from hdkd.study import plan
from project import ROOT

PAGE = (ROOT / "docs/own-images.md").read_text("utf-8")


def test_it_trains_as_many_networks_as_the_page_says(parameters):
    runs = plan.all_runs(resolve(parameters | {"profile": "own"}), "folder")
    assert Counter((run.role, run.group == "ablations") for run in runs) == {
        ("teacher", False): 1,
        ("student", False): 5,
        ("hdkd", False): 5,
        ("teacher", True): 2,
        ("student", True): 10,
        ("hdkd", True): 10,
    }
    assert {run.subset for run in runs} == {"all"}


def test_all_that_the_page_changes_are_parameters(parameters):
    [shown] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.M | re.S)
    update_config(parameters, yaml.safe_load(shown))
    settings = resolve(parameters)
    assert settings.images("folder").size == 96
    assert settings.dataset("folder").smote.enabled
    assert Counter(run.subset for run in plan.all_runs(settings, "folder")) == {
        "100": 10,
        "all": 11,
    }


def test_students_and_teachers_take_as_many_steps_whatever_the_number_of_images(parameters):
    settings = resolve(parameters | {"profile": "own"})
    for role in ("teacher", "student"):
        assert settings.training(role, "folder").epoch_images
