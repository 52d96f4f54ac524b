"""Distillation and trained models for people's own torch code."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hdkd
from hdkd.api import Needs, needs
from hdkd.api.needs import _read, of_features
from hdkd.cli import main
from hdkd.config import load, methods
from hdkd.data.batches.augment import augment, normalise
from hdkd.data.batches.imageset import TrainingSet
from hdkd.data.batches.loader import Loader
from hdkd.distillation.attention_transfer import AttentionTransfer
from hdkd.distillation.method import Method, Teaching, Term, build_method
from hdkd.errors import DataError, ParameterError, RunError
from hdkd.models import Output, build
from hdkd.training.loop import train
from project import ROOT
from small import AUGMENTATION, DISTILLATION, SIZES, STUDENT, TRAINING, noise, setup

SEED = 5  # that of the tests' runs
SCHEDULE = {
    "epochs": 3, "lr": 1e-3, "min_lr": 1e-4, "warmup_lr": 1e-4, "warmup_epochs": 1,
    "weight_decay": 0.05,
}  # fmt: skip


class SameBatches:
    """The batches of a run of the workflow, epoch after epoch, as a loader of one's own."""

    def __init__(self) -> None:
        self.order = torch.Generator().manual_seed(SEED)
        self.draws = torch.Generator().manual_seed(SEED + 1_000_003)

    def __iter__(self):
        loader = Loader(TrainingSet(noise(), np.arange(13)), "cpu")
        for images, labels, draws in loader.epoch(4, self.order, self.draws):
            yield normalise(augment(images.float() / 255, draws, AUGMENTATION)), labels


def everything() -> tuple[torch.Tensor, torch.Tensor]:
    """The thirteen images and their labels as one batch."""
    source = noise()
    return normalise(torch.tensor(source.images)), torch.tensor(source.labels)


