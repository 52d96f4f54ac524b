"""A stopped training continues exactly; what cannot be trusted is not continued."""

import dataclasses
import errno
import fcntl
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from hdkd.config import Training
from hdkd.distillation.hdkd import HDKD
from hdkd.distillation.method import Teaching
from hdkd.errors import RunError, UnfinishedError
from hdkd.models import build
from hdkd.training.checkpoint import Checkpoint, State
from hdkd.training.kept import KeptWeights
from hdkd.training.loop import train
from small import DISTILLATION, SIZES, STUDENT, setup

SAME = {"training.lr": 0.001, "hdkd/distillation/hdkd.py": "0" * 64, "torch": "2.15.0"}
TRAINING = Training("adamw", 1e-3, 1e-4, 1e-4, 1, 0.05, 5, 4, 2)


class KilledError(Exception):
    """Stands for a signal."""


def trained(
    images, folder, stop_after=None, role="hdkd", deadline=None, training: Training = TRAINING
):
    """Weights, rows of this part, and the epochs that were behind it at its start."""
    torch.manual_seed(0)
    model = build(role, **SIZES, **STUDENT) if role == "hdkd" else baseline()
    teaching = Teaching(build("teacher", **SIZES), HDKD(DISTILLATION)) if role == "hdkd" else None
    rows = []

    def on_epoch(row):
        if row["epoch"] == stop_after:
            raise KilledError
        rows.append(row)

    with Checkpoint(folder, SAME, share=1e9) as checkpoint:
        before = checkpoint.finished
        kept = train(model, setup(images, training, teaching), on_epoch, checkpoint, deadline)
    kept.put_back(model)
    return model, rows, before


def baseline():
    return build("mobilenet_v2", num_classes=2, image_size=32, in_channels=1)


def same_weights(one, other) -> bool:
    return all(
        torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("role", ["hdkd", "baseline with dropout"])
@pytest.mark.parametrize("stop_after", [2, 5])
def test_a_stopped_training_ends_with_the_weights_of_an_undisturbed_one(
    source, tmp_path, role, stop_after
):
    undisturbed, rows, _ = trained(source, tmp_path / "undisturbed", role=role)
    with pytest.raises(KilledError):
        trained(source, tmp_path / "parts", stop_after, role)
    continued, later, before = trained(source, tmp_path / "parts", role=role)
    assert before == stop_after - 1
    assert same_weights(undisturbed, continued)
    for row, expected in zip(later, rows[before:], strict=True):
        assert {**row, "images_per_second": 0} == {**expected, "images_per_second": 0}


def test_the_best_epoch_survives_a_stop(source, tmp_path):
    best = dataclasses.replace(TRAINING, evaluate_every=1, keep="best_on_validation")
    undisturbed, rows, _ = trained(source, tmp_path / "undisturbed", training=best)
    losses = [(-row["validation_balanced_accuracy"], row["validation_loss"]) for row in rows]
    assert losses.index(min(losses)) < 4, "the best epoch must lie before the stop"
    with pytest.raises(KilledError):
        trained(source, tmp_path / "parts", 5, training=best)
    continued, _, _ = trained(source, tmp_path / "parts", training=best)
    assert same_weights(undisturbed, continued)


def test_a_time_budget_stops_between_epochs_and_the_next_start_continues(source, tmp_path):
    with pytest.raises(UnfinishedError, match="after epoch 1 of 5"):
        trained(source, tmp_path, deadline=time.monotonic())
    with Checkpoint(tmp_path, SAME) as checkpoint:
        assert checkpoint.finished == 1


def test_a_folder_that_is_lost_with_its_machine_continues_from_a_checkpoint_elsewhere(
    source, tmp_path, monkeypatch
):
    monkeypatch.setenv("HDKD_CHECKPOINTS", str(tmp_path / "volume"))
    monkeypatch.chdir(tmp_path)
    undisturbed, _, _ = trained(source, Path("undisturbed"))
    with pytest.raises(KilledError):
        trained(source, Path("models/run"), stop_after=3)
    assert not Path("models").exists()
    assert (tmp_path / "volume" / "models" / "run" / "checkpoint.bin").exists()
    continued, _, before = trained(source, Path("models/run"))
    assert before == 2
    assert same_weights(undisturbed, continued)


def test_a_changed_byte_is_noticed(source, tmp_path, capsys):
    trained(source, tmp_path)
    path = tmp_path / "checkpoint.bin"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with Checkpoint(tmp_path, SAME) as checkpoint:
        assert checkpoint.finished == 0
    assert "checkpoint.bin is damaged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"training.lr": 0.002}, "training.lr 0.001 instead of 0.002"),
        ({"hdkd/distillation/hdkd.py": "1" * 64}, "another hdkd/distillation/hdkd.py"),
        ({"torch": "2.11.0"}, "torch 2.15.0 instead of 2.11.0"),
        ({"teacher": "1" * 64}, "teacher nothing instead of another"),
    ],
)
def test_a_checkpoint_of_another_training_stops_and_names_what_differs(
    source, tmp_path, change, sentence
):
    trained(source, tmp_path)
    before = (tmp_path / "checkpoint.bin").read_bytes()
    with pytest.raises(RunError) as caught:
        Checkpoint(tmp_path, SAME | change).__enter__()
    assert f"checkpoint.bin was made with {sentence}: continue it with what made it" in str(
        caught.value
    )
    assert "start over with --restart, or by removing it" in str(caught.value)
    assert (tmp_path / "checkpoint.bin").read_bytes() == before


