"""``hdkd train`` with what does not fit: a finished run, other images, another teacher."""

import shutil
from pathlib import Path

import pytest
import yaml

from hdkd import cli, config
from hdkd.errors import RunError
from hdkd.remote.bundle import unpack_bundle, write_bundle
from hdkd.runs.folder import RunFolder
from hdkd.study import plan
from hdkd.training.checkpoint import checkpoint_of, epochs_in
from project import parameters, tiny

DATASET = ["--params", "params.yaml", "--dataset", "phantom"]
TRAIN = ["train", *DATASET, "--no-tracking", "--threads", "1", "--subset", "16"]
STUDENT = [*TRAIN, "--role", "student", "--output", "student"]


def write(**changes: dict) -> None:
    """Tiny parameters, with ``changes`` of sections of the demo."""
    chosen = tiny(parameters())
    for section, values in changes.items():
        chosen[section]["demo"] |= values
    Path("params.yaml").write_text(yaml.safe_dump(chosen))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Prepared images, a teacher of few of them, and a student."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write()
        for command in ("acquire", "prepare", "split"):
            assert cli.main([command, *DATASET]) == 0
        assert cli.main([*TRAIN, "--role", "teacher", "--output", "teacher"]) == 0
        assert cli.main(STUDENT) == 0
    return folder


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    write()


def test_a_finished_run_stays_as_it_is(capsys):
    before = Path("student/summary.json").read_bytes()
    assert cli.main([*STUDENT, "--time-budget", "0"]) == 0
    assert "student is finished already: --restart trains it again" in capsys.readouterr().out
    assert Path("student/summary.json").read_bytes() == before


def test_a_finished_run_with_other_settings_is_replaced_only_when_told(capsys):
    write(student={"epochs": 3})
    assert cli.main(STUDENT) == 2
    assert (
        "student has a finished run with other settings, data or teacher" in capsys.readouterr().err
    )
    assert RunFolder(Path("student")).summary.epochs == 2
    assert cli.main([*STUDENT, "--restart"]) == 0
    assert RunFolder(Path("student")).summary.epochs == 3


def test_images_that_were_prepared_at_another_size_are_named(capsys):
    write(images={"size": 64})
    assert cli.main([*TRAIN, "--role", "student", "--output", "other"]) == 2
    assert "has images of size 32, not 64 as the parameters say" in capsys.readouterr().err


def test_a_teacher_of_another_network_is_named(capsys):
    taught = [*TRAIN, "--role", "hdkd", "--teacher", "teacher", "--output", "other"]
    assert cli.main([*taught, "--block", "mbconv"]) == 2
    assert "the teacher teacher has block mbcsa, not mbconv" in capsys.readouterr().err
    assert cli.main(taught) == 0


def test_a_control_is_taught_by_a_teacher_of_its_own(capsys):
    taught = [*TRAIN, "--role", "hdkd", "--teacher", "teacher", "--output", "control"]
    control = [*taught, "--group", "ablations", "--point"]
    assert cli.main([*control, "teacher_seed3"]) == 2
    assert (
        "the teacher teacher has subset 16, and teacher_seed3 is taught by one of subset all"
        in capsys.readouterr().err
    )
    assert cli.main([*control, "subset_teacher", "--seed", "1"]) == 2
    assert "has seed 0, and subset_teacher is taught by one of seed 1" in capsys.readouterr().err
    assert cli.main([*control, "subset_teacher"]) == 0


def test_an_import_does_not_replace_what_is_begun_with_other_settings(tmp_path, monkeypatch):
    student = [*TRAIN, "--role", "student"]
    every = plan.student_runs(config.load(Path("params.yaml")), "phantom")
    run = next(r for r in every if (r.role, r.subset, r.seed) == ("student", "16", 0))
    assert cli.main(student) == 0
    write_bundle("demo", [run], tmp_path / "bundle", 1)
    shutil.rmtree(run.folder)
    write(student={"epochs": 100_000})
    assert cli.main([*student, "--time-budget", "0.03"]) == 75
    behind = epochs_in(checkpoint_of(run.folder))
    assert behind > 0
    with pytest.raises(RunError, match="is begun here with other settings or data: move it away"):
        unpack_bundle(tmp_path / "bundle")
    assert epochs_in(checkpoint_of(run.folder)) == behind
    checkpoint_of(run.folder).unlink()
    assert unpack_bundle(tmp_path / "bundle")[1] == [run.folder.as_posix()]
    assert cli.main([*student, "--time-budget", "0"]) == 2, "it has other settings than these"
