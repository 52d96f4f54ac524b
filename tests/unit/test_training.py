"""The training loop: statistics of normalisations, reproducibility, what stops it."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from hdkd.config import Training
from hdkd.data.batches.imageset import Chosen, ImageSet
from hdkd.distillation.hdkd import HDKD, set_batchnorm_momentum
from hdkd.distillation.method import Teaching
from hdkd.errors import RunError
from hdkd.models import build
from hdkd.runs.folder import RunFolder
from hdkd.runs.weights import in_half_precision
from hdkd.training.checkpoint import Checkpoint
from hdkd.training.evaluated import BATCH
from hdkd.training.job import choose_device, load_teacher
from hdkd.training.loop import predict, train
from small import DISTILLATION, SIZES, STUDENT, params_of, setup

TRAINING = Training("adamw", 1e-3, 1e-4, 1e-4, 1, 0.05, 3, 4, 1)


def trained(source: ImageSet, training: Training = TRAINING, distilled: bool = True):
    """A small HDKD after training, and the rows that it reported."""
    torch.manual_seed(0)
    model = build("hdkd" if distilled else "student", **SIZES, **STUDENT)
    teaching = Teaching(build("teacher", **SIZES), HDKD(DISTILLATION)) if distilled else None
    rows = []
    train(model, setup(source, training, teaching), rows.append)
    return model, rows


def test_the_same_seed_gives_the_same_weights_and_metrics(source):
    (first, first_rows), (second, second_rows) = trained(source), trained(source)
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    for one, other in zip(first_rows, second_rows, strict=True):
        assert one | {"images_per_second": 0} == other | {"images_per_second": 0}


def test_every_epoch_reports_loss_and_accuracy_on_train_and_what_is_watched(source):
    _, rows = trained(source)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row in rows:
        assert 0 <= row["train_accuracy"] <= 1
        assert 0 <= row["validation_accuracy"] <= 1
        parts = 0.5 * row["train_cross_entropy"] + 0.5 * row["train_kl"]
        assert row["train_loss"] == pytest.approx(parts + 10 * row["train_features"], rel=1e-4)


def test_evaluation_can_be_spared_but_for_the_last_epoch(source):
    _, rows = trained(source, Training("adamw", 1e-3, 1e-4, 1e-4, 1, 0.05, 3, 4, 2))
    assert [row["validation_accuracy"] is None for row in rows] == [True, False, False]


def test_the_teacher_does_not_change(source):
    torch.manual_seed(0)
    teacher = build("teacher", **SIZES)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    model = build("hdkd", **SIZES, **STUDENT)
    train(model, setup(source, TRAINING, Teaching(teacher, HDKD(DISTILLATION))), lambda row: None)
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())


def test_a_loss_that_is_no_number_stops_with_step_epoch_and_rate(source):
    wild = Training("adam", 1e38, 1e38, 1e38, 0, 0.0, 3, 4, 1)
    with pytest.raises(
        RunError, match=r"from step 2 of epoch 1 on, at learning rate 1e\+38: lower"
    ):
        trained(source, wild, distilled=False)


def test_a_weight_that_is_no_number_stops_though_the_loss_was_one(source):
    one_step = Training("adam", 1e38, 1e38, 1e38, 0, 0.0, 3, 13, 1)
    with pytest.raises(RunError, match="a weight is no finite number after epoch 1"):
        trained(source, one_step, distilled=False)


def test_the_last_good_checkpoint_survives_a_loss_that_is_no_number(source, tmp_path):
    torch.manual_seed(0)
    model = build("student", **SIZES, **STUDENT)
    # One epoch of warming up at a usable rate, then one that nothing survives.
    rising = Training("adam", 1e38, 1e38, 1e-4, 1, 0.0, 3, 4, 1)
    with (
        Checkpoint(tmp_path, {}, share=1e9) as checkpoint,
        pytest.raises(RunError, match=r"checkpoint\.bin has the state after epoch 1$"),
    ):
        train(model, setup(source, rising), lambda row: None, checkpoint)
    with Checkpoint(tmp_path, {}) as checkpoint:
        assert checkpoint.finished == 1


def test_momentum_stands_for_repeated_passes():
    """One pass with the combined momentum leaves what k passes of the same batch leave."""
    images = torch.randn(6, 1, 16, 16)
    repeated, once = (build("hdkd", **SIZES, **STUDENT) for _ in range(2))
    once.load_state_dict(repeated.state_dict())
    set_batchnorm_momentum(once.convolutions.stages, (4, 4, 4))
    for _ in range(4):
        repeated(images)
    once(images)
    compared = 0
    for (name, many), single in zip(repeated.named_modules(), once.modules(), strict=True):
        if isinstance(many, nn.BatchNorm2d):
            assert torch.allclose(many.running_mean, single.running_mean, atol=1e-6), name
            assert torch.allclose(many.running_var, single.running_var, atol=1e-5), name
            compared += 1
    assert compared == 9


def test_hdkd_without_a_teacher_is_refused(source):
    with pytest.raises(RunError, match="--teacher"):
        load_teacher(None, source)


def test_a_teacher_is_the_same_from_a_copy_in_half_precision(source, tmp_path):
    torch.manual_seed(0)
    sizes = {**SIZES, "num_classes": len(source.classes)}
    made = RunFolder(tmp_path / "made")
    made.start(params_of("teacher", classes=source.classes, model=sizes))
    made.write_model(build("teacher", **sizes))
    copy = tmp_path / "copy"
    shutil.copytree(made.path, copy)
    weights = copy / "model.safetensors"
    weights.write_bytes(in_half_precision(weights.read_bytes()))
    first, second = (load_teacher(path, source).state_dict() for path in (made.path, copy))
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_a_teacher_folder_that_is_no_run_is_refused(source, tmp_path):
    with pytest.raises(RunError, match=r"params\.json is missing"):
        load_teacher(tmp_path, source)


def test_a_gpu_that_a_cluster_has_given_is_not_left_idle_without_a_word(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    with pytest.raises(RunError, match=r"given a GPU .SLURM_JOB_GPUS=0. that torch cannot use"):
        choose_device("auto")
    assert choose_device("cpu") == "cpu"
    monkeypatch.delenv("SLURM_JOB_GPUS")
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "GPU-3f2a")
    with pytest.raises(RunError, match=r"given a GPU .NVIDIA_VISIBLE_DEVICES=GPU-3f2a."):
        choose_device("auto")
    monkeypatch.setenv("NVIDIA_VISIBLE_DEVICES", "void")  # as images say without one
    assert choose_device("auto") == "cpu"


class Noting:
    """Images that note how many of them are asked for at a time."""

    def __init__(self, images: np.ndarray) -> None:
        self.images, self.asked = images, []

    def __getitem__(self, positions: np.ndarray) -> np.ndarray:
        self.asked.append(len(positions))
        return self.images[positions]


def test_an_evaluation_has_no_more_images_in_memory_than_a_batch(source):
    images = Noting(np.concatenate([source.images] * 50))
    positions = np.arange(649, -1, -1)
    labels = np.resize(source.labels, 650)
    model = build("student", **SIZES, **STUDENT)
    ours, loss = predict(model, Chosen(images, positions), labels)
    assert images.asked == [*[BATCH["cpu"]] * 40, 10]
    expected, expected_loss = predict(model, torch.from_numpy(images.images[positions]), labels)
    assert np.array_equal(ours, expected)
    assert loss == expected_loss


def test_a_step_takes_the_memory_that_the_last_one_has_freed():
    """Else glibc gives maps of 64 MiB back, and the system clears 16 384 pages for each."""
    program = (
        "import resource, torch\n"
        "from hdkd.training.numerics import keep_freed_memory\n"
        "def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "keep_freed_memory()\n"
        "for _ in range(30): torch.ones(2**24)\n"
        "before = faults()\n"
        "for _ in range(10): torch.ones(2**24)\n"
        "print(faults() - before)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert int(result.stdout) < 1000
