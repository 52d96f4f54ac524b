"""A run that several processes share, started by torchrun as the workflow does."""

import json

import pandas as pd
import pytest
import yaml

TEACHER = "models/demo/teacher/phantom/teacher-mbcsa-s2/nall/seed0"
TORCHRUN = ["torchrun", "--standalone", "--nproc-per-node", "2", "--no-python", "--"]
EPOCHS = 6


@pytest.fixture(scope="module")
def command(built, tmp_path_factory) -> list[str]:
    """A run of HDKD, but for its output."""
    parameters = built.parameters
    parameters["student"]["demo"] |= {"epochs": EPOCHS}
    path = tmp_path_factory.mktemp("shared") / "params.yaml"
    path.write_text(yaml.safe_dump(parameters))
    return [
        "train", "--params", str(path), "--dataset", "phantom", "--role", "hdkd", "--subset", "16",
        "--teacher", TEACHER, "--threads", "1", "--no-tracking", "--output",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def shared(built, command, tmp_path_factory):
    """The folder above the run of two processes, and above its log."""
    folder = tmp_path_factory.mktemp("two")
    built.run(*TORCHRUN, "hdkd", "--log", str(folder / "log"), *command, str(folder / "run"))
    return folder


def test_two_processes_leave_the_run_that_one_leaves(built, command, shared, tmp_path):
    built.run("hdkd", *command, str(tmp_path / "run"))
    one, two = (pd.read_csv(folder / "run" / "metrics.csv") for folder in (tmp_path, shared))
    compared = ["epoch", "learning_rate", "train_loss", "train_features", "validation_loss"]
    pd.testing.assert_frame_equal(one[compared], two[compared], rtol=1e-3)
    processes = [
        json.loads((folder / "run" / "summary.json").read_text())["provenance"].get("processes", 1)
        for folder in (tmp_path, shared)
    ]
    assert processes == [1, 2]


def test_each_epoch_is_reported_once(shared):
    lines = (shared / "log").read_text().splitlines()
    assert len([line for line in lines if f"/{EPOCHS}  loss" in line]) == EPOCHS


def test_a_run_of_two_processes_that_its_budget_stops_continues(built, command, shared, tmp_path):
    start = [*TORCHRUN, "hdkd", *command, str(tmp_path / "run")]
    stopped = built.run(*start, "--time-budget", "0", check=False)
    assert stopped.returncode != 0
    assert f"the time budget ends after epoch 1 of {EPOCHS}" in stopped.stderr
    assert "continues after epoch 1" in built.run(*start).stdout
    for name in ("model.safetensors", "predictions.csv"):
        expected = (shared / "run" / name).read_bytes()
        assert (tmp_path / "run" / name).read_bytes() == expected


def test_the_workflow_starts_as_many_processes_as_it_is_told(built):
    target = f"{TEACHER}/summary.json"
    options = ("-n", "-p", "--force", "--set-resources", "train_teacher:processes=2", "--")
    printed = built.snakemake(*options, target).stdout
    assert "torchrun --standalone --nproc-per-node 2 --no-python -- hdkd --log" in printed
