"""Tests for a GPU, ordered so that the first failure tells the most.

``HDKD_TEST_DEVICE=cpu`` rehearses them without one: then they show that they run, and no more.
"""

import os
from pathlib import Path

import pytest
import torch

from hdkd.data.batches.imageset import ImageSet
from small import noise

DEVICE = os.environ.get("HDKD_TEST_DEVICE", "cuda")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if DEVICE == "cuda" and not torch.cuda.is_available():
        for item in items:
            if item.path.parent == Path(__file__).parent:
                item.add_marker(pytest.mark.skip(reason="there is no GPU"))


@pytest.fixture
def device() -> str:
    return DEVICE


@pytest.fixture
def source() -> ImageSet:
    return noise()
