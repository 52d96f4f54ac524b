"""A run folder's path says which run it is."""

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
