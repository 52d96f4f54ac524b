"""What the Python API makes of unusual networks, optimizers and loaders, and leaves as it was."""

import copy

import pytest
import torch
from torch import nn

import hdkd
from hdkd.config import methods
from hdkd.distillation.method import Method, Term
from hdkd.errors import DataError, ParameterError
from hdkd.models import build
from small import SIZES, STUDENT, noise

PLAIN = {"num_classes": 2, "image_size": 16, "in_channels": 1}


def batches(size: int = 4, count: int = 12) -> list[tuple[torch.Tensor, torch.Tensor]]:
    images = torch.tensor(noise().images[:count]).float() / 255
    labels = torch.arange(count) % 2
    return list(zip(images.split(size), labels.split(size), strict=True))


def linear(classes: int = 2) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(256, classes))


def distil(**changes):
    arguments = {"teacher": linear(), "student": linear(), "method": "deit_soft", "epochs": 1}
    return hdkd.distill(**arguments | {"loaders": (batches(), None)} | changes)


def modes(network: nn.Module) -> list[bool]:
    return [module.training for module in network.modules()]


# What it leaves as it was.


@pytest.mark.parametrize("method", ["alone", "deit_soft"])
def test_a_teacher_in_evaluation_stays_there(method):
    teacher = nn.Sequential(nn.BatchNorm2d(1), linear()).eval()
    distil(teacher=teacher, method=method)
    assert not any(modes(teacher))


def test_a_network_that_is_refused_keeps_the_mode_of_each_of_its_parts():
    student = nn.Sequential(nn.BatchNorm2d(1), linear(3))
    student[0].eval()
    before = modes(student)
    with pytest.raises(ParameterError, match="the student has 3 classes"):
        distil(student=student)
    assert modes(student) == before


def test_looking_at_a_network_in_training_changes_nothing_of_it():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.own = nn.BatchNorm2d(1), linear()

        def forward(self, images):
            logits = self.own(self.norm(images))
            return {"logits": logits} if self.training else logits

    student = Odd()
    with pytest.raises(DataError, match="a network must return logits"):
        distil(student=student, method="alone")
    assert student.norm.running_mean.item() == 0
    assert student.norm.num_batches_tracked.item() == 0


def test_a_teacher_says_of_the_gradient_of_its_images_what_it_said_before():
    torch.manual_seed(0)
    teacher = build("teacher", **SIZES)
    images = batches()[0][0].requires_grad_()

    def saliency() -> torch.Tensor:
        return torch.autograd.grad(teacher.eval().predict(images).sum(), images)[0]

    before = saliency()
    student = build("hybrid", **SIZES, **STUDENT, predicting="both")
    distil(teacher=teacher, student=student, method="hdkd")
    assert torch.allclose(saliency(), before, rtol=1e-4, atol=1e-6)


# Heads.


class TwoHeads(nn.Module):
    """A pair of logits; the second ones are wrong and far apart before anything trains them."""

    def __init__(self, only_in_training: bool = False) -> None:
        super().__init__()
        self.own, self.second = linear(), linear()
        self.second[1].bias.data = torch.tensor([1e4, 0.0])
        self.only_in_training = only_in_training

    def forward(self, images):
        first, second = self.own(images), self.second(images)
        if self.only_in_training and not self.training:
            return (first + second) / 2
        return first, second


def test_the_head_that_a_network_names_predicts():
    torch.manual_seed(0)
    student, [batch] = TwoHeads(), batches(12)
    student.predicting = "class"
    result = distil(student=student, method="alone", loaders=([batch], [batch]))
    alone = student.own(batch[0]).argmax(dim=1)
    expected = (alone == batch[1]).float().mean().item()
    assert result.history[0]["validation_accuracy"] == pytest.approx(expected)


def test_a_head_that_there_is_not_is_refused():
    student = TwoHeads()
    student.predicting = "distilation"
    with pytest.raises(ParameterError, match="predicting must be one of class, distillation, both"):
        distil(student=student, method="alone")


