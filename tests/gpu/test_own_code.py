"""Distillation by people's own code on a GPU, beside that of a CPU."""

import pytest
import torch

import hdkd
from hdkd.data.batches.augment import normalise
from hdkd.models import build
from small import SIZES, STUDENT


@pytest.mark.parametrize("method", ["hdkd", "vkd"])
def test_a_gpu_distils_what_a_cpu_distils(source, device, method):
    def losses(place: str) -> list[float]:
        torch.manual_seed(0)
        teacher, student = build("teacher", **SIZES), build("hdkd", **SIZES, **STUDENT)
        images = normalise(torch.tensor(source.images))
        batches = list(zip(images.split(7), torch.tensor(source.labels).split(7), strict=True))
        result = hdkd.distill(
            teacher, student, (batches, batches), method, device=place, epochs=4, lr=1e-3
        )
        assert {each.device.type for each in student.parameters()} == {place}
        return [row[name] for row in result.history for name in ("train_loss", "validation_loss")]

    assert losses(device) == pytest.approx(losses("cpu"), rel=5e-3)
