"""The command line: what is imported, what is printed where, and which code a command ends with."""

import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from hdkd import cli
from hdkd.cli import ONNX, PIPELINE, SERVE, training
from hdkd.cli.group import MODULES
from hdkd.cli.log import logging_to
from hdkd.cli.training import group_of
from project import ROOT
from waiting import until

HEAVY = ("torch", "pandas", "mlflow", "matplotlib", "rich", "hdkd.config")


@pytest.fixture(autouse=True)
def parameters(monkeypatch):
    monkeypatch.setenv("HDKD_PARAMS", str(ROOT / "params.yaml"))


@pytest.mark.parametrize(
    ("extra", "imported"), [("pipeline", PIPELINE), ("onnx", ONNX), ("serve", SERVE)]
)
def test_a_command_knows_what_each_extra_brings(extra, imported):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = [re.match(r"[\w-]+", each)[0] for each in project["optional-dependencies"][extra]]
    other = {"imbalanced-learn": "imblearn", "markdown-it-py": "markdown_it"}
    assert {other.get(name, name) for name in listed} == imported


def test_help_lists_every_command_and_imports_nothing_heavy():
    script = (
        "import sys; from hdkd.cli import main; main(['--help']);"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    *text, heavy = run.stdout.splitlines()
    assert {line.split()[0] for line in text if line.startswith("  ")} >= set(MODULES)
    assert "..." not in "".join(text[text.index("Options:") :]), "a line of help is cut off"
    assert heavy == "[]"


@pytest.mark.parametrize("name", MODULES)
def test_every_command_explains_its_options(name, capsys):
    assert cli.main([name, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: hdkd {name} ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "missing command: see `hdkd --help`"),
        (["trian"], "no such command 'trian'"),
        (["train"], "missing option '--dataset': see `hdkd train --help`"),
        (["runs", "--seed", "1"], "no such option '--seed'"),
        (["runs", "--group"], "option '--group' requires an argument"),
        (["train", "--dataset", "phantom", "--role", "tutor"], "invalid value for '--role'"),
        (["train", "--dataset", "phantom", "--seed", "-1"], "invalid value for '--seed'"),
        (["borrow", "--part-mebibytes", "0"], "invalid value for '--part-mebibytes'"),
        (
            ["import-runs", ".", "--files-only", "--commit"],
            "--files-only leaves the reports as they",
        ),
    ],
)
def test_wrong_usage_is_one_sentence_and_code_2(arguments, sentence, capsys):
    assert cli.main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {sentence}")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--role student --point typo", "--point typo is for hdkd, not for a student"),
        ("--role hdkd --point same_steps", "--point same_steps is for student, not for a hdkd"),
        ("--role pvt_tiny --block mbconv", "--block and --stem-stride are not for a pvt_tiny"),
        ("--role student --teacher .", "--teacher must be left out: nothing teaches student-mbcsa"),
        ("--role student --group tuning", "--group tuning needs --point with a trial, as trial0,"),
        ("--role student --point trial0", "--group tuning needs --point with a trial, as trial0,"),
        ("--role student --group tuning --point trial0 --tuned .", "--tuned must be left out: a t"),
    ],
)
def test_options_that_do_not_fit_the_run_are_named(options, sentence, capsys):
    assert cli.main(["train", "--dataset", "phantom", *options.split()]) == 2
    assert capsys.readouterr().err.startswith(f"error: {sentence}")


def test_a_number_of_images_is_written_in_one_way():
    assert training.subset(None, None, "016") == "16"


def test_a_deadline_that_is_no_time_is_named(monkeypatch, capsys):
    monkeypatch.setenv("HDKD_DEADLINE", "noon")
    assert cli.main(["train", "--dataset", "phantom", "--role", "student"]) == 2
    assert "HDKD_DEADLINE must be a time in seconds since 1970, not 'noon'" in (
        capsys.readouterr().err
    )


def test_a_run_belongs_to_the_group_of_its_role():
    of_role = {role: group_of(role) for role in ("teacher", "student", "hdkd", "vit", "pvt_tiny")}
    assert of_role == {
        "teacher": "teacher", "student": "students", "hdkd": "students", "vit": "methods",
        "pvt_tiny": "baselines",
    }  # fmt: skip


