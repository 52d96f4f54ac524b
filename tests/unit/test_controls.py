"""Controls and the tuning: which runs there are, how long they are, what is chosen."""

import json
import math

import pytest

from hdkd import config
from hdkd.errors import ParameterError, RunError
from hdkd.report.tables.cost import macs
from hdkd.runs import evidence, tuning
from hdkd.study import plan
from hdkd.study.key import RunKey
from hdkd.training.budget import epoch_images, forward_macs, training_of
from small import summary_of

COUNTS = [432, 360, 360, 288]  # of training images


@pytest.fixture
def settings(parameters) -> config.Settings:
    parameters["ablations"]["demo"]["controls"] = {
        "datasets": ["phantom"], "subset": 80, "seeds": [0, 1], "teacher_seeds": [4, 5],
    }  # fmt: skip
    return config.resolve(parameters)


def control(settings, role: str, point: str, seed: int = 0) -> RunKey:
    every = plan.control_runs(settings, "phantom")
    return next(r for r in every if (r.role, r.point, r.seed) == (role, point, seed))


def test_the_controls_of_two_seeds_and_two_other_teachers(settings):
    runs = plan.control_runs(settings, "phantom")
    assert [f"{r.role} {r.point} n={r.subset} {r.seed}" for r in runs] == [
        "teacher subset_teacher n=80 0",
        "hdkd subset_teacher n=80 0",
        "teacher subset_teacher n=80 1",
        "hdkd subset_teacher n=80 1",
        "student same_steps n=80 0",
        "student same_steps n=80 1",
        "student same_macs n=80 0",
        "student same_macs n=80 1",
        "teacher teacher_seed4 n=all 4",
        "hdkd teacher_seed4 n=80 0",
        "hdkd teacher_seed4 n=80 1",
        "teacher teacher_seed5 n=all 5",
        "hdkd teacher_seed5 n=80 0",
        "hdkd teacher_seed5 n=80 1",
    ]


def test_on_all_images_no_teacher_is_one_of_the_same_images_only(parameters):
    parameters["ablations"]["demo"]["controls"] |= {"subset": "all", "teacher_seeds": [4]}
    runs = plan.control_runs(config.resolve(parameters), "phantom")
    assert {(r.role, r.point, r.subset) for r in runs} == {
        ("student", "same_steps", "all"),
        ("student", "same_macs", "all"),
        ("teacher", "teacher_seed4", "all"),
        ("hdkd", "teacher_seed4", "all"),
    }


def test_what_controls_are_compared_with_is_in_the_sweep(settings):
    cells = {(r.role, r.subset, r.seed) for r in plan.student_runs(settings, "phantom")}
    assert {(role, "80", seed) for role in ("student", "hdkd") for seed in (0, 1)} <= cells


def test_hdkd_is_taught_by_the_teacher_of_its_control(settings):
    of_subset = plan.teacher_of(settings, control(settings, "hdkd", "subset_teacher", 1))
    assert of_subset == control(settings, "teacher", "subset_teacher", 1)
    other = plan.teacher_of(settings, control(settings, "hdkd", "teacher_seed5", 1))
    assert other == control(settings, "teacher", "teacher_seed5", 5)


def test_a_teacher_of_a_subset_takes_as_many_steps_as_that_of_all_images(settings):
    teacher = training_of(settings, control(settings, "teacher", "subset_teacher"), COUNTS)
    assert teacher.epoch_images == 4 * 432, "SMOTE raises every class to the largest"
    assert teacher.epochs == settings.training("teacher", "phantom").epochs


def test_as_many_steps_as_hdkd_and_its_share_of_the_teacher(settings):
    # HDKD: 32 epochs of 10 steps. The teacher: 15 epochs of 54 steps, for 5 + 3 + 3 HDKDs.
    run = control(settings, "student", "same_steps")
    assert training_of(settings, run, COUNTS).epochs == math.ceil((320 + 15 * 54 / 11) / 10) == 40


def test_as_many_multiply_accumulates_as_hdkd_and_its_share_of_the_teacher(settings):
    run = control(settings, "student", "same_macs")
    hdkd = plan.taught_runs(settings, "phantom")[0]
    teacher = plan.teacher_of(settings, hdkd)
    alone, taught, asked = (forward_macs(settings, key, 4) for key in (run, hdkd, teacher))
    budget = 32 * 320 * (3 * taught + asked) + 15 * 1728 * 3 * asked / 11
    epochs = training_of(settings, run, COUNTS).epochs
    assert (epochs - 1) * 320 * 3 * alone < budget <= epochs * 320 * 3 * alone


def test_multiply_accumulates_are_those_of_the_tables_but_for_what_these_count_besides(settings):
    run = control(settings, "student", "same_macs")
    assert forward_macs(settings, run, 4) == pytest.approx(macs(settings, run, 4), rel=0.1)


def test_the_images_of_an_epoch_are_those_of_the_sweep(settings):
    assert epoch_images(settings, control(settings, "student", "same_steps"), COUNTS) == 320


def test_a_distillation_may_not_have_the_name_of_a_control(parameters):
    points = parameters["ablations"]["shared"]["distillation"]["points"]
    points["same_steps"] = {"alpha": 1.0}
    with pytest.raises(
        ParameterError, match="same_steps has the name of a trial, control or strength"
    ):
        config.resolve(parameters | {"profile": "paper"})


def test_another_teacher_must_have_another_seed(parameters):
    parameters["ablations"]["demo"]["controls"]["teacher_seeds"] = [0]
    with pytest.raises(ParameterError, match=r"teacher_seeds has 0, which is teacher\.seed"):
        config.resolve(parameters)


