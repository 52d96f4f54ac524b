"""Sets of MedMNIST+: arrays in its format become image files; the rest is a sentence."""

import hashlib
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

from hdkd.config import MedMNIST
from hdkd.data.acquire import medmnist
from hdkd.errors import DataError

COUNTS = {"train": 5, "val": 2, "test": 3}
BREAST = MedMNIST(kind="medmnist", name="breastmnist", size=28)


def arrays(path: Path, size: int = 28, labels: int = 2) -> Path:
    """A file like the published ones, with a few grey images of noise."""
    generator = np.random.default_rng(0)
    content = {}
    for part, count in COUNTS.items():
        shape = (count, size, size)
        content[f"{part}_images"] = generator.integers(0, 256, shape, dtype=np.uint8)
        content[f"{part}_labels"] = (np.arange(count) % labels)[:, None].astype(np.uint8)
    np.savez(path, **content)
    return path


@pytest.fixture(autouse=True)
def small_sets(monkeypatch):
    """The sets as they are described, but for their numbers of images."""
    sets = {name: about | {"n_samples": COUNTS} for name, about in medmnist.published().items()}
    monkeypatch.setattr(medmnist, "published", lambda: sets)
    return sets


def test_every_image_is_written_under_its_class_and_part(tmp_path, monkeypatch):
    file = arrays(tmp_path / "breastmnist.npz")
    monkeypatch.setenv("HDKD_MEDMNIST", str(tmp_path))  # the folder that has it
    medmnist.write("mine", BREAST, tmp_path / "files")
    paths = sorted(p.relative_to(tmp_path / "files") for p in (tmp_path / "files").rglob("*.png"))
    assert len(paths) == 10
    assert {path.parts[0] for path in paths} == {"train", "test"}
    assert {path.parts[1] for path in paths} == {"malignant", "normal, benign"}
    assert sum(path.name.startswith("val_") for path in paths) == 2
    with np.load(file) as found:
        third = found["test_images"][2]
    written = Image.open(tmp_path / "files/test/malignant/test_000002.png")
    assert np.array_equal(np.array(written), third)
    assert file.exists(), "the user's own file stays"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def server(tmp_path):
    """The address of a server that has the files of ``tmp_path``."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_a_download_is_compared_with_the_published_checksum(
    tmp_path, monkeypatch, server, small_sets
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HDKD_MEDMNIST", raising=False)
    file = arrays(tmp_path / "there.npz")
    about = small_sets["breastmnist"]
    about["url"] = f"{server}/there.npz"
    with pytest.raises(DataError, match=r"breastmnist\.npz failed .* name it in HDKD_MEDMNIST"):
        medmnist.write("mine", BREAST, tmp_path / "files")
    about["MD5"] = hashlib.md5(file.read_bytes()).hexdigest()
    medmnist.write("mine", BREAST, tmp_path / "files")
    assert len(list((tmp_path / "files").rglob("*.png"))) == 10
    assert not (tmp_path / "data/raw/mine/breastmnist.npz").exists(), "it is not kept twice"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"name": "chestmnist"}, "several labels"),
        ({"name": "organmnist3d"}, "must be one of pathmnist, chestmnist, .* not organmnist3d"),
        ({"size": 64}, "not 64×64 bytes"),
        ({"name": "breastmnist"}, "labels that its set has not"),
    ],
)
def test_what_cannot_be_studied_is_a_sentence(tmp_path, monkeypatch, change, sentence):
    labels = 3 if change == {"name": "breastmnist"} else 2
    monkeypatch.setenv("HDKD_MEDMNIST", str(arrays(tmp_path / "any.npz", labels=labels)))
    source = MedMNIST(**{"kind": "medmnist", "name": "breastmnist", "size": 28} | change)
    with pytest.raises(DataError, match=sentence):
        medmnist.write("mine", source, tmp_path / "files")


def test_a_file_that_is_missing_or_no_archive_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HDKD_MEDMNIST", str(tmp_path))
    with pytest.raises(DataError, match=r"breastmnist\.npz does not exist"):
        medmnist.write("mine", BREAST, tmp_path / "files")
    whole = arrays(tmp_path / "whole.npz").read_bytes()
    for content in (b"nothing", whole[:-200]):
        (tmp_path / "breastmnist.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"not a complete MedMNIST file"):
            medmnist.write("mine", BREAST, tmp_path / "files")


def test_a_file_of_another_set_is_known_by_its_number_of_images(tmp_path, monkeypatch, small_sets):
    monkeypatch.setenv("HDKD_MEDMNIST", str(arrays(tmp_path / "other.npz")))
    small_sets["breastmnist"]["n_samples"] = COUNTS | {"val": 78}
    with pytest.raises(DataError, match="has 2 val images, and breastmnist has 78"):
        medmnist.write("mine", BREAST, tmp_path / "files")


def test_the_twelve_flat_sets_are_described():
    flat = [name for name in medmnist.published() if not name.endswith("3d")]
    assert len(flat) == 12
    for name in flat:
        about = medmnist.published()[name]
        for size in ("", "_64", "_128", "_224"):
            assert about[f"url{size}"].startswith("https://")
            assert len(about[f"MD5{size}"]) == 32
