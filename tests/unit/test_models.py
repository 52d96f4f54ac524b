"""Networks: published sizes, shapes, gradients, and what is refused."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hdkd import config
from hdkd.models import StudentSizes, TeacherSizes, build
from hdkd.models.baselines import ImageNetwork
from hdkd.models.complexity import complexity
from hdkd.study.names import BASELINES
from project import ROOT

# Parameters (M) and multiply-accumulates (G) at 224×224 and 7 classes, measured on the released
# implementation with ptflops; they round to the paper's Tables 1, 2, 6 and 7.
REFERENCE = [
    ("mbcsa", 2, "teacher", "3.9487", "5.8789"),
    ("mbcsa", 2, "student", "3.7250", "2.0822"),
    ("mbcsa", 2, "hdkd", "3.7273", "2.0852"),
    ("mbconv", 2, "teacher", "3.9472", "5.8518"),
    ("mbconv", 2, "student", "3.7245", "2.0741"),
    ("mbconv", 2, "hdkd", "3.7268", "2.0771"),
    ("mbcsa", 4, "teacher", "3.9487", "1.4708"),
    ("mbcsa", 4, "student", "3.6873", "0.5114"),
    ("mbcsa", 4, "hdkd", "3.6897", "0.5139"),
]
PAPER_IMAGES = {"num_classes": 7, "image_size": 224, "in_channels": 3}
SMALL = {"num_classes": 5, "image_size": 32, "in_channels": 1, "channels": (8, 16, 24)}
SMALL_DEPTHS = {"teacher": (2, 2, 2), "student": (1, 1, 2), "hdkd": (1, 1, 2)}


def small(role: str, **changes):
    student = {} if role == "teacher" else {"layers": 2, "embed_dim": 24, "heads": 3, "head_dim": 8}
    return build(role, **(SMALL | {"depths": SMALL_DEPTHS[role]} | student | changes))


@pytest.mark.parametrize(("block", "stride", "role", "parameters", "macs"), REFERENCE)
def test_complexity_equals_the_released_implementation(block, stride, role, parameters, macs):
    size = complexity(build(role, **PAPER_IMAGES, block=block, stem_stride=stride), 224)
    assert (f"{size.parameters / 1e6:.4f}", f"{size.macs / 1e9:.4f}") == (parameters, macs)


@pytest.mark.parametrize("block", ["mbcsa", "mbconv"])
@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("role", ["teacher", "student", "hdkd"])
def test_every_parameter_gets_a_gradient(role, stride, block):
    model = small(role, block=block, stem_stride=stride)
    output = model(torch.randn(3, 1, 32, 32))
    total = output.logits.sum()
    if role == "hdkd":
        total = total + output.distillation_logits.sum()
    total.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    assert torch.isfinite(total)


def test_stages_have_the_same_shapes_in_teacher_and_student():
    images = torch.randn(2, 1, 32, 32)
    shapes = [(2, 8, 16, 16), (2, 16, 8, 8), (2, 24, 4, 4)]
    for role in ("teacher", "student", "hdkd"):
        features = small(role)(images).features
        assert [tuple(feature.shape) for feature in features] == shapes


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_only_hdkd_has_a_second_head(role):
    model = small(role).eval()
    images = torch.randn(4, 1, 32, 32)
    output = model(images)
    assert output.logits.shape == (4, 5)
    assert output.distillation_logits is None
    assert torch.equal(model.predict(images), output.logits)


def test_hdkd_returns_two_logits_and_predicts_their_mean():
    model = small("hdkd").eval()
    images = torch.randn(4, 1, 32, 32)
    classes, distillation, *_ = model(images)
    assert classes.shape == distillation.shape == (4, 5)
    assert torch.equal(model.predict(images), (classes + distillation) / 2)


def test_every_patch_and_special_token_has_a_position():
    positions = {
        role: build(role, **PAPER_IMAGES).transformer.positions for role in ("student", "hdkd")
    }
    assert positions["student"].shape == (1, 14 * 14 + 1, 256)
    assert positions["hdkd"].shape == (1, 14 * 14 + 2, 256)


def test_sizes_that_are_left_out_are_those_of_the_profile_paper():
    network = config.load(ROOT / "params.yaml", "paper").network()
    assert TeacherSizes(**network.arguments("teacher")) == TeacherSizes()
    assert StudentSizes(**network.arguments("student")) == StudentSizes()


def test_image_size_must_fit_stride_and_patches():
    with pytest.raises(ValueError, match="image_size must be a multiple of 32"):
        build("student", num_classes=7, image_size=48, in_channels=3, stem_stride=4)


@pytest.mark.parametrize(
    "change", [{"block": "resnet"}, {"stem_stride": 3}, {"channels": (8, 12, 16)}]
)
def test_block_stride_and_channels_that_do_not_exist_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        small("teacher", **change)


def test_unknown_role_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="teacher, student, hdkd"):
        build("pupil", **PAPER_IMAGES)


# As each network's own paper or library prints them.
MILLIONS_WITH_1000_CLASSES = {
    "mobilenet_v2": "3.5",
    "mobilenet_v3_large": "5.5",
    "efficientnet_b0": "5.3",
    "pvt_tiny": "13.2",
    "crossvit_tiny": "7.0",
    "mobilevit_s": "5.6",
    "pvt_v2_b0": "3.7",
    "coatnet_0": "27.4",
}


class TestBaselines:
    def test_may_all_be_named_by_the_parameters(self):
        parameters = config.read(ROOT / "params.yaml")
        parameters["baselines"]["demo"]["models"] = [*BASELINES]
        config.resolve(parameters)

    @pytest.mark.parametrize("name", BASELINES)
    def test_have_the_parameters_that_are_published_for_1000_classes(self, name):
        model = build(name, num_classes=1000, image_size=224, in_channels=3)
        count = sum(p.numel() for p in model.parameters())
        assert f"{count / 1e6:.1f}" == MILLIONS_WITH_1000_CLASSES[name]

    @pytest.mark.parametrize("name", BASELINES)
    def test_take_small_grey_images_and_give_every_parameter_a_gradient(self, name):
        model = build(name, num_classes=4, image_size=48, in_channels=1)
        logits = model(torch.randn(2, 1, 48, 48)).logits
        assert logits.shape == (2, 4)
        assert torch.isfinite(logits).all()
        logits.sum().backward()
        assert [n for n, p in model.named_parameters() if p.grad is None] == []

    def test_see_a_grey_image_as_one_with_three_equal_channels(self):
        network = ImageNetwork(nn.Flatten())
        grey = torch.arange(4.0).view(1, 1, 2, 2)
        assert network.predict(grey).tolist() == [[0, 1, 2, 3] * 3]

    def test_other_channels_are_refused(self):
        with pytest.raises(
            ValueError, match="mobilenet_v2 takes images with 1 or 3 channels, not 2"
        ):
            build("mobilenet_v2", num_classes=4, image_size=48, in_channels=2)


@pytest.mark.parametrize(("heads", "expected"), [("class", 0), ("distillation", 1)])
def test_a_head_that_is_not_trained_does_not_vote(heads, expected):
    model = small("hdkd", predicting=heads).eval()
    images = torch.randn(4, 1, 32, 32)
    assert torch.equal(model.predict(images), model(images)[expected])


class Product(nn.Module):
    """A 4×4 image times itself, written in one of several ways, after a layer with 1 weight."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.scale = nn.Conv2d(1, 1, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.scale(x)[:, 0]
        if self.way == "fused":
            return F.scaled_dot_product_attention(x, x, x)
        return torch.matmul(x, x) if self.way == "matmul" else x @ x


# 16 for the convolution; 4×4×4 for a product, twice in attention.
@pytest.mark.parametrize(
    ("way", "macs", "unseen"), [("matmul", 80, 0), ("at", 16, 64), ("fused", 16, 128)]
)
def test_products_that_the_papers_counter_does_not_see_are_counted_apart(way, macs, unseen):
    size = complexity(Product(way), 4, in_channels=1)
    assert (size.macs, size.unseen_macs) == (macs, unseen)