def test_every_method_has_the_same_trials(parameters):
    parameters["baselines"]["demo"]["models"] = ["mobilenet_v2"]
    settings = config.resolve(parameters)
    tried: dict[str, list[float]] = {}
    for run in plan.tuning_runs(settings, "phantom"):
        training = settings.training(run.role, run.dataset, run.point)
        tried.setdefault(run.role, []).append(training.lr)
    assert tried == {role: [0.004, 0.008, 0.016] for role in ("student", "hdkd", "mobilenet_v2")}


def test_trials_are_refused_without_images_to_choose_on(parameters):
    parameters["split"]["demo"] = {"validation_fraction": 0}
    with pytest.raises(ParameterError, match=r"tuning\.grid .* split\.validation_fraction 0"):
        config.resolve(parameters)


def test_a_method_gets_the_settings_of_the_best_mean_and_of_equals_the_lowest_loss(
    parameters, tmp_path, monkeypatch
):
    parameters["tuning"]["demo"]["seeds"] = [0, 1]
    settings = config.resolve(parameters)
    monkeypatch.chdir(tmp_path)
    # By trial: balanced accuracy of two seeds, and the loss.
    outcomes = {
        "student": [(0.9, 0.5, 1.0), (0.8, 0.8, 0.9), (0.8, 0.8, 0.7)],
        "hdkd": [(0.9, 0.9, 1.0), (0.8, 0.8, 0.1), (0.8, 0.8, 0.1)],
    }
    for run in plan.tuning_runs(settings, "phantom"):
        *balanced, loss = outcomes[run.role][int(run.point[-1])]
        run.folder.mkdir(parents=True)
        validation = {"accuracy": 0.5, "balanced_accuracy": balanced[run.seed], "loss": loss}
        summary = summary_of(run, validation=validation).content()
        (run.folder / "summary.json").write_text(json.dumps(summary))
    path = tmp_path / "chosen.json"
    tuning.choose(settings, "phantom", path)
    assert tuning.chosen(path, "student") == {"lr": 0.016}
    assert tuning.chosen(path, "hdkd") == {"lr": 0.004}
    trials = json.loads(path.read_text())["methods"]["student"]["trials"]
    assert [trial["balanced_accuracy"] for trial in trials] == pytest.approx([0.7, 0.8, 0.8])


def test_a_network_may_have_trials_of_its_own_which_change_no_other(parameters):
    parameters["baselines"]["demo"]["models"] = ["mobilenet_v2"]
    before = config.resolve(parameters)
    parameters["tuning"]["demo"]["extra"] = {"phantom": {"mobilenet_v2": [{"lr": 0.001}]}}
    settings = config.resolve(parameters)
    added = set(plan.tuning_runs(settings, "phantom")) - set(plan.tuning_runs(before, "phantom"))
    assert {(run.role, run.point) for run in added} == {("mobilenet_v2", "trial3")}
    assert settings.training("mobilenet_v2", "phantom", "trial3").lr == 0.001
    runs = [*plan.student_runs(settings, "phantom"), *plan.baseline_runs(settings, "phantom")]
    changed = {
        run.role
        for run in runs
        if plan.hyperparameters(settings, run) != plan.hyperparameters(before, run)
    }
    assert changed == {"mobilenet_v2"}


def test_a_method_without_trials_is_named(tmp_path):
    (tmp_path / "chosen.json").write_text('{"subset": 80, "seeds": [0], "methods": {}}')
    with pytest.raises(RunError, match="has no settings for hdkd: run `hdkd tune` again"):
        tuning.chosen(tmp_path / "chosen.json", "hdkd")


def test_trials_that_the_grid_no_longer_has_are_left_out_and_named(settings, parameters):
    runs = [r for r in plan.tuning_runs(settings, "phantom") if r.role == "student"]
    made = [summary_of(run, hyperparameters=plan.hyperparameters(settings, run)) for run in runs]
    parameters["tuning"]["demo"]["grid"] = [{"lr": 0.004}]
    kept, left_out = evidence.with_current_parameters(config.resolve(parameters), made)
    assert kept == made[:1]
    assert "there is no trial2: tuning.grid has 1 entries for student on phantom" in left_out[1]


def test_a_training_without_the_settings_that_were_chosen_does_not_count(settings):
    run = next(r for r in plan.student_runs(settings, "phantom") if r.role == "student")
    used = plan.hyperparameters(settings, run)
    made, other = (
        summary_of(run, hyperparameters=used, tuned=tuned) for tuned in ({"lr": 0.016}, None)
    )
    assert evidence.with_current_parameters(settings, [made])[1] == []
    _, left_out = evidence.with_current_parameters(settings, [other])
    assert "settings None, which tuning.grid lacks" in left_out[0]


def test_trials_that_came_later_leave_runs_that_have_the_best_settings_still(settings, parameters):
    run = next(r for r in plan.student_runs(settings, "phantom") if r.role == "student")
    used = plan.hyperparameters(settings, run)
    made = summary_of(run, hyperparameters=used, tuned={"lr": 0.008})
    parameters["tuning"]["demo"]["extra"] = {"phantom": {"student": [{"lr": 0.1}]}}
    grown = config.resolve(parameters)

    def counted(right: list[float]) -> bool:
        trials = [r for r in plan.tuning_runs(grown, "phantom") if r.role == "student"]
        tried = [
            summary_of(
                trial,
                hyperparameters=plan.hyperparameters(grown, trial),
                validation={"accuracy": share, "balanced_accuracy": share, "loss": 1.0},
            )
            for trial, share in zip(trials, right, strict=True)
        ]
        return made in evidence.with_current_parameters(grown, [made, *tried])[0]

    assert counted([0.5, 0.7, 0.6, 0.4])
    assert not counted([0.5, 0.7, 0.6, 0.8])
    assert evidence.with_current_parameters(grown, [made])[0] == [], "without the trials"