def test_a_run_whose_time_is_over_does_not_begin(monkeypatch, capsys):
    monkeypatch.setenv("HDKD_DEADLINE", str(time.time() - 1))
    assert cli.main(["train", "--dataset", "phantom", "--role", "student"]) == 75
    assert "the time was over before it began" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        ("nowhere/runs.txt", "nowhere/runs.txt is not there: make it first, or name another"),
        ("file/runs.txt", "file/runs.txt lies below a file instead of a folder: name another"),
        (".", ". is a folder instead of a file: name another"),
    ],
)
def test_a_path_that_cannot_be_is_named(output, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert cli.main(["runs", "--output", output]) == 2
    assert capsys.readouterr().err == f"error: {sentence}\n"


def test_a_file_name_need_not_be_utf_8(tmp_path):
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Image.new("RGB", (8, 8)).save(os.fsdecode(path))
    command = [sys.executable, "-m", "hdkd", "predict", "--model", "ham10000", path]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert r"caf\udce9.png" in ended.stdout


def test_a_user_error_is_one_sentence_and_code_2(capsys):
    assert cli.main(["profile", "--profile", "large"]) == 2
    assert capsys.readouterr().err.startswith("error: profile must be one of demo")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("split --dataset nope", "there is no dataset 'nope': datasets has phantom"),
        ("figures --dataset nope", "there is no dataset 'nope': datasets has phantom"),
        (
            "train --role student --dataset phantom --subset abc",
            "invalid value for '--subset'",
        ),
        (
            "split --dat phantom",
            "no such option '--dat'; did you mean '--dataset': see",
        ),
    ],
)
def test_what_does_not_exist_is_named_before_anything_is_read(command, said, capsys):
    assert cli.main(command.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}")
    assert error.count("\n") == 1


class TestLog:
    def test_takes_what_a_command_prints(self, tmp_path, capfd):
        log = tmp_path / "logs" / "profile.log"
        assert cli.main(["--log", str(log), "profile"]) == 0
        assert log.read_text() == "demo\n"
        assert capfd.readouterr() == ("", "")

    def test_shows_errors_on_the_terminal_too_and_keeps_the_code(self, tmp_path, capfd):
        log = tmp_path / "log"
        assert cli.main(["--log", str(log), "profile", "--profile", "large"]) == 2
        assert log.read_text() == capfd.readouterr().err != ""

    def test_has_what_children_print(self, tmp_path, capfd):
        with logging_to(tmp_path / "log"):
            subprocess.run(["sh", "-c", "echo printed; echo failed >&2"], check=True)
        assert sorted((tmp_path / "log").read_text().split()) == ["failed", "printed"]
        assert capfd.readouterr() == ("", "failed\n")

    def test_has_the_last_sentence_where_sigterm_comes_to_every_process(self, tmp_path, capfd):
        log = tmp_path / "log"
        with logging_to(log):
            print("begun", file=sys.stderr)
            until(lambda: log.read_text() == "begun\n", 60, "nothing is logged")
            subprocess.run(["pkill", "-TERM", "-P", str(os.getpid())], check=True)
            print("stopped", file=sys.stderr)
        assert log.read_text() == "begun\nstopped\n"
        assert capfd.readouterr() == ("", "begun\nstopped\n")

    def test_has_the_last_sentence_where_the_terminal_has_gone(self, tmp_path):
        hdkd = [sys.executable, "-m", "hdkd", "--log", tmp_path / "log"]
        terminal = subprocess.Popen(["true"], stdin=subprocess.PIPE)
        terminal.wait()
        ended = subprocess.run([*hdkd, "profile", "--profile", "x"], stderr=terminal.stdin)
        assert ended.returncode == 2
        assert (tmp_path / "log").read_text().startswith("error: ")

    def test_has_the_traceback_of_what_nobody_expected(self, tmp_path, monkeypatch):
        def fail(*_):
            raise ValueError("nobody expected this")

        monkeypatch.setattr("hdkd.config.load", fail)
        with pytest.raises(ValueError, match="nobody"):
            cli.main(["--log", str(tmp_path / "log"), "profile"])
        assert (tmp_path / "log").read_text().startswith("Traceback")

    def test_that_cannot_be_written_is_named(self, tmp_path, capsys):
        (tmp_path / "file").touch()
        assert cli.main(["--log", str(tmp_path / "file" / "log"), "profile"]) == 2
        assert "name another file with --log" in capsys.readouterr().err


def test_output_that_is_closed_early_is_no_error():
    script = "import sys; from hdkd.cli import main; sys.exit(main(['runs']))"
    run = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "{script}" | true; echo ${{PIPESTATUS[0]}}'],
        capture_output=True, text=True, cwd=ROOT, check=True,
    )  # fmt: skip
    assert (run.stdout, run.stderr) == ("0\n", "")
