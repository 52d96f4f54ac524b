import pytest

from hdkd.data.imageset import ImageSet
from small import noise


@pytest.fixture
def source() -> ImageSet:
    return noise()