def test_a_second_head_in_training_alone_is_not_left_untrained():
    student = TwoHeads(only_in_training=True)
    with pytest.raises(ParameterError, match="has a second one in training only"):
        distil(student=student, method="alone")
    distil(student=student, method="deit_hard")


# The optimizer.


def test_a_fused_optimizer_that_has_been_used_steps_as_another_one_does():
    def trained(fused: bool) -> torch.Tensor:
        torch.manual_seed(0)
        student = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3), nn.Flatten())
        student.append(nn.Linear(8 * 12 * 12, 2))
        optimizer = torch.optim.AdamW(student.parameters(), lr=1e-2, fused=fused)
        for images, labels in batches():
            optimizer.zero_grad()
            nn.functional.cross_entropy(student(images), labels).backward()
            optimizer.step()
        distil(student=student, method="alone", optimizer=optimizer)
        return student[1].weight.detach()

    assert torch.allclose(trained(fused=True), trained(fused=False), atol=1e-5)


# Methods.


# The exits of OFA-KD normalise by batch what is one pixel of an image, which takes two of them.
OF_ONE = [name for name, about in methods().items() if about.taught and name != "ofa"]


@pytest.mark.parametrize("method", OF_ONE)
def test_a_batch_of_one_image_teaches(method):
    """As the last one of an epoch of a ``DataLoader`` may be."""
    about = methods()[method]
    sizes = SIZES | {"num_classes": max(2, about.fewest_classes)}
    torch.manual_seed(0)
    predicting = about.predicting
    student = build("hybrid", **sizes, **STUDENT, predicting=predicting)
    loader = [*batches(), *batches(1, 1)]
    result = distil(
        teacher=build("teacher", **sizes), student=student, method=method, loaders=(loader, None)
    )
    assert result.history[0]["train_loss"] > 0


@pytest.mark.parametrize("method", ["attention_transfer", "fitnet", "hdkd_projected"])
def test_networks_of_other_numbers_of_stages_are_named_with_their_shapes(method):
    class Stages(nn.Module):
        def __init__(self, network: nn.Module, count: int) -> None:
            super().__init__()
            self.network, self.count = network, count

        def forward(self, images):
            output = self.network(images)
            return output._replace(features=output.features[: self.count])

    student = build("hybrid", **SIZES, **STUDENT, predicting=methods()[method].predicting)
    with pytest.raises(ParameterError, match=f"{method} cannot compare what the networks give"):
        distil(teacher=Stages(build("teacher", **SIZES), 1), student=student, method=method)


class Features(Method):
    """Of one's own: reads no classes of the teacher."""

    def forward(self, student, teacher, labels, progress):
        logits = student.output.logits
        return {"cross_entropy": Term(nn.functional.cross_entropy(logits, labels))}


@pytest.mark.parametrize("method", ["alone", "label_smoothing", Features])
def test_a_teacher_whose_classes_nobody_reads_may_have_others(method):
    assert distil(teacher=linear(3), method=method).history[0]["train_loss"] > 0


# What does not fit.


def test_a_teacher_that_is_the_student_is_refused():
    network = linear()
    with pytest.raises(ParameterError, match="teacher and student share weights"):
        distil(teacher=network, student=network)
    distil(teacher=copy.deepcopy(network), student=network)


@pytest.mark.parametrize("loaders", [batches(), (batches(),), None])
def test_loaders_that_are_no_pair_are_refused(loaders):
    with pytest.raises(ParameterError, match="loaders must be a pair"):
        distil(loaders=loaders)


def test_a_loader_that_is_none_is_named():
    with pytest.raises(DataError, match="the training loader is a NoneType: pass a DataLoader"):
        distil(loaders=(None, None))


def test_a_warm_up_does_not_come_down_to_the_rate():
    with pytest.raises(ParameterError, match=r"warmup_lr \(2e-05\) must not exceed lr \(1e-05\)"):
        distil(epochs=4, lr=1e-5, min_lr=1e-6, warmup_epochs=1)
    distil(epochs=1, lr=1e-5, min_lr=1e-6, warmup_epochs=0)
