"""What a folder or archive of one's own holds now: content tells, and not where or when."""

import os
import shutil
import tarfile
from pathlib import Path

import pytest

from hdkd.config import Local
from hdkd.data import local
from hdkd.data.acquire import sources
from project import own_images


@pytest.fixture
def content(tmp_path):
    """The content of a folder or archive, read anew or as noted before."""

    def read(place: Path | None, raw: str = "raw") -> str | None:
        source = own_images(place).source
        assert isinstance(source, Local)
        return local.content("mine", source, tmp_path / raw, tmp_path / "noted.json")

    return read


def acquired(place: Path, raw: Path) -> str:
    sources.acquire("mine", own_images(place), raw)
    return sources.content_hash(raw / "manifest.csv")


@pytest.mark.parametrize("kind", ["folder", "zip", "gztar"])
def test_it_is_the_content_that_will_be_acquired(image_folder, tmp_path, content, kind):
    (image_folder / ".DS_Store").write_bytes(b"added by a system")
    place = image_folder
    if kind != "folder":
        where = (str(tmp_path / "images"), kind, tmp_path, image_folder.name)
        place = Path(shutil.make_archive(*where))
    before = content(place)
    assert before == acquired(place, tmp_path / "raw")


def test_images_that_were_moved_copied_or_touched_are_the_same(image_folder, tmp_path, content):
    before = content(image_folder)
    copied = Path(shutil.copytree(image_folder, tmp_path / "copied"))
    os.utime(copied / "train/blob/image 0.png")
    assert content(copied) == before


def test_an_image_of_the_same_size_and_time_in_the_place_of_another_is_noticed(
    image_folder, content
):
    path = image_folder / "train/blob/image 0.png"
    before, times = content(image_folder), path.stat()
    path.write_bytes(bytes(times.st_size))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert content(image_folder) != before


def test_an_image_in_another_class_is_noticed(image_folder, content):
    before = content(image_folder)
    (image_folder / "train/blob/image 0.png").rename(image_folder / "train/stripes/other.png")
    assert content(image_folder) != before


def test_what_was_read_once_is_not_read_again(image_folder, content, monkeypatch):
    before = content(image_folder)
    monkeypatch.setattr(sources, "list_files", None)
    assert content(image_folder) == before


def test_images_acquired_before_stand_for_a_source_that_is_not_there(
    image_folder, tmp_path, content, capsys
):
    before = acquired(image_folder, tmp_path / "raw")
    assert content(tmp_path / "nowhere") == before
    assert "nowhere is not there; the 32 images acquired before are used" in capsys.readouterr().err


def test_without_a_source_and_images_acquired_before_there_is_none(content):
    assert content(None) is None


def test_what_cannot_be_acquired_is_a_reason(tmp_path, content):
    broken = tmp_path / "images.tar"
    with tarfile.open(broken, "w") as archive:
        archive.add(__file__)
    broken.write_bytes(broken.read_bytes()[:700])
    assert "cannot be read" in content(broken)
    assert "contains" in content(tmp_path)
