"""A run folder's path says which run it is."""

from dataclasses import replace
from pathlib import Path

import pytest

from hdkd import config
from hdkd.study import plan
from hdkd.study.key import RunKey
from project import ROOT


@pytest.mark.parametrize("profile", config.PROFILES)
def test_every_folder_of_a_study_names_its_run(profile):
    settings = config.load(ROOT / "params.yaml", profile)
    for dataset in settings.study:
        for run in plan.all_runs(settings, dataset):
            assert RunKey.of_folder(run.folder) == run


def test_another_folder_is_refused():
    with pytest.raises(ValueError, match="is not a run folder"):
        RunKey.of_folder(Path("models/demo/students/phantom/student-a-b-c/n16/seed0"))


@pytest.mark.parametrize("profile", config.PROFILES)
def test_no_seed_changes_the_settings_of_a_run(profile):
    settings = config.load(ROOT / "params.yaml", profile)
    runs = [run for dataset in settings.study for run in plan.all_runs(settings, dataset)]
    assert any(run.seed for run in runs)
    for run in runs:
        expected = plan.hyperparameters(settings, run)
        assert plan.hyperparameters(settings, replace(run, seed=0)) == expected, run.name
