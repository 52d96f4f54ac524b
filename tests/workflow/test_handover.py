"""A study that loses its machine in the middle, and goes on elsewhere from what was committed."""

import copy
import os
import signal
import subprocess
import time

import pytest

from hdkd import config
from hdkd.remote import handover
from hdkd.remote.borrow import waits
from hdkd.runs import evidence, tuning
from hdkd.study import plan
from project import Project
from small import summary_of


@pytest.fixture(scope="module")
def parameters(tiny_parameters) -> dict:
    """A teacher, two trials for student and HDKD each, and two seeds of both."""
    parameters = copy.deepcopy(tiny_parameters)
    parameters["datasets"]["phantom"]["subsets"] = [16]
    parameters["sweep"]["demo"]["seeds"] = [0, 1]
    parameters["tuning"]["demo"] = {
        "datasets": ["phantom"], "subset": 16, "grid": [{"lr": 0.002}, {"lr": 0.004}],
    }  # fmt: skip
    parameters["ablations"]["demo"] = {"variants": [], "distillation": None, "controls": None}
    parameters["baselines"]["demo"]["models"] = []
    return parameters


@pytest.fixture(scope="module")
def lost(tmp_path_factory, parameters):
    """A repository with what was committed before the machine vanished, and its finished runs."""
    project = Project(tmp_path_factory.mktemp("lost") / "project", parameters)
    ignored = project.folder / ".gitignore"  # which has the demo's reports, but no other profile's
    ignored.write_text(ignored.read_text().replace("/reports/demo/\n", ""))
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "the project")
    project.snakemake("data")
    settings = config.resolve(parameters)
    trials = plan.tuning_runs(settings, "phantom")
    queue = subprocess.Popen(
        ["hdkd", "borrow", "--minutes", "9", "--cores", "1"],
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 240
    while sum(plan.is_finished(project.folder / run.folder) for run in trials) < 2:
        assert queue.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(queue.pid, signal.SIGKILL)
    queue.wait()
    output = project.run("hdkd", "import-runs", "--commit", ".").stdout
    assert "committed" in output
    summaries = evidence.read(project.folder / "reports/demo/summaries.jsonl")
    return project, {summary.run: summary for summary in summaries}


def test_only_reports_are_committed(lost):
    project, _ = lost
    changed = project.run("git", "show", "--name-only", "--format=", "HEAD").stdout.split()
    assert changed
    assert all(path.startswith("reports/") for path in changed)
    assert "committed" in project.run("git", "log", "-1", "--format=committed %s").stdout
    assert "nothing new" in project.run("hdkd", "import-runs", "--commit", ".").stdout


@pytest.mark.slow
def test_a_clone_goes_on_and_trains_nothing_twice(lost, parameters, tmp_path):
    project, before = lost
    settings = config.resolve(parameters)
    every = plan.all_runs(settings, "phantom")
    assert 3 <= len(before) < len(every)
    project.run("git", "clone", "--quiet", str(project.folder), str(tmp_path / "clone"))
    clone = Project.existing(tmp_path / "clone")
    clone.snakemake("data")
    said = f"demo: {len(before)} of {len(every)} runs done, 0 running, "
    assert clone.run("hdkd", "borrow", "--state").stdout.startswith(said)
    output = clone.run("hdkd", "borrow", "--minutes", "9", "--cores", "2").stdout
    assert "from the committed evidence" in output
    clone.run("hdkd", "import-runs", "--commit", ".")
    summaries = evidence.read(clone.folder / "reports/demo/summaries.jsonl")
    after = {summary.run: summary for summary in summaries}
    assert after.keys() == set(every)
    assert {key: after[key] for key in before} == before
    # Nothing is missing, so nothing is needed any more, but for the teacher of what may be added.
    needed = [path.name for path in (clone.folder / "reports/demo/needed").iterdir()]
    assert needed == ["teacher-phantom-teacher-mbcsa-s2-nall-seed0"]
    assert (clone.folder / "reports/demo/chosen/phantom.json").exists()
    assert "demo: 9 of 9 runs done, 0 running, 0.0 hours of training left" in (
        clone.run("hdkd", "borrow", "--state").stdout
    )


@pytest.fixture
def tried(tmp_path, monkeypatch, parameters) -> config.Settings:
    """A study whose committed evidence has all trials of student and HDKD, and their choice."""
    monkeypatch.chdir(tmp_path)
    settings = config.resolve(parameters)
    commit_trials(settings)
    handover.keep(settings)
    more = copy.deepcopy(parameters)
    more["baselines"]["demo"]["models"] = ["mobilenet_v2"]
    return config.resolve(more)


def commit_trials(settings: config.Settings) -> None:
    """Evidence of all trials, of which the second is the better one."""
    summaries = [
        summary_of(
            run,
            hyperparameters=plan.hyperparameters(settings, run),
            validation={"loss": 1.0, "accuracy": 0.5, "balanced_accuracy": int(run.point[-1]) / 2},
        )
        for run in plan.tuning_runs(settings, "phantom")
    ]
    folder = plan.report_folder("demo")
    folder.mkdir(parents=True, exist_ok=True)
    evidence.write(summaries, folder / evidence.SUMMARIES)


def test_a_network_without_a_choice_waits_for_its_trials(tried):
    baseline, *_ = plan.baseline_runs(tried, "phantom")
    student, *_ = plan.student_runs(tried, "phantom")
    assert waits(tried, baseline)
    assert not waits(tried, student)


def test_settings_are_chosen_anew_once_all_trials_are_committed(tried):
    commit_trials(tried)
    assert handover.restore(tried) == ["models/demo/tuning/phantom/chosen.json"]
    assert tuning.chosen(plan.tuned_settings("demo", "phantom"), "mobilenet_v2") == {"lr": 0.004}
    assert not waits(tried, plan.baseline_runs(tried, "phantom")[0])
    assert handover.restore(tried) == []


def test_settings_are_chosen_anew_where_a_network_has_more_trials(tried, parameters):
    more = copy.deepcopy(parameters)
    more["tuning"]["demo"]["extra"] = {"phantom": {"student": [{"lr": 0.008}]}}
    settings = config.resolve(more)
    assert handover.restore(settings) == [], "the further trial is not finished"
    commit_trials(settings)
    assert handover.restore(settings) == ["models/demo/tuning/phantom/chosen.json"]
    assert tuning.chosen(plan.tuned_settings("demo", "phantom"), "student") == {"lr": 0.008}


@pytest.mark.slow
def test_another_checkout_takes_the_runs_over(lost, parameters, tmp_path):
    project, before = lost
    home = Project(tmp_path / "home", parameters)
    output = home.run("hdkd", "import-runs", str(project.folder)).stdout
    assert f"{len(before)} new run folders" in output
    assert f"demo: {len(before)} of 9 runs" in output
    again = home.run("hdkd", "import-runs", str(project.folder)).stdout
    assert "0 new run folders, 0 new runs in MLflow" in again
    times = {path.stat().st_mtime for path in (home.folder / "models").rglob("model.safetensors")}
    assert len(times) == 1, "or a teacher would seem to be trained after its students"