@pytest.mark.parametrize("torch_version", ["2.15.0", "2.11.0"])
def test_restart_begins_anew_for_good(source, tmp_path, torch_version):
    trained(source, tmp_path)
    with Checkpoint(tmp_path, SAME | {"torch": torch_version}, restart=True) as checkpoint:
        assert checkpoint.finished == 0
    with Checkpoint(tmp_path, SAME) as checkpoint:
        assert checkpoint.finished == 0


def test_the_folder_that_one_stands_in_can_be_trained_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Checkpoint(Path(), SAME), pytest.raises(RunError, match="another process trains in"):
        Checkpoint(tmp_path, SAME).__enter__()


def test_a_write_that_fails_leaves_the_checkpoint_before_it(source, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with pytest.raises(KilledError):
        trained(source, tmp_path, stop_after=3)
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        trained(source, tmp_path)
    with Checkpoint(tmp_path, SAME) as checkpoint:
        assert checkpoint.finished == 2


def test_two_trainings_in_one_folder_are_refused(tmp_path):
    with Checkpoint(tmp_path, SAME), pytest.raises(RunError, match="another process trains in"):
        Checkpoint(tmp_path, SAME).__enter__()


def test_a_folder_that_was_freed_and_taken_again_is_refused_to_a_third(tmp_path):
    """A process that opened the lock while it was held must not hold it beside a later one."""
    first = Checkpoint(tmp_path, SAME).__enter__()
    lock = next(tmp_path.parent.glob(f".{tmp_path.name}*"))
    with lock.open() as opened_while_held:
        first.__exit__()
        fcntl.flock(opened_while_held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(RunError, match="another process trains in"):
            Checkpoint(tmp_path, SAME).__enter__()


def test_saving_takes_no_more_than_its_share_of_the_time(tmp_path):
    model = nn.Linear(2, 2)
    optimizer = torch.optim.Adam(model.parameters())
    with Checkpoint(tmp_path, SAME, share=1e-9) as checkpoint:
        assert checkpoint.due  # what it takes is not known yet
        checkpoint.save(1, State(model, optimizer, {}, KeptWeights("last")))
        assert not checkpoint.due


def test_a_file_system_without_flock_has_locks_of_another_kind(tmp_path, monkeypatch):
    def missing(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", missing)
    with (
        pytest.warns(UserWarning, match="flock"),
        Checkpoint(tmp_path / "run", SAME),
        pytest.raises(RunError, match="another process trains"),
    ):
        Checkpoint(tmp_path / "run", SAME).__enter__()
    with Checkpoint(tmp_path / "run", SAME):
        pass
