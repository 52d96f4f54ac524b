"""What runs cost, by hand."""

import math

import pytest

from hdkd import config
from hdkd.remote.borrow import missing
from hdkd.remote.walltimes import STARTING_MINUTES, rule_of, walltimes
from hdkd.report.tables import cost
from hdkd.report.tables.cost import macs
from hdkd.runs.records import RunSummary
from hdkd.study import plan
from hdkd.study.key import RunKey
from hdkd.training.budget import epoch_images
from hdkd.training.reporting import startup_seconds
from project import ROOT
from small import PROVENANCE, summary_of

IMAGES = {"a": {"train": 30, "test": 5}, "b": {"train": 10, "test": 5}}
FACTS = {"phantom": {"counts": IMAGES}}


@pytest.fixture
def settings(parameters) -> config.Settings:
    parameters["datasets"]["phantom"]["subsets"] = [20, "all"]
    parameters["sweep"]["demo"]["seeds_by_subset"] = {}
    parameters["student"]["demo"] |= {
        "epochs": 10, "epoch_images": None, "evaluate_every": 3,
    }  # fmt: skip
    parameters["ablations"]["demo"] |= {"variants": [], "subset": 20, "controls": None}
    parameters["tuning"]["demo"]["grid"] = []
    return config.resolve(parameters)


def run(settings, role: str, subset: str) -> RunKey:
    every = plan.all_runs(settings, "phantom")
    return next(r for r in every if (r.role, r.subset) == (role, subset))


def summary(
    run: RunKey, seconds: float, started: str = "10:00:00", every: int = 3, **made
) -> RunSummary:
    began = f"2026-01-01T{started}+00:00"
    took = {"started": began, "duration_seconds": seconds}
    took["pieces"] = [{"started": began, "seconds": seconds}]
    trained = {"training": {"evaluate_every": every}}
    return summary_of(run, provenance=PROVENANCE | took | made, hyperparameters=trained)


def test_smote_raises_every_class_to_the_largest_for_the_teacher_alone(settings):
    assert epoch_images(settings, run(settings, "teacher", "all"), [30, 10]) == 60
    assert epoch_images(settings, run(settings, "student", "all"), [30, 10]) == 40
    assert epoch_images(settings, run(settings, "hdkd", "20"), [30, 10]) == 20


def test_an_epoch_can_count_so_many_images_at_every_size(parameters):
    parameters["student"]["demo"]["epoch_images"] = 320
    settings = config.resolve(parameters)
    for subset in ("80", "all"):
        assert epoch_images(settings, run(settings, "student", subset), [30, 10]) == 320


def test_the_first_epoch_of_a_piece_starts_up_as_long_as_it_takes_more_than_later_ones():
    assert startup_seconds([10.0, 12.0, 14.0, 19.0]) == 8.0
    assert startup_seconds([10.0]) == 0.0
    assert startup_seconds([1.0, 3.0]) == 0.0


def test_starting_up_is_no_part_of_the_rate(settings):
    student = run(settings, "student", "20")
    rates = cost.Rates(settings, [summary(student, 70.0, startup_seconds=10.0)], FACTS)
    assert rates.startup == 10
    assert rates.of("student") == cost.work(settings, student, IMAGES) / 60


def test_a_run_that_was_evaluated_less_often_has_done_less(settings):
    student = run(settings, "student", "20")
    forward = macs(settings, student, 2)
    rates = cost.Rates(settings, [summary(student, 60.0, every=10)], FACTS)
    assert rates.of("student") == forward * (3 * 10 * 20 + 10) / 60


def test_a_step_is_three_forward_passes_and_a_test_is_one(settings):
    student = run(settings, "student", "20")
    forward = macs(settings, student, 2)
    # 10 epochs of 20 images; tests after epochs 3, 6, 9 and 10 of 10 images.
    assert cost.work(settings, student, IMAGES) == forward * (3 * 10 * 20 + 4 * 10)


def test_hdkd_has_its_teacher_forward_besides(settings):
    hdkd, teacher = run(settings, "hdkd", "20"), run(settings, "teacher", "all")
    own, taught = macs(settings, hdkd, 2), macs(settings, teacher, 2)
    assert cost.work(settings, hdkd, IMAGES) == 10 * 20 * (3 * own + taught) + 4 * 10 * own


def test_published_counts_stand_in_for_data_that_are_not_here(settings):
    assert cost.images_of(settings, "phantom", {})["none"] == {"train": 480, "test": 150}
    assert cost.images_of(settings, "phantom", FACTS) == IMAGES
    assert cost.images_of(settings, "folder", {}) == {}


def test_a_cell_without_a_training_is_estimated_from_its_work(settings):
    small, large = run(settings, "student", "20"), run(settings, "student", "all")
    table = cost.table(settings, [summary(small, 60.0)], FACTS).set_index(["role", "subset"])
    assert table.minutes["student", "20"] == 1
    assert not table.estimated["student", "20"]
    ratio = cost.work(settings, large, IMAGES) / cost.work(settings, small, IMAGES)
    assert table.minutes["student", "all"] == pytest.approx(ratio)
    assert table.estimated["student", "all"]
    # 10 epochs of 20 images in a minute.
    assert table.images_per_second["student", "20"] == pytest.approx(200 / 60)


def test_without_any_training_nothing_is_estimated(settings):
    table = cost.table(settings, [], FACTS)
    assert table["minutes"].isna().all()
    assert math.isnan(cost.hours_left(table))


def test_hours_left_are_those_of_the_missing_trainings(settings):
    every = plan.all_runs(settings, "phantom")
    made = [summary(run, 360.0, peak_memory_bytes=2**30) for run in every[1:]]
    table = cost.table(settings, made, FACTS)
    teacher = table.set_index("role").loc["teacher"]
    assert table["runs"].sum() == len(every)
    assert cost.hours_left(table) == pytest.approx(teacher.minutes / 60)
    assert set(table["peak_memory_gib"].dropna()) == {1.0}


def test_trainings_side_by_side_keep_the_device_busy_once(settings):
    student, hdkd = run(settings, "student", "20"), run(settings, "hdkd", "20")
    pieces = [
        {"started": "2026-01-01T10:30:00+00:00", "seconds": 3600.0},
        {"started": "2026-01-01T15:00:00+00:00", "seconds": 1800.0},
    ]
    hours = cost.device_hours(
        [summary(student, 3600.0, "10:00:00"), summary(hdkd, 5400.0, "10:30:00", pieces=pieces)]
    )
    assert hours == {"cpu": 2.0}


def test_a_walltime_is_twice_the_estimate_of_its_rules_longest_run(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    estimates = [each.seconds for each in missing(settings, "cpu") if each.run.role == "hdkd"]
    expected = STARTING_MINUTES + math.ceil(2 * max(estimates) / 60)
    assert walltimes(settings, "cpu")["train_hdkd"] == expected


@pytest.mark.parametrize("profile", config.PROFILES)
def test_every_run_has_a_rule_that_trains_it(profile):
    rules = (ROOT / "workflow/rules/train.smk").read_text()
    settings = config.load(ROOT / "params.yaml", profile)
    for dataset in settings.study:
        for key in plan.all_runs(settings, dataset):
            name = rule_of(key)
            assert f"rule {name}:" in rules or f" as {name} with:" in rules
