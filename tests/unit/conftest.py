import pytest

from hdkd.data.batches.imageset import ImageSet
from small import noise


@pytest.fixture
def source() -> ImageSet:
    return noise()
