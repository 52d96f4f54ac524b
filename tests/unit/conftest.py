from pathlib import Path

import pytest

from exporting import OPTIONS, trained
from hdkd import cli
from hdkd.data.batches.imageset import ImageSet
from small import noise


@pytest.fixture
def source() -> ImageSet:
    return noise()


@pytest.fixture(scope="session")
def studied(tmp_path_factory) -> Path:
    """A run with twelve validation images, exported into ``exported``."""
    folder = tmp_path_factory.mktemp("studied")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        trained(folder, 0.3)
        assert cli.main(["export", *OPTIONS, "--run", "run", "--output", "exported"]) == 0
    return folder


@pytest.fixture
def study(studied, monkeypatch) -> Path:
    monkeypatch.chdir(studied)
    return studied
