"""What is done for speed against the plain computation that it replaces."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hdkd.config import Engine, Training
from hdkd.data.batches.imageset import ImageSet, TrainingSet
from hdkd.data.batches.loader import Loader
from hdkd.distillation.hdkd import Teaching
from hdkd.models import build
from hdkd.models.blocks import CBAM
from hdkd.training.engine import Step
from hdkd.training.schedule import build_optimizer
from small import AUGMENTATION, DISTILLATION, ENGINE, SIZES, STUDENT

TRAINING = Training("adamw", 1e-3, 1e-4, 1e-4, 1, 0.05, 3, 4, 1)


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


def test_attention_without_a_gradient_is_the_same():
    cbam = CBAM(32).double()
    x = torch.randn(2, 32, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(cbam(x), equation_3(cbam, x), rtol=1e-12, atol=1e-13)


def after_six_epochs(
    source: ImageSet, device: str, engine: Engine
) -> tuple[list, dict[str, Tensor]]:
    torch.manual_seed(0)
    teacher = build("teacher", **SIZES).eval()
    model = build("hdkd", **SIZES, **STUDENT).to(device)
    optimizer = build_optimizer(model, TRAINING)
    teaching = Teaching(teacher, DISTILLATION)
    step = Step(model, optimizer, AUGMENTATION, engine, device, 4, teaching)
    feed = Loader(TrainingSet(source, np.arange(13)), device)
    order, draws = (torch.Generator().manual_seed(seed) for seed in (0, 1))
    means = []
    for _ in range(6):
        for batch in feed.epoch(4, order, draws):
            step(*batch)
        means.append(step.means(len(feed)))
    return means, {name: tensor.cpu() for name, tensor in model.state_dict().items()}


def test_the_means_of_an_epoch_start_from_zero(source):
    means, _ = after_six_epochs(source, "cpu", ENGINE)
    assert all(0 <= each["accuracy"] <= 1 for each in means)
    assert means[-1]["loss"] < means[0]["loss"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize(
    ("engine", "tolerance"),
    [
        (ENGINE, 2e-3),
        (Engine("float32", cuda_graph=True, compile=False), 2e-3),
        (Engine("bfloat16", cuda_graph=True, compile=False), 5e-2),
    ],
    ids=["eager", "graph", "bfloat16"],
)
def test_a_gpu_computes_the_losses_of_a_cpu(source, engine, tolerance):
    """Relative difference of an epoch's mean losses over the first six epochs."""
    torch.backends.cudnn.allow_tf32 = False
    expected, _ = after_six_epochs(source, "cpu", ENGINE)
    found, _ = after_six_epochs(source, "cuda", engine)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=tolerance)
        assert ours["features"] == pytest.approx(theirs["features"], rel=tolerance)
