"""What is done for speed against the plain computation that it replaces."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from hdkd.distillation.hdkd import HDKD
from hdkd.models import build
from hdkd.models.blocks import CBAM
from hdkd.training.engine import LAYOUTS, hold_in_half
from hdkd.training.loop import expected_seconds
from small import DISTILLATION, ENGINE, SIZES, STUDENT, epochs_of, losses_of


def equation_3(cbam: CBAM, x: Tensor) -> Tensor:
    """CBAM and the residual connection, operation by operation."""
    channel, spatial = cbam.channel, cbam.spatial
    average, maximum = x.mean((2, 3), keepdim=True), x.flatten(2).max(2).values[:, :, None, None]
    attended = torch.sigmoid(channel.mlp(average) + channel.mlp(maximum)) * x
    pooled = torch.stack([attended.mean(1), attended.max(1).values], dim=1)
    return torch.sigmoid(spatial.conv(pooled)) * attended + x


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_attention_and_its_gradient_are_those_of_automatic_differentiation(layout):
    torch.manual_seed(0)
    cbam = CBAM(32).double()
    x = torch.randn(3, 32, 9, 9, dtype=torch.float64).contiguous(memory_format=layout)
    weight = torch.randn(3, 32, 9, 9, dtype=torch.float64)
    results = []
    for compute in (equation_3, CBAM.plain, CBAM.forward):
        cbam.zero_grad()
        leaf = x.clone().requires_grad_()
        y = compute(cbam, leaf)
        (y * weight).sum().backward()
        results.append([y.detach(), leaf.grad, *(p.grad.clone() for p in cbam.parameters())])
    for expected, *found in zip(*results, strict=True):
        for each in found:
            assert torch.allclose(each, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("frozen", ["channel", "spatial", "both"])
def test_frozen_attention_passes_the_gradient_on(frozen):
    torch.manual_seed(0)
    cbam = CBAM(32).double()
    for name in ("channel", "spatial") if frozen == "both" else (frozen,):
        getattr(cbam, name).requires_grad_(False)
    x = torch.randn(2, 32, 5, 5, dtype=torch.float64, requires_grad=True)
    expected, found = (
        torch.autograd.grad(compute(x).square().sum(), x)[0]
        for compute in (lambda x: equation_3(cbam, x), cbam)
    )
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_attention_without_a_gradient_is_the_same():
    cbam = CBAM(32).double()
    x = torch.randn(2, 32, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(cbam(x), equation_3(cbam, x), rtol=1e-12, atol=1e-13)


def test_the_means_of_an_epoch_start_from_zero(source):
    means, _ = epochs_of(source)
    assert all(0 <= each["accuracy"] <= 1 for each in means)
    assert means[-1]["loss"] < means[0]["loss"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_step_does_not_depend_on_how_maps_lie_in_memory(source, layout):
    (expected, _), (found, _) = epochs_of(source), epochs_of(source, replace(ENGINE, layout=layout))
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)


def test_members_of_a_resident_set_train_as_their_images_do(source):
    (expected, weights), (found, other) = (
        epochs_of(source, resident=resident) for resident in (False, True)
    )
    assert found == expected
    assert all(torch.equal(weights[name], other[name]) for name in weights)


def test_a_teacher_held_in_half_precision_says_what_autocast_makes_it_say(source):
    torch.manual_seed(0)
    teacher = build("teacher", **SIZES).eval()
    images = torch.randn(4, 1, 16, 16)
    said = []
    for network in (teacher, hold_in_half(copy.deepcopy(teacher))):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            said.append(network(images))
    assert torch.equal(said[0].logits, said[1].logits)
    assert all(map(torch.equal, said[0].features, said[1].features))


@pytest.mark.parametrize("role", ["teacher", "student", "hdkd"])
def test_heads_compute_in_float32_where_autocast_computes_the_rest_in_less(role):
    torch.manual_seed(0)
    model = build(role, **SIZES, **({} if role == "teacher" else STUDENT)).eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = model(torch.randn(4, 1, 16, 16))
    assert output.features[-1].dtype == torch.bfloat16
    assert output.logits.dtype == torch.float32
    if role == "hdkd":
        assert output.distillation_logits.dtype == torch.float32


def test_bfloat16_computes_the_loss_terms_of_float32_at_224_pixels():
    sizes = {"num_classes": 7, "image_size": 224, "in_channels": 3}
    torch.manual_seed(0)
    teacher, student = build("teacher", **sizes).eval(), build("hdkd", **sizes).train()
    images, labels = torch.randn(2, 3, 224, 224), torch.tensor([0, 1])
    found = []
    for half in (False, True):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            outputs = [network(images).float() for network in (student, teacher)]
        found.append(losses_of(HDKD(DISTILLATION), *outputs, labels.tolist()))
    expected, rounded = found
    for name, term in expected.items():
        assert rounded[name] == pytest.approx(term.item(), rel=2e-3), name


def test_a_run_stops_by_the_epochs_after_the_first(source):
    # The first warms up, and one in between was disturbed.
    assert expected_seconds([60.0, 2.0, 2.5, 9.0, 2.2]) == pytest.approx(2.35)
    assert expected_seconds([60.0]) == 60.0
