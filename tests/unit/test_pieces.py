"""Preparation in pieces: the same bytes whatever happens on the way, and nothing done twice."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hdkd.config import Images
from hdkd.data import prepare as preparation
from hdkd.data.acquire import sources
from hdkd.data.pieces import in_order, piecewise
from hdkd.errors import DataError
from project import ROOT, own_images
from waiting import until

RGB = Images(size=16, colour="rgb")
FILES = ("images.npy", "index.csv", "facts.json")
COUNT = 32  # images in `image_folder`
# Prepares sys.argv[1], a twentieth of a second for an image.
SLOWLY = """
import sys, time
from pathlib import Path
from hdkd.config import Images
from hdkd.data import prepare as preparation
from project import own_images

def slowly(*arguments):
    time.sleep(0.05)
    return decode(*arguments)

decode, preparation.decode, preparation.PIECE = preparation.decode, slowly, 2
root = Path(sys.argv[1])
preparation.prepare("mine", own_images(), Images(size=16, colour="rgb"), root / "raw/manifest.csv",
                    root / "prepared", 1)
"""


@pytest.fixture
def root(image_folder, tmp_path, monkeypatch) -> Path:
    """Images acquired in ``root/raw``, to be prepared in pieces of two."""
    monkeypatch.setattr(preparation, "PIECE", 2)
    sources.acquire("mine", own_images(image_folder), tmp_path / "raw")
    return tmp_path


def prepare(root: Path, folder: str = "prepared", images: Images = RGB, threads: int = 1) -> list:
    """The three files of ``root/folder``, which hold what they must and nothing is beside them."""
    manifest = root / "raw" / "manifest.csv"
    preparation.prepare("mine", own_images(), images, manifest, root / folder, threads)
    assert sorted(path.name for path in (root / folder).iterdir()) == sorted(FILES)
    return [(root / folder / name).read_bytes() for name in FILES]


def decoded(monkeypatch) -> list[Path]:
    """The files that are decoded from now on."""
    seen, decode = [], preparation.decode

    def noting(path, images):
        seen.append(path)
        return decode(path, images)

    monkeypatch.setattr(preparation, "decode", noting)
    return seen


def stopped_after(root: Path, images: int, monkeypatch) -> None:
    """Prepare until so many images are decoded, as if Ctrl-C were pressed then."""
    left = iter(range(images))
    decode = preparation.decode

    def until(path, settings):
        if next(left, None) is None:
            raise KeyboardInterrupt
        return decode(path, settings)

    with monkeypatch.context() as patch:
        patch.setattr(preparation, "decode", until)
        with pytest.raises(KeyboardInterrupt):
            prepare(root)


def start(root: Path) -> subprocess.Popen:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    command = [sys.executable, "-c", SLOWLY, str(root)]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": path})


def journal(root: Path) -> list[str]:
    path = root / "prepared" / "images.npy.journal"
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize("piece", [1, 5, 64])
def test_neither_pieces_nor_threads_change_a_byte(root, monkeypatch, piece):
    expected = prepare(root, "other")
    monkeypatch.setattr(preparation, "PIECE", piece)
    assert prepare(root, threads=3) == expected


def test_a_killed_preparation_is_continued_and_gives_the_same_bytes(root, monkeypatch):
    expected = prepare(root, "other")
    process = start(root)
    until(lambda: len(journal(root)) > 4, 30, "four pieces were not written")
    process.kill()
    process.wait()
    assert not (root / "prepared" / "images.npy").exists()
    pieces = len(journal(root)) - 1
    seen = decoded(monkeypatch)
    assert prepare(root) == expected
    assert COUNT - 2 * pieces <= len(seen) < COUNT - 2  # the last line may have been cut off


def test_an_interrupted_preparation_is_continued(root, monkeypatch):
    expected = prepare(root, "other")
    stopped_after(root, 9, monkeypatch)
    assert not (root / "prepared" / "images.npy").exists()
    seen = decoded(monkeypatch)
    assert prepare(root) == expected
    assert len(seen) == COUNT - 8


@pytest.mark.parametrize(
    ("name", "damage", "kept"),
    [
        ("images.npy.journal", lambda content: content[:-9], 6),
        ("images.npy.unfinished", lambda content: content[:-9], 6),
        ("images.npy.unfinished", lambda content: content + b"begun", 8),
        ("images.npy.unfinished", lambda content: content[:140] + b"#" + content[141:], 0),
        ("images.npy.journal", lambda content: b"", 0),
    ],
    ids=["a line cut off", "a piece cut off", "a piece begun", "a byte changed", "no journal"],
)
def test_only_pieces_that_are_whole_are_kept(root, monkeypatch, name, damage, kept):
    expected = prepare(root, "other")
    stopped_after(root, 8, monkeypatch)
    path = root / "prepared" / name
    path.write_bytes(damage(path.read_bytes()))
    seen = decoded(monkeypatch)
    assert prepare(root) == expected
    assert len(seen) == COUNT - kept


def test_pieces_of_other_images_or_settings_are_not_continued(root, image_folder, monkeypatch):
    large = Images(size=24, colour="rgb")
    expected = prepare(root, "other", large)
    stopped_after(root, 8, monkeypatch)
    assert prepare(root, images=large) == expected
    stopped_after(root, 8, monkeypatch)
    first = image_folder / "test/blob/image 0.png"
    first.write_bytes((image_folder / "test/blob/image 1.jpg").read_bytes())
    sources.acquire("mine", own_images(image_folder), root / "raw")
    images = np.load(prepare(root) and root / "prepared/images.npy")
    assert np.array_equal(images[0], images[1])


def test_after_an_error_nothing_of_the_pieces_is_left(root):
    (root / "raw/files/train/blob/image 0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="1 of 32 files"):
        prepare(root)
    assert [path.name for path in (root / "prepared").iterdir()] == ["unreadable.csv"]


def test_results_come_in_the_order_of_the_items_and_few_wait():
    taken = []

    def items():
        for number in range(50):
            taken.append(number)
            yield number

    results = in_order(lambda number: number**2, items(), threads=2)
    assert next(results) == 0
    assert len(taken) == 5
    assert list(results) == [number**2 for number in range(1, 50)]


def test_a_finished_file_has_its_last_header_and_all_pieces(tmp_path):
    with piecewise(tmp_path / "file", "mine", b"head") as file:
        file.append(b"one", {"notes": 1})
        file.append(b"two", {"notes": 2})
        file.finish(b"HEAD")
    assert (tmp_path / "file").read_bytes() == b"HEADonetwo"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
