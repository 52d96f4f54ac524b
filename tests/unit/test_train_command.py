"""``hdkd train`` with what does not fit: a finished run, other images, another teacher."""

from pathlib import Path

import pytest
import yaml

from hdkd import cli
from hdkd.runs.folder import RunFolder
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
    assert "student has a finished run with other settings or data" in capsys.readouterr().err
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
