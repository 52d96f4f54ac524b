"""A study made in pieces of time on one machine, and brought home to another."""

import copy
import json
import subprocess
import time
from pathlib import Path

import filelock
import mlflow
import pandas as pd
import psutil
import pytest
import yaml

from hdkd import cli, config
from hdkd.remote.borrow import MissingRun, choose, of_group, value_order
from hdkd.remote.bundle import contents_of, write_bundle
from hdkd.runs import predictions
from hdkd.runs.folder import RunFolder
from hdkd.study import plan
from hdkd.training.checkpoint import epochs_in, is_locked, lock_of
from project import ROOT, Project


@pytest.fixture(scope="module")
def parameters(tiny_parameters) -> dict:
    """Three runs: a teacher, and student and HDKD with many short epochs."""
    parameters = copy.deepcopy(tiny_parameters)
    parameters["datasets"]["phantom"]["subsets"] = [16]
    parameters["ablations"]["demo"] = {"variants": [], "subset": 16, "distillation": None}
    parameters["baselines"]["demo"]["models"] = []
    parameters["student"]["demo"] |= {"epochs": 2400, "evaluate_every": 800}
    return parameters


def bundle_of_everything(project: Project, folder) -> None:
    """All that the project has made, finished or not, in parts of 0.02 MiB."""
    script = (
        "from pathlib import Path; from hdkd import config\n"
        "from hdkd.remote import bundle; from hdkd.remote.borrow import value_order\n"
        "settings = config.load(Path('params.yaml'))\n"
        f"bundle.write_bundle('demo', value_order(settings), Path({str(folder)!r}), 0.02)"
    )
    project.run("python", "-c", script)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory, parameters):
    """The machine that is borrowed, and what each piece of time printed, until nothing was left."""
    project = Project(tmp_path_factory.mktemp("borrowed") / "project", parameters)
    project.snakemake("data")
    outputs = []
    minutes = 0.8
    while not outputs or " 3 of 3 runs done" not in outputs[-1]:
        assert len(outputs) < 12
        command = ["hdkd", "borrow", "--minutes", str(minutes), "--parallel", "2", "--cores", "2"]
        outputs.append(project.run(*command).stdout)
        first, runs = project.folder / "first", project.folder / "models/demo"
        both = runs.glob("teacher/**/summary.json"), runs.glob("students/**/checkpoint.bin")
        if not first.exists() and all(map(any, both)):
            bundle_of_everything(project, first)
        minutes *= 1.4  # where starting takes most of a piece, the next ones get further
    return project, outputs


def test_the_value_order_starts_with_the_teacher_and_all_seeds_of_the_first_row():
    settings = config.load(ROOT / "params.yaml", "paper")
    names = [(run.dataset, run.role, run.subset, run.seed) for run in value_order(settings)]
    assert names[:7] == [
        ("brain_tumor", "teacher", "all", 0),
        ("brain_tumor", "student", "200", 0),
        ("brain_tumor", "hdkd", "200", 0),
        ("brain_tumor", "student", "200", 1),
        ("brain_tumor", "hdkd", "200", 1),
        ("brain_tumor", "student", "200", 2),
        ("brain_tumor", "hdkd", "200", 2),
    ]
    assert names[25] == ("ham10000", "teacher", "all", 0)
    every = [run for d in settings.study for run in plan.all_runs(settings, d)]
    assert sorted(run.folder for run in value_order(settings)) == sorted(r.folder for r in every)


def test_jobs_are_chosen_until_the_time_is_full_the_last_in_part(parameters):
    settings = config.resolve(parameters)
    runs = value_order(settings)
    jobs = [
        MissingRun(runs[0], 100),
        MissingRun(runs[1], 300),
        MissingRun(runs[2], 50, teacher=runs[0]),
    ]
    assert choose(jobs, 60, parallel=1) == jobs[:1]
    assert choose(jobs, 101, parallel=1) == jobs[:2]
    assert choose(jobs, 250, parallel=2) == jobs


def test_a_training_fills_one_place_only_and_hdkd_waits_for_its_teacher(parameters):
    teacher, student, hdkd = value_order(config.resolve(parameters))
    jobs = [
        MissingRun(teacher, 1000),
        MissingRun(student, 10),
        MissingRun(hdkd, 10, teacher=teacher),
    ]
    assert choose(jobs, 60, parallel=2) == jobs[:2]
    assert choose(jobs[2:], 60, parallel=2) == jobs[2:]


