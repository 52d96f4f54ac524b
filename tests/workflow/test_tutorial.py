"""The tutorial: every command that it shows is run, in its order, on a smaller demo."""

import re
import shutil

import pytest

from project import ROOT, Project

pytestmark = pytest.mark.slow
PAGE = (ROOT / "docs/tutorial.md").read_text("utf-8")
# What makes the environment, which is there.
INSTALLING = ("make setup", "source .venv/bin/activate")


@pytest.fixture(scope="module")
def reader(built, tmp_path_factory) -> Project:
    """A copy of the built project, which the tutorial changes."""
    folder = tmp_path_factory.mktemp("tutorial") / "project"
    shutil.copytree(built.folder, folder)
    (folder / "reports/demo/report.html").unlink()
    return Project.existing(folder)


@pytest.fixture(scope="module")
def outputs(reader) -> list[str]:
    """What each block of commands has printed; all share one shell, as a reader's do."""
    blocks = re.findall(r"^```\n(.*?)^```$", PAGE, re.M | re.S)
    lines = [line for block in blocks for line in [*block.splitlines(), 'echo "end of block"']]
    typed = [line for line in lines if line not in INSTALLING]
    assert len(lines) - len(typed) == len(INSTALLING)
    script = "\n".join(["set -e", "exec 2>&1", *typed])
    return reader.run("bash", "-c", script).stdout.split("end of block\n")


def test_the_first_block_builds_a_report(reader, outputs):
    assert (reader.folder / "reports/demo/report.html").exists()


def test_the_same_command_again_has_nothing_to_do(outputs):
    assert "Nothing to be done" in outputs[1]


def test_a_model_prints_a_class_for_each_image(reader, outputs):
    images = list((reader.folder / "data/raw/phantom/files/test/glioma").glob("*.png"))
    lines = re.findall(r"^\S+/test/glioma/\S+\.png +\w+ +[01]\.\d{4}", outputs[2], re.M)
    assert len(lines) == len(images)


def test_own_images_get_a_report_of_their_own(reader, outputs):
    assert "(100%) done" in outputs[3]
    assert "My images" in (reader.folder / "reports/demo/report.html").read_text("utf-8")


def test_smaller_batches_would_train_students_and_no_teacher(outputs):
    planned = set(re.findall(r"^(train_\w+) +\d+$", outputs[4], re.M))
    assert planned == {"train_student", "train_hdkd", "train_baseline"} & planned
    assert "train_hdkd" in planned
    assert "train_teacher" not in planned