def batches(size: int = 4, classes: int = 2) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Three batches of noise."""
    images, _ = everything()
    labels = torch.arange(12) % classes
    return list(zip(images[:12].split(size), labels.split(size), strict=True))


def networks(method: str = "hdkd"):
    """A teacher and a hybrid student of the heads that the method trains."""
    torch.manual_seed(0)
    teacher = build("teacher", **SIZES)
    predicting = methods()[method].predicting
    return teacher, build("hybrid", **SIZES, **STUDENT, predicting=predicting)


def linear(classes: int = 2) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(256, classes))


# The same numbers.


@pytest.mark.parametrize("method", ["hdkd", "deit_hard", "fitnet", "vkd", "cskd", "alone"])
def test_it_computes_what_a_run_of_the_workflow_computes(method):
    teacher, student = networks(method)
    with torch.random.fork_rng():
        torch.manual_seed(SEED + 3_000_017)
        taught = build_method(method, student, teacher, (1, 16, 16), DISTILLATION)
    asked = teacher if methods()[method].taught else None
    rows = []
    train(student, setup(noise(), TRAINING, Teaching(asked, taught)), rows.append)

    again = networks(method)
    loaders = (SameBatches(), [everything()])
    result = hdkd.distill(*again, loaders, method, seed=SEED, **SCHEDULE)
    for row in (*rows, *result.history):
        del row["images_per_second"]
    assert result.history == rows
    weights = result.student.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in student.state_dict().items())


def test_soft_deit_is_hdkd_without_its_feature_term():
    losses, weights = [], []
    for method, settings in (("deit_soft", {}), ("hdkd", {"feature_weight": 0.0})):
        teacher, student = networks()
        # AdamW would make steps of the rounding errors that are the gradients of some biases.
        optimizer = torch.optim.SGD(student.parameters(), lr=0.01, momentum=0.9)
        loaders = (batches(), None)
        result = hdkd.distill(
            teacher, student, loaders, method, optimizer=optimizer, epochs=3, **settings
        )
        losses.append([row["train_loss"] for row in result.history])
        weights.append(result.student.state_dict())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for name, value in weights[0].items():
        assert torch.allclose(value.float(), weights[1][name].float(), atol=1e-6), name


def test_one_head_is_taught_as_both():
    """(1 - α) cross-entropy + α KL / classes, by hand, of one step of plain SGD."""
    torch.manual_seed(0)
    teacher, student = linear(), linear()
    batch = (torch.randn(4, 1, 16, 16), torch.tensor([0, 1, 0, 1]))
    with torch.no_grad():
        own, taught = student(batch[0]), teacher(batch[0])
    kl = (taught.softmax(1) * (taught.log_softmax(1) - own.log_softmax(1))).sum(1).mean()
    expected = 0.5 * nn.functional.cross_entropy(own, batch[1]) + 0.5 * kl / 2
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    result = hdkd.distill(
        teacher, student, ([batch], [batch]), "deit_soft", optimizer=optimizer, epochs=1
    )
    [row] = result.history
    assert row["train_loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert row["train_kl"] == pytest.approx(kl.item() / 2, rel=1e-5)
    assert result.student is student
    predicted = student(batch[0]).argmax(dim=1)
    assert row["validation_accuracy"] == (predicted == batch[1]).float().mean().item()


def test_two_heads_predict_by_their_mean():
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.heads = nn.ModuleList((linear(), linear()))

        def forward(self, images):
            return self.heads[0](images), self.heads[1](images)

    torch.manual_seed(0)
    student, batch = Pair(), everything()
    [row] = hdkd.distill(linear(), student, ([batch], [batch]), "deit_hard", epochs=1).history
    with torch.no_grad():
        mean = sum(student(batch[0])) / 2
    loss = nn.functional.cross_entropy(mean, batch[1])
    assert row["validation_loss"] == pytest.approx(loss.item(), rel=1e-5)


def test_defaults_are_those_of_the_papers_profile():
    from hdkd.api import settings

    paper = load(ROOT / "params.yaml", "paper").parameters
    assert {name: getattr(paper.student, name) for name in settings.TRAINING} == settings.TRAINING
    assert paper.student.warmup_epochs == settings.WARMUP * paper.student.epochs
    found = {name: getattr(paper.distillation, name) for name in settings.DISTILLATION}
    assert found == settings.DISTILLATION


# What is kept, left alone and decided by the seed.


def test_the_weights_of_the_best_epoch_on_validation_images_stay():
    torch.manual_seed(0)
    student, snapshots = linear(), []

    def on_epoch(row) -> None:
        state = {name: value.clone() for name, value in student.state_dict().items()}
        score = (row["validation_balanced_accuracy"], -row["validation_loss"])
        snapshots.append((score, row["epoch"], state))

    result = hdkd.distill(
        None, student, (batches(), [everything()]), "alone",
        epochs=8, lr=0.1, keep="best_on_validation", on_epoch=on_epoch,
    )  # fmt: skip
    _, epoch, state = max(snapshots, key=lambda each: each[0])
    assert epoch < 8, "the last epoch is the best: the test needs another one"
    assert result.epoch == epoch
    assert all(torch.equal(value, state[name]) for name, value in student.state_dict().items())


def test_an_epoch_that_is_not_evaluated_has_no_validation_metrics():
    loaders = (batches(), batches())
    result = hdkd.distill(None, linear(), loaders, "alone", epochs=3, evaluate_every=2)
    evaluated = [row["validation_loss"] is not None for row in result.history]
    assert evaluated == [False, True, True]
    assert result.epoch == 3


def test_the_seed_decides_dropout_and_the_callers_random_numbers_go_on():
    def losses(seed: int) -> list[float]:
        torch.manual_seed(0)
        student = nn.Sequential(nn.Dropout(0.5), linear())
        before = torch.get_rng_state()
        result = hdkd.distill(
            linear(), student, (batches(), None), "deit_soft", seed=seed, epochs=2
        )
        after = torch.randn(3)
        torch.set_rng_state(before)
        linear()
        assert torch.equal(after, torch.randn(3))
        return [row["train_loss"] for row in result.history]

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_looking_at_validation_images_changes_nothing_of_the_training():
    def losses(watched: bool) -> list[float]:
        torch.manual_seed(0)
        every = TensorDataset(*everything())
        train, validation = (DataLoader(every, batch_size=4, shuffle=True) for _ in range(2))
        loaders = (train, validation if watched else None)
        result = hdkd.distill(None, linear(), loaders, "alone", epochs=3)
        return [row["train_loss"] for row in result.history]

    assert losses(watched=True) == losses(watched=False)


def test_the_teacher_keeps_its_weights_and_no_file_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    teacher, student = networks()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    hdkd.distill(teacher, student, (batches(), batches()), epochs=1)
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert not list(tmp_path.iterdir())


# Methods and optimisers of one's own.


class Projected(Method):
    """A method that learns a projection of the logits itself."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.projection = nn.Linear(classes, classes)

    @classmethod
    def of(cls, pair):
        return cls(pair.student.logits.shape[1])

    def forward(self, student, teacher, labels, progress):
        projected = self.projection(student.output.logits)
        return {
            "cross_entropy": Term(nn.functional.cross_entropy(student.output.logits, labels)),
            "logits": Term(nn.functional.mse_loss(projected, teacher.output.logits)),
        }


