"""Every method teaches both students: it trains, stops and resumes as if it had not stopped."""

import subprocess

import pytest
import torch

from hdkd.config import About, Training, methods
from hdkd.distillation.method import Teaching, build_method
from hdkd.models import build
from hdkd.training.checkpoint import Checkpoint
from hdkd.training.loop import train
from project import ROOT
from small import DISTILLATION, SIZES, STUDENT, setup

TRAINING = Training("adamw", 1e-3, 1e-4, 1e-4, 1, 0.05, 4, 4, 2)
IMAGES = {name: SIZES[name] for name in ("num_classes", "image_size", "in_channels")}
VIT = {"patch_pixels": 8, "layers": 2, "embed_dim": 8, "heads": 2}
TAUGHT = [(name, network) for name, about in methods().items() for network in about.networks]


class KilledError(Exception):
    """Stands for a signal."""


def student_of(name: str, network: str):
    sizes = VIT if network == "vit" else {"stem_stride": 2, **STUDENT}
    sizes |= {} if network == "vit" else {n: SIZES[n] for n in ("channels", "depths")}
    return build(network, **IMAGES, **sizes, predicting=methods()[name].predicting)


def teaching_of(name: str, student) -> Teaching:
    teacher = build("teacher", **SIZES, stem_stride=2) if methods()[name].taught else None
    method = build_method(name, student, teacher, (1, 16, 16), DISTILLATION)
    return Teaching(teacher, method)


def trained(name, network, images, folder, stop_after=None):
    """Student and method after training, and the rows that were reported."""
    torch.manual_seed(0)
    student = student_of(name, network)
    teaching = teaching_of(name, student)
    rows = []

    def on_epoch(row):
        if row["epoch"] == stop_after:
            raise KilledError
        rows.append(row)

    with Checkpoint(folder, {"torch": "2"}, share=1e9) as checkpoint:
        train(student, setup(images, TRAINING, teaching), on_epoch, checkpoint)
    return student, teaching.method, rows


@pytest.mark.parametrize(("name", "network"), TAUGHT)
def test_a_stopped_run_ends_as_an_undisturbed_one(source, tmp_path, name, network):
    student, method, _ = trained(name, network, source, tmp_path / "undisturbed")
    with pytest.raises(KilledError):
        trained(name, network, source, tmp_path / "parts", stop_after=3)
    resumed, resumed_method, _ = trained(name, network, source, tmp_path / "parts")
    for one, other in ((student, resumed), (method, resumed_method)):
        state, found = one.state_dict(), other.state_dict()
        assert state.keys() == found.keys()
        assert all(torch.equal(state[key], found[key]) for key in state)


@pytest.mark.parametrize(("name", "network"), TAUGHT)
def test_every_term_is_reported_and_every_weight_learns(source, tmp_path, name, network):
    torch.manual_seed(0)
    student = student_of(name, network)
    method = teaching_of(name, student).method
    before = {**dict(student.named_parameters()), **dict(method.named_parameters())}
    student, method, rows = trained(name, network, source, tmp_path)
    expected = {"alone": 1, "label_smoothing": 2, "hdkd": 3}.get(name, 2)
    terms = {key for key in rows[-1] if key.startswith("train_")} - {"train_loss", "train_accuracy"}
    assert "train_cross_entropy" in terms
    assert len(terms) >= expected
    for key, value in [*student.named_parameters(), *method.named_parameters()]:
        assert not torch.equal(value, before[key]), key


@pytest.mark.parametrize(("name", "network"), TAUGHT)
def test_what_a_method_learns_itself_is_not_the_students(name, network):
    student = student_of(name, network)
    keys = set(student.state_dict())
    teaching_of(name, student)
    assert set(student.state_dict()) == keys


def test_every_method_describes_itself():
    for name, about in methods().items():
        assert about.title, name
        assert about.origin.count(".") >= 2, f"{name}: two sentences at least"
        assert set(about.networks) <= {"hybrid", "vit"}, name
        assert about.predicting in ("class", "both", "both_and_patches"), name
        assert bool(about.logits) <= about.taught, name


def test_the_student_alone_and_hdkd_come_first():
    assert list(methods())[:2] == ["alone", "hdkd"]


def test_the_method_in_the_guide_is_one(source, tmp_path):
    guide = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## To add a method")[2]
    code = guide.partition("```python\n")[2].partition("```")[0]
    assert len(code.splitlines()) <= 40
    ruff = ["ruff", "check", "--stdin-filename", "hdkd/distillation/logit_regression.py", "-"]
    assert subprocess.run(ruff, input=code, text=True, cwd=ROOT).returncode == 0
    defined = {}
    exec(code, defined)
    About(**defined["ABOUT"])
    torch.manual_seed(0)
    student = build("hybrid", **SIZES, **STUDENT, predicting=defined["ABOUT"]["predicting"])
    teaching = Teaching(build("teacher", **SIZES), defined["LogitRegression"]())
    rows = []
    train(student, setup(source, TRAINING, teaching), rows.append)
    assert rows[-1]["train_logits"] > 0
