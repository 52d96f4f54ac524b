"""Networks: published sizes, shapes, gradients, and what is refused."""

import pytest
import torch

from hdkd.models import build, build_student, build_teacher
from hdkd.models.complexity import complexity

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
SMALL = {"num_classes": 5, "image_size": 32, "in_channels": 1, "channels": (8, 12, 16)}
SMALL_DEPTHS = {"teacher": (2, 2, 2), "student": (1, 1, 2), "hdkd": (1, 1, 2)}


def small(role: str, **changes):
    student = {} if role == "teacher" else {"layers": 2, "embed_dim": 24, "heads": 3, "head_dim": 8}
    return build(role, **(SMALL | {"depths": SMALL_DEPTHS[role]} | student | changes))


@pytest.mark.parametrize(("block", "stride", "role", "parameters", "macs"), REFERENCE)
def test_complexity_equals_the_released_implementation(block, stride, role, parameters, macs):
    size = complexity(build(role, block=block, stem_stride=stride), 224)
    assert (f"{size.parameters / 1e6:.4f}", f"{size.macs / 1e9:.4f}") == (parameters, macs)


@pytest.mark.parametrize("block", ["mbcsa", "mbconv"])
@pytest.mark.parametrize("stride", [2, 4])
@pytest.mark.parametrize("role", ["teacher", "student", "hdkd"])
def test_every_parameter_gets_a_gradient(role, stride, block):
    model = small(role, block=block, stem_stride=stride)
    outputs = model(torch.randn(3, 1, 32, 32))
    total = outputs.sum() if isinstance(outputs, torch.Tensor) else sum(o.sum() for o in outputs)
    total.backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    assert torch.isfinite(total)


def test_stages_have_the_same_shapes_in_teacher_and_student():
    images = torch.randn(2, 1, 32, 32)
    shapes = [(2, 8, 16, 16), (2, 12, 8, 8), (2, 16, 4, 4)]
    for role in ("teacher", "student", "hdkd"):
        _, features = small(role)(images, return_features=True)
        assert [tuple(feature.shape) for feature in features] == shapes


def test_logits_with_features_are_those_without():
    images = torch.randn(2, 1, 32, 32)
    model = small("student").eval()
    logits, _ = model(images, return_features=True)
    assert torch.equal(logits, model(images))


def test_hdkd_returns_two_logits_and_predicts_their_mean():
    model = small("hdkd").eval()
    images = torch.randn(4, 1, 32, 32)
    classes, distillation = model(images)
    assert classes.shape == distillation.shape == (4, 5)
    assert torch.equal(model.predict(images), (classes + distillation) / 2)


def test_defaults_are_the_papers():
    assert build_teacher().head[1].out_features == 7
    assert build_student().transformer.positions.shape == (1, 14 * 14 + 1, 256)
    assert build_student(distilled=True).transformer.positions.shape == (1, 14 * 14 + 2, 256)


def test_image_size_must_fit_stride_and_patches():
    with pytest.raises(ValueError, match="image_size must be a multiple of 32"):
        build_student(image_size=48, stem_stride=4)


@pytest.mark.parametrize("change", [{"block": "resnet"}, {"stem_stride": 3}])
def test_unknown_block_and_stride_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        build_teacher(**change)


def test_unknown_role_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="teacher, student, hdkd"):
        build("pupil")