def test_a_method_and_an_optimizer_of_ones_own_learn_by_a_schedule_of_ones_own():
    student = linear()
    optimizer = torch.optim.SGD(student.parameters(), lr=0.001)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=2)
    result = hdkd.distill(
        linear(), student, (batches(), None), Projected,
        optimizer=optimizer, epochs=2, on_epoch=lambda row: schedule.step(),
    )  # fmt: skip
    assert [row["learning_rate"] for row in result.history] == pytest.approx([0.001, 0.0005])
    assert result.history[1]["train_logits"] < result.history[0]["train_logits"]
    own = optimizer.param_groups[0]["params"][len(list(student.parameters())) :]
    assert [tuple(each.shape) for each in own] == [(2, 2), (2,)]
    assert all(each.grad is not None for each in own)


def test_a_network_with_stages_of_its_own_is_taught_by_its_maps():
    class Stages(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stages = nn.ModuleList(nn.Conv2d(*pair, 3, 2, 1) for pair in ((1, 8), (8, 16)))
            self.head = nn.Linear(16, 2)

        def forward(self, images):
            first = self.stages[0](images)
            second = self.stages[1](first)
            logits = self.head(second.mean(dim=(2, 3)))
            return Output(logits, features=(first, second))

    torch.manual_seed(0)
    result = hdkd.distill(Stages(), Stages(), (batches(), None), "hdkd", epochs=3, lr=0.01)
    features = [row["train_features"] for row in result.history]
    assert features[0] > features[1] > features[2] > 0


# What does not fit.


def test_methods_say_what_they_read_of_a_network():
    nothing = Needs(frozenset(), frozenset())
    for name in ("alone", "deit_soft", "deit_hard", "dkd", "dist", "logit_standardisation"):
        assert needs(name) == needs(name, "vit") == nothing
    assert needs("hdkd") == ({"features"}, {"features"})
    assert needs("cskd", "vit") == ({"patches", "classify"}, {"features", "classify"})
    assert needs("rkd") == ({"patches"}, {"features"})
    assert needs("attention_transfer", "vit") == ({"layers", "patches"}, {"features"})


def test_finding_out_what_a_method_reads_draws_no_random_number():
    _read.cache_clear()
    before = torch.get_rng_state()
    needs("ofa")
    assert torch.equal(torch.get_rng_state(), before)


def distil(**changes):
    arguments = {"teacher": linear(), "student": linear(), "method": "deit_soft", "epochs": 1}
    arguments |= {"loaders": (batches(), None)} | changes
    return hdkd.distill(**arguments)


@pytest.mark.parametrize("method", of_features())
def test_a_method_that_reads_features_only_teaches_other_classes_than_the_teachers(method):
    teacher, student = build("teacher", **SIZES | {"num_classes": 3}), networks(method)[1]
    result = hdkd.distill(teacher, student, (batches(), None), method, epochs=1)
    assert result.history[0]["train_accuracy"] > 0


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": "kd"}, "there is no method 'kd': take one of alone, hdkd, "),
        ({"method": AttentionTransfer()}, "method must be a name or a subclass of"),
        ({"teacher": None}, "deit_soft asks a teacher: pass one"),
        (
            {"method": "hdkd"},
            "hdkd needs more than logits (of the student features; of the teacher features): let "
            "the network give it, as those of hdkd.models do, or take one of alone, deit_hard",
        ),
        (
            {"method": "cskd", "teacher": build("teacher", **SIZES)},
            "cskd needs more than logits (of the student classify, patches): let",
        ),
        (
            {"teacher": linear(3)},
            "the student has 2 classes and the teacher 3: give both the classes of the labels, or "
            "take a method that reads features only: attention_transfer, fitnet, loc",
        ),
        ({"method": "dkd"}, "dkd says nothing of 2 classes: it needs 3"),
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"learning_rate": 1.0}, "unknown setting learning_rate: there are epochs, lr, "),
        ({"lr": 1e-5}, "min_lr (2e-05) must not exceed lr (1e-05): lower it, too"),
        ({"epochs": 3, "warmup_epochs": 3}, "warmup_epochs (3) must be less than epochs (3)"),
        ({"keep": "best_on_test"}, "keep must be one of last, best_on_validation, not 'best_on_t"),
        ({"keep": "best_on_validation"}, "keep='best_on_validation' needs a validation loader"),
        ({"alpha": 2.0}, "alpha must be at most 1, not 2.0"),
        ({"strength": -1}, "strength must be a number of at least 0, not -1"),
        ({"device": "tpu"}, "device must be one of auto, cpu, cuda, not 'tpu'"),
        (
            {"optimizer": torch.optim.SGD(linear().parameters()), "lr": 0.1},
            "lr would not reach the optimizer that you pass: set it there",
        ),
        (
            {"optimizer": torch.optim.SGD(linear().parameters())},
            "the optimizer that you pass has none of the student's parameters",
        ),
        (
            {"student": linear().requires_grad_(False)},
            "no weight of the student requires a gradient, as those of a teacher do not: call",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(changes, sentence):
    with pytest.raises(ParameterError) as error:
        distil(**changes)
    assert sentence in str(error.value)


class Smaller(nn.Module):
    """A network whose maps are half as wide."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> Output:
        output = self.network(images)
        maps = tuple(nn.functional.avg_pool2d(each, 2) for each in output.features)
        return output._replace(features=maps)


@pytest.mark.parametrize("method", ["hdkd", "hdkd_projected", "fitnet", "dearkd"])
def test_maps_that_cannot_be_compared_are_named_with_their_shapes(method):
    teacher, student = networks(method)
    with pytest.raises(ParameterError) as error:
        hdkd.distill(Smaller(teacher), student, (batches(), None), method, epochs=1)
    text = str(error.value)
    maps = [each.shape[1:] for each in teacher(everything()[0]).features]
    halved = " and ".join(f"{c}×{side // 2}×{side // 2}" for c, side, _ in maps)
    assert text.startswith(f"{method} cannot compare what the networks give: the student gives fea")
    assert text.endswith(f", the teacher features {halved} (of an image each)")


def test_a_second_head_that_nothing_trains_does_not_predict():
    with pytest.raises(ParameterError, match="trains one head of the student, which predicts with"):
        hdkd.distill(*networks("hdkd"), (batches(), None), "fitnet", epochs=1)
    with pytest.raises(ParameterError, match="build it with predicting='class'"):
        hdkd.distill(*networks("hdkd"), (batches(), None), "hdkd", epochs=1, alpha=0.0)


IMAGES = torch.zeros(2, 1, 16, 16)


@pytest.mark.parametrize(
    ("loader", "sentence"),
    [
        (iter([]), "the training loader gives its batches once, and every epoch needs them"),
        ([], "the training loader gives no batches"),
        ([IMAGES], "the training loader must give (images, labels), not a tensor (2, 1, 16, 16)"),
        (
            [(IMAGES.byte(), torch.zeros(2).long())],
            "must give floats (batch, channels, height, width) and whole numbers (batch,), not a "
            "tensor (2, 1, 16, 16) of torch.uint8 and a tensor (2,) of torch.int64",
        ),
        ([(IMAGES, torch.zeros(2, 1).long())], "whole numbers (batch,), not"),
        (
            [(IMAGES, torch.tensor([0, 2]))],
            "gives labels from 0 to 2, and the student has 2 classes",
        ),
    ],
)
def test_batches_that_are_none_are_said_in_a_sentence(loader, sentence):
    with pytest.raises(DataError) as error:
        distil(loaders=(loader, None))
    assert sentence in str(error.value)


def test_a_network_that_returns_no_logits_is_said_in_a_sentence():
    sentence = r"not a tensor \(1, 1, 16, 16\) of torch.float32: wrap it"
    with pytest.raises(DataError, match=sentence):
        distil(student=nn.Conv2d(1, 1, 1))


def test_a_loss_that_is_no_number_ends_the_training():
    images = torch.full((4, 1, 16, 16), float("inf"))
    with pytest.raises(RunError, match="no finite number after epoch 1, at learning rate 2e-05"):
        distil(loaders=([(images, torch.tensor([0, 1, 0, 1]))], None), epochs=40)


# A trained classifier, and what importing costs.


def test_a_loaded_model_says_what_the_command_says(tmp_path, capsys):
    file = tmp_path / "scan.png"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 50), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    classifier = hdkd.load("brain_tumor")
    [row] = classifier.probabilities([file])
    assert main(["predict", "--json", "--model", "brain_tumor", str(file)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["class"] == classifier.classes[row.argmax()]
    assert list(answer["probabilities"].values()) == pytest.approx(row.tolist(), abs=1e-6)
    assert answer["unlike_training"] is True, "it is noise"
    assert hdkd.load(Path("pretrained") / "brain_tumor").classes == classifier.classes


def test_a_classifier_takes_paths_as_text_and_no_file_at_all(tmp_path):
    classifier = hdkd.load("brain_tumor")
    assert classifier.probabilities([]).shape == (0, len(classifier.classes))
    for files in (["lost.png"], "lost.png", Path("lost.png"), iter([Path("lost.png")])):
        with pytest.raises(DataError, match=r"not usable: lost\.png: no such file$"):
            classifier.probabilities(files)


def test_a_model_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(RunError, match=r"lung is neither a run folder nor a model .*brain_tumor"):
        hdkd.load("lung")


def test_importing_hdkd_imports_nothing_slow():
    code = (
        "import sys, hdkd; assert 'hdkd.api' not in sys.modules and 'torch' not in sys.modules; "
        "from hdkd import distill, load; assert 'torch' in sys.modules; "
        "assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    with pytest.raises(AttributeError, match="module 'hdkd' has no attribute 'distil'"):
        hdkd.distil  # noqa: B018
