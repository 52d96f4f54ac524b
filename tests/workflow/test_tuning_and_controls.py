"""Controls and a tuning, trained by the real graph beside the sweep."""

import json
import shutil

import pandas as pd
import pytest

from hdkd import config
from hdkd.runs.folder import RunFolder
from hdkd.study import plan
from project import Project, parameters, tiny, with_controls

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def settings() -> config.Settings:
    return config.resolve(with_controls(tiny(parameters())))


@pytest.fixture(scope="module")
def studied(built, tmp_path_factory) -> Project:
    folder = tmp_path_factory.mktemp("controls") / "project"
    shutil.copytree(built.folder, folder)
    project = Project.existing(folder)
    project.write(with_controls(tiny(parameters())))
    project.snakemake("all")
    return project


def run(studied, settings, role: str, point: str, group: str = "ablations") -> RunFolder:
    every = plan.all_runs(settings, "phantom")
    key = next(r for r in every if (r.role, r.point, r.group) == (role, point, group))
    return RunFolder(studied.folder / key.folder)


def test_trials_end_on_validation_images(studied, settings):
    trial = run(studied, settings, "student", "trial0", "tuning")
    split = pd.read_csv(studied.folder / "data/prepared/demo/phantom/split.csv")
    validation = split["path"][split["part"] == "validation"]
    assert set(trial.predictions["path"]) == set(validation)
    assert trial.summary.part == "validation"


def test_each_method_trains_with_the_settings_that_it_got(studied, settings):
    path = studied.folder / plan.tuned_settings("demo", "phantom")
    methods = json.loads(path.read_text())["methods"]
    assert set(methods) == {"student", "hdkd", "mobilenet_v2"}
    for key in plan.all_runs(settings, "phantom"):
        if plan.is_tuned(settings, key):
            made = RunFolder(studied.folder / key.folder)
            assert made.params.training["lr"] == methods[key.role]["chosen"]["lr"], key.name
            assert made.summary.tuned == methods[key.role]["chosen"]


def test_the_teacher_of_a_subset_has_seen_the_students_images(studied, settings):
    teacher = run(studied, settings, "teacher", "subset_teacher")
    student = run(studied, settings, "student", "same_steps")
    assert teacher.params.data.training_digest == student.params.data.training_digest
    assert teacher.summary.synthetic_images == 0


@pytest.mark.parametrize("point", ["subset_teacher", "teacher_seed1"])
def test_hdkd_is_taught_by_the_teacher_of_its_control(studied, settings, point):
    teacher = run(studied, settings, "teacher", point)
    hdkd = run(studied, settings, "hdkd", point)
    assert studied.folder / hdkd.params.teacher == teacher.path


def test_the_student_alone_trains_longer(studied, settings):
    alone = run(studied, settings, "student", "same_macs").summary
    assert alone.epochs > run(studied, settings, "student", "", "students").summary.epochs


def test_the_report_has_each_control(studied):
    report = (studied.folder / "reports/demo/report.html").read_text("utf-8")
    for name in ("as many steps", "as many MACs", "A teacher of the same images"):
        assert name in report


def test_nothing_is_trained_again(studied):
    assert studied.planned_rules() == set()