def test_the_data_are_built_before_anything_is_restored(parameters, tmp_path, monkeypatch, capsys):
    """The data would be newer than what is restored, which would be trained again for that."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(parameters))
    assert cli.main(["borrow", "--minutes", "1"]) == 2
    assert capsys.readouterr().err == (
        "error: data/prepared/demo/phantom/split.csv is missing: build the data first "
        "(`snakemake --cores 4 data --config profile=demo`)\n"
    )


def test_of_a_group_only_its_runs_are_wanted_and_what_they_need():
    settings = config.load(ROOT / "params.yaml", "pilot")
    every = [
        MissingRun(run, 60, plan.teacher_of(settings, run) if run.is_taught else None)
        for run in value_order(settings)
    ]
    methods = {each.run for each in of_group(settings, every, "methods")}
    assert methods == {
        run
        for name in ("brain_tumor", "ham10000")
        for run in (*plan.method_runs(settings, name), *plan.teacher_runs(settings, name))
    }
    baselines = {each.run.group for each in of_group(settings, every, "baselines")}
    assert baselines == {"tuning", "baselines", "teacher"}, "teachers of trials, too"


@pytest.mark.slow
def test_pieces_of_time_finish_the_study(pieces, parameters):
    project, outputs = pieces
    assert len(outputs) > 1
    for run in value_order(config.resolve(parameters)):
        folder = RunFolder(project.folder / run.folder)
        assert len(folder.metrics) == folder.summary.epochs
        assert not (folder.path / "checkpoint.bin").exists()


@pytest.mark.slow
def test_sigterm_stops_its_trainings_with_it_and_the_next_piece_continues(parameters, tmp_path):
    project = Project(tmp_path / "project", parameters)
    project.snakemake("data")
    command = ["hdkd", "borrow", "--minutes", "9", "--parallel", "1", "--cores", "1"]
    borrowing = subprocess.Popen(
        command, cwd=project.folder, env=project.environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    student = project.folder / "models/demo/students/phantom/student-mbcsa-s2/n16/seed0"
    while not (student / "checkpoint.bin").exists():
        assert borrowing.poll() is None
        time.sleep(0.05)
    borrowing.terminate()
    errors = borrowing.communicate(timeout=120)[1]
    assert borrowing.returncode == 75
    assert errors.splitlines()[-1] == "stopped by SIGTERM; the same command continues it"
    processes = [each.info for each in psutil.process_iter(["cmdline", "cwd"])]
    left = [each["cmdline"] for each in processes if each["cwd"] == str(project.folder)]
    assert left == []
    behind = epochs_in(student / "checkpoint.bin")
    assert 0 < behind < 2400
    project.run(*command[:2], "--minutes", "0.6", *command[4:])
    assert not is_locked(student)
    assert (student / "summary.json").exists() or epochs_in(student / "checkpoint.bin") > behind


@pytest.mark.slow
def test_a_bundle_is_small_parts_and_imports_once(pieces, parameters, tmp_path):
    project, _ = pieces
    home = Project(tmp_path / "home", parameters)
    runs = [r.folder.as_posix() for r in value_order(config.resolve(parameters))]
    bundle_of_everything(project, tmp_path / "all")
    parts = sorted((tmp_path / "all").glob("runs.tar.gz.*"))
    assert len(parts) > 1
    assert max(part.stat().st_size for part in parts) <= 0.02 * 2**20
    first = home.run("hdkd", "import-runs", str(tmp_path / "all")).stdout
    assert "3 new run folders, 3 new runs in MLflow" in first
    assert "82 of runs: 82 not run" in first
    again = home.run("hdkd", "import-runs", str(tmp_path / "all")).stdout
    assert "0 new run folders, 0 new runs in MLflow" in again
    summaries = (home.folder / "reports/demo/summaries.jsonl").read_text().splitlines()
    assert len(summaries) == 3
    epochs = pd.read_csv(home.folder / "reports/demo/epochs.csv")
    assert set(epochs["run"]) == set(runs)
    assert predictions.read(home.folder / "reports/demo").probabilities.keys() == set(runs)
    mlflow.set_tracking_uri(f"sqlite:///{home.folder}/mlflow/mlflow.db")
    logged = mlflow.search_runs(experiment_names=["hdkd-demo-phantom"])
    logged = logged[logged["tags.role"].notna()].set_index("tags.role")
    for run in value_order(config.resolve(parameters)):
        theirs = RunFolder(project.folder / run.folder)
        assert logged.loc[run.role, "metrics.final_accuracy"] == pytest.approx(
            theirs.summary.final.accuracy
        )
        assert logged.loc[run.role, "status"] == "FINISHED"
        seconds = (logged.loc[run.role, "end_time"] - logged.loc[run.role, "start_time"]).seconds
        assert seconds == pytest.approx(theirs.summary.provenance.duration_seconds, abs=1.5)
        ours = RunFolder(home.folder / run.folder)
        assert ours.metrics.equals(theirs.metrics)
        ours.load_model()


@pytest.mark.slow
def test_a_study_in_part_has_a_report_that_says_so(pieces, parameters, tmp_path):
    project, _ = pieces
    home = Project(tmp_path / "home", parameters)
    home.run("hdkd", "import-runs", str(project.folder / "first"))
    finished = json.loads((project.folder / "first/manifest.json").read_text())["finished"]
    assert 0 < len(finished) < 3
    are = "is" if len(finished) == 1 else "are"
    said = f"This study is not finished: {len(finished)} of its 3 runs {are} here."
    assert said in (home.folder / "reports/demo/README.md").read_text()
    assert said in (home.folder / "reports/demo/report.html").read_text()
    costs = pd.read_csv(home.folder / "reports/demo/cost.csv")
    assert costs["finished"].sum() == len(finished)
    assert costs["minutes"].notna().all()


@pytest.mark.slow
def test_dvc_versions_the_weights_of_a_bundle(pieces, parameters, tmp_path):
    project, _ = pieces
    home = Project(tmp_path / "home", parameters)
    home.run("git", "init", "--quiet", "--initial-branch", "main")
    home.run("dvc", "init", "--quiet")
    output = home.run("hdkd", "import-runs", str(project.folder / "first")).stdout
    assert "data/runs/demo.dvc: commit it; `dvc push` shares the weights" in output
    home.run("dvc", "remote", "add", "--default", "shelf", str(tmp_path / "shelf"))
    home.run("git", "add", "--all")
    assert "data/runs/demo.dvc" in home.run("git", "status", "--short").stdout
    home.run("git", "commit", "--quiet", "--message", "a piece of the study")
    home.run("dvc", "push")

    clone = Project.existing(tmp_path / "clone")
    home.run("git", "clone", "--quiet", ".", str(clone.folder))
    assert not (clone.folder / "models").exists()
    clone.run("dvc", "pull", "data/runs/demo.dvc")
    kept = [str(path) for path in (clone.folder / "data/runs/demo").iterdir()]
    clone.run("hdkd", "import-runs", *kept)
    for name in json.loads((project.folder / "first/manifest.json").read_text())["finished"]:
        weights = f"{name}/model.safetensors"
        assert (clone.folder / weights).read_bytes() == (home.folder / weights).read_bytes()
    assert home.run("dvc", "status", "data/runs/demo.dvc").stdout.startswith("Data and pipelines")


@pytest.mark.slow
def test_an_older_piece_does_not_undo_a_newer_one(pieces, parameters, tmp_path):
    project, _ = pieces
    first = project.folder / "first"
    name = json.loads((first / "manifest.json").read_text())["unfinished"][0]
    home = Project(tmp_path / "home", parameters)
    home.run("hdkd", "import-runs", "--files-only", str(first))
    checkpoint = home.folder / name / "checkpoint.bin"
    before, behind = checkpoint.stat().st_mtime_ns, epochs_in(checkpoint)
    assert behind > 0
    again = home.run("hdkd", "import-runs", "--files-only", str(first)).stdout
    assert again == "0 new run folders\n"
    assert checkpoint.stat().st_mtime_ns == before


@pytest.mark.slow
def test_an_unfinished_training_goes_on_where_the_bundle_was_brought(pieces, parameters, tmp_path):
    project, _ = pieces
    first = project.folder / "first"
    unfinished = json.loads((first / "manifest.json").read_text())["unfinished"]
    home = Project(tmp_path / "home", parameters)
    home.snakemake("data")
    home.run("hdkd", "import-runs", str(first))
    home.snakemake("students")
    log = "".join((home.folder / "logs" / f"{name}.log").read_text() for name in unfinished)
    assert "continues after epoch" in log
    for name in unfinished:
        same = (home.folder / name / "model.safetensors").read_bytes()
        assert same == (project.folder / name / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_bundle_leaves_unfinished_trainings_behind_where_it_may_not_be_larger(
    pieces, parameters, tmp_path
):
    project, _ = pieces
    home = Project(tmp_path / "home", parameters)
    home.run("hdkd", "import-runs", "--files-only", str(project.folder / "first"))
    manifest = json.loads((project.folder / "first/manifest.json").read_text())
    runs = value_order(config.resolve(parameters))
    finished = [run for run in runs if run.folder.as_posix() in manifest["finished"]]
    small = sum(
        len(c)
        for run in finished
        for c in contents_of(run, home.folder / run.folder, False).values()
    )
    made = write_bundle(
        "demo", runs, tmp_path / "bundle", 1, root=home.folder, mebibytes=small / 2**20
    )
    assert made["finished"] == manifest["finished"]
    assert made["unfinished"] == []
    assert made["left"] == manifest["unfinished"]


@pytest.mark.slow
def test_a_run_that_trains_here_is_not_replaced(pieces, parameters, tmp_path):
    project, _ = pieces
    name, *_ = json.loads((project.folder / "first/manifest.json").read_text())["finished"]
    home = Project(tmp_path / "home", parameters)
    (home.folder / name).mkdir(parents=True)
    with filelock.FileLock(lock_of(home.folder / name)):
        result = home.run("hdkd", "import-runs", str(project.folder / "first"), check=False)
    assert result.returncode == 2
    assert result.stderr == (
        f"error: {name} trains here now: stop it or wait for its end, and import again\n"
    )
    assert list((home.folder / name).iterdir()) == []


@pytest.mark.slow
def test_a_damaged_part_is_named(pieces, tmp_path):
    project, _ = pieces
    part = next((project.folder / "first").glob("runs.tar.gz.*"))
    content = part.read_bytes()
    part.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        result = project.run("hdkd", "import-runs", "first", check=False)
    finally:
        part.write_bytes(content)
    assert result.returncode == 2
    assert result.stderr == (
        f"error: first/{part.name} is damaged (its checksum is wrong): bring it again\n"
    )
