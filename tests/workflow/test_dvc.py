"""`dvc repro` builds by the same commands; push, clone and pull give a finished tree."""

import fnmatch
import json
import subprocess

import pytest
import yaml

from hdkd.study import code, plan
from project import ROOT, Project, repository_of

STAGE_STEPS = {
    "data": ("acquire", "prepare", "split", "smote"),
    "teacher": ("train",),
    "tuning": ("train", "tune"),
    "students": ("train",),
    "ablations": ("train",),
    "baselines": ("train",),
    "methods": ("train",),
    "report": ("compare", "tables", "figures", "page"),
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory, tiny_parameters) -> Project:
    """A git and DVC repository in which `dvc repro` has built everything."""
    return repository_of(tmp_path_factory.mktemp("dvc") / "project", tiny_parameters)


def test_snakemake_has_nothing_left_to_do_after_repro(repository):
    assert "Nothing to be done" in repository.snakemake("all").stderr


def test_a_second_repro_does_nothing(repository):
    output = repository.run("dvc", "repro").stdout
    assert "Data and pipelines are up to date." in output
    assert "Running stage" not in output


def test_metrics_are_shown_by_name(repository):
    shown = json.loads(repository.run("dvc", "metrics", "show", "--json").stdout)
    metrics = shown[""]["data"]["reports/demo/metrics.json"]["data"]
    assert 0 <= metrics["phantom"]["hdkd-mbcsa-s2"]["nall"]["accuracy"] <= 1


def test_plots_are_rendered(repository):
    repository.run("dvc", "plots", "show", "--out", "plots")
    page = (repository.folder / "plots/index.html").read_text()
    assert "training_images" in page


def test_a_changed_rate_runs_the_students_stage_only_where_it_matters(repository):
    before = (repository.folder / "params.yaml").read_text()
    parameters = repository.parameters
    parameters["student"]["demo"]["lr"] = 0.0007
    repository.write(parameters)
    try:
        status = json.loads(repository.run("dvc", "status", "--json").stdout)
        changed = {stage for stage, why in status.items() if "params.yaml" in json.dumps(why)}
        assert changed == {
            "tuning", "students", "ablations", "baselines", "methods", "report",
        }  # fmt: skip
    finally:
        (repository.folder / "params.yaml").write_text(before)


def test_push_clone_and_pull_give_a_finished_tree(repository, tmp_path):
    repository.run("dvc", "remote", "add", "--default", "--force", "shelf", str(tmp_path / "shelf"))
    repository.run("git", "commit", "--quiet", "--all", "--message", "remote")
    repository.run("dvc", "push")
    clone = Project.existing(tmp_path / "clone")
    subprocess.run(
        ["git", "clone", "--quiet", str(repository.folder), str(clone.folder)], check=True
    )
    clone.run("dvc", "pull")
    clone.run("dvc", "status", "--quiet")
    clone.run("snakemake", "--touch", "--forceall", "--cores", "1", "all")
    assert "Nothing to be done" in clone.run("snakemake", "--dry-run", "all").stdout
    assert (clone.folder / "reports/demo/report.html").exists()


@pytest.fixture
def stages() -> dict:
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def test_each_stage_calls_the_targets_of_its_name(stages):
    for name, stage in stages.items():
        assert stage["cmd"] == f"snakemake --cores 4 {name}"
    assert list(stages) == list(STAGE_STEPS)


def test_code_that_snakemake_watches_is_a_dependency_of_the_stage(stages):
    for stage, steps in STAGE_STEPS.items():
        deps = stages[stage]["deps"]
        for step in steps:
            for name in code.STEP_CODE[step]:
                path = f"hdkd/{name}"
                covered = any(path == d or fnmatch.fnmatch(path, f"{d}/*") for d in deps)
                assert covered, f"{stage} lacks {path}"


def test_what_decides_settings_and_trainings_is_a_dependency_of_every_stage(stages):
    """Snakemake has the decided values among its parameters; DVC has to ask Snakemake."""
    for name, stage in stages.items():
        assert {"hdkd/config", "hdkd/study"} <= set(stage["deps"]), name


def test_outputs_persist_so_that_snakemake_decides_what_is_out_of_date(stages):
    for stage in stages.values():
        for kind in ("outs", "metrics", "plots"):
            for output in stage.get(kind, []):
                (options,) = output.values()
                assert options["persist"] is True


def test_every_table_is_an_output_of_the_report(stages):
    declared = {
        path
        for kind in ("outs", "metrics", "plots")
        for output in stages["report"].get(kind, [])
        for path in output
    }
    assert {f"reports/${{profile}}/{name}" for name in plan.TABLES} <= declared
