"""Acquisition and preparation: layouts, formats, and what is refused."""

import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hdkd.config import Dataset, Images
from hdkd.data.acquire import sources
from hdkd.data.prepare import decode, prepare
from hdkd.errors import DataError
from project import own_images

GREY = Images(size=16, colour="grey")
RGB = Images(size=16, colour="rgb")


def prepared(image_folder: Path, tmp_path: Path, images: Images = RGB, **changes) -> Path:
    mine = own_images(image_folder, **changes)
    sources.acquire("mine", mine, tmp_path / "raw")
    prepare("mine", mine, images, tmp_path / "raw" / "manifest.csv", tmp_path / "prepared")
    return tmp_path / "prepared"


def test_a_folder_is_decoded_once_into_one_array(image_folder, tmp_path):
    folder = prepared(image_folder, tmp_path)
    images = np.load(folder / "images.npy")
    index = pd.read_csv(folder / "index.csv")
    assert images.shape == (32, 3, 16, 16)
    assert images.dtype == np.uint8
    assert index["class"].value_counts().to_dict() == {"blob": 16, "stripes": 16}
    row = index[index["path"] == "train/blob/image 0.png"].index[0]
    decoded = decode(image_folder / "train/blob/image 0.png", RGB)
    assert np.array_equal(images[row], decoded.pixels)


def test_grey_images_have_one_channel(image_folder, tmp_path):
    assert np.load(prepared(image_folder, tmp_path, GREY) / "images.npy").shape == (32, 1, 16, 16)


@pytest.mark.parametrize("kind", ["zip", "tar", "tar of ."])
def test_an_archive_gives_what_its_folder_gives(image_folder, tmp_path, kind):
    archive = tmp_path / f"images.{kind}"
    paths = [path for path in image_folder.rglob("*") if path.is_file()]
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in paths:
                file.write(path, Path("top") / path.relative_to(image_folder))
    elif kind == "tar of .":  # as `tar -C folder .` makes it, with that folder as a member
        with tarfile.open(archive, "w:gz") as file:
            file.add(image_folder, ".")
    else:
        with tarfile.open(archive, "w:gz") as file:
            for path in paths:
                file.add(path, Path("top") / path.relative_to(image_folder))
    folder = prepared(image_folder, tmp_path / "folder")
    unpacked = prepared(archive, tmp_path / "archive")
    assert np.array_equal(np.load(folder / "images.npy"), np.load(unpacked / "images.npy"))


def test_a_folder_that_cannot_be_read_is_not_skipped(tmp_path):
    with pytest.raises(FileNotFoundError):
        sources.paths_below(tmp_path / "gone")


def test_the_environment_variable_is_preferred(image_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HDKD_TEST_SOURCE", str(image_folder))
    sources.acquire("mine", own_images(tmp_path / "nowhere"), tmp_path / "raw")
    assert len(pd.read_csv(tmp_path / "raw" / "manifest.csv")) == 32


def test_content_hash_depends_on_content_and_not_on_order(image_folder, tmp_path):
    sources.acquire("mine", own_images(image_folder), tmp_path / "raw")
    manifest = tmp_path / "raw" / "manifest.csv"
    before = sources.content_hash(manifest)
    table = pd.read_csv(manifest)
    table[::-1].to_csv(manifest, index=False)
    assert sources.content_hash(manifest) == before
    (image_folder / "train/blob/image 0.png").write_bytes(b"changed")
    sources.acquire("mine", own_images(image_folder), tmp_path / "raw")
    assert sources.content_hash(manifest) != before


def test_generated_images_are_the_same_for_the_same_seed(tmp_path, parameters):
    phantom = parameters["datasets"]["phantom"]
    for name in phantom["classes"]:
        phantom["classes"][name] = {"train": 2, "test": 1}
    hashes = []
    for seed in (7, 7, 8):
        phantom["source"]["seed"] = seed
        sources.acquire("phantom", Dataset(**phantom), tmp_path / "raw")
        hashes.append(sources.content_hash(tmp_path / "raw" / "manifest.csv"))
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff", ".webp", ".bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_formats_and_modes_are_decoded(tmp_path, suffix, mode):
    path = tmp_path / f"image{suffix}"
    Image.new(mode, (30, 20), 200 if mode == "L" else (200, 200, 200)).save(path)
    decoded = decode(path, RGB)
    assert decoded.native == (30, 20)
    assert np.abs(decoded.pixels.astype(int) - 200).max() <= 2


def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path):
    pixels = np.full((8, 8), 0x8000, dtype=np.uint16)
    Image.fromarray(pixels).save(tmp_path / "deep.png")
    assert set(decode(tmp_path / "deep.png", GREY).pixels.flat) == {0x80}


def test_a_rotated_photograph_is_turned_upright(tmp_path):
    image = Image.new("L", (16, 32))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert decode(tmp_path / "turned.jpg", GREY).native == (32, 16)


def test_files_that_are_no_images_are_all_named(image_folder, tmp_path):
    (image_folder / "train/blob/notes.jpg").write_text("not an image")
    whole = (image_folder / "train/stripes/image 1.jpg").read_bytes()
    (image_folder / "train/stripes/cut.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError) as caught:
        prepared(image_folder, tmp_path)
    message = str(caught.value)
    assert "2 of 34 files are not usable images" in message
    assert "train/blob/notes.jpg" in message
    assert "train/stripes/cut.jpg" in message
    assert "datasets.mine.unreadable" in message


def test_files_that_are_no_images_can_be_left_out_and_are_listed(image_folder, tmp_path):
    (image_folder / "train/blob/notes.jpg").write_text("not an image")
    folder = prepared(image_folder, tmp_path, unreadable="leave_out")
    facts = json.loads((folder / "facts.json").read_text())
    assert facts["left_out"] == ["train/blob/notes.jpg"]
    assert facts["images"] == len(np.load(folder / "images.npy")) == 32


def test_classes_other_than_the_published_are_refused(image_folder, tmp_path):
    published = {name: {"train": 12, "test": 4} for name in ("blob", "dots")}
    with pytest.raises(DataError, match=r"datasets\.mine\.classes names blob, dots"):
        prepared(image_folder, tmp_path, classes=published)


def test_an_empty_class_folder_is_refused(image_folder, tmp_path):
    (image_folder / "train/empty").mkdir()
    with pytest.raises(DataError, match="without an image: train/empty"):
        prepared(image_folder, tmp_path)


def test_a_test_class_that_training_lacks_is_refused(image_folder, tmp_path):
    (image_folder / "test/new").mkdir()
    (image_folder / "test/blob/image 0.png").rename(image_folder / "test/new/image.png")
    with pytest.raises(DataError, match="test folder has the class new, which the training"):
        prepared(image_folder, tmp_path)


def test_a_missing_source_is_refused_with_both_ways_to_name_it(tmp_path):
    with pytest.raises(DataError, match=r"datasets\.mine\.source\.path or in .* HDKD_TEST_SOURCE"):
        sources.acquire("mine", own_images(None), tmp_path / "raw")


def test_a_path_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.zip does not exist: correct source\.path"):
        sources.acquire("mine", own_images(tmp_path / "nowhere.zip"), tmp_path / "raw")


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "images.zip"
    path.write_text("hello")
    with pytest.raises(DataError, match="neither a folder nor a readable zip or tar"):
        sources.acquire("mine", own_images(path), tmp_path / "raw")


@pytest.mark.parametrize("member", ["../evil.png", "/tmp/evil.png", "a/../../evil.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_that_leaves_its_folder_is_refused_whole(tmp_path, kind, member):
    archive = tmp_path / f"evil.{kind}"
    content = tmp_path / "content.png"
    content.write_bytes(b"content")
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as file:
            file.write(content, "train/a/good.png")
            file.writestr(member, "content")
    else:
        with tarfile.open(archive, "w") as file:
            file.add(content, "train/a/good.png")
            info = file.gettarinfo(content)
            info.name = member
            with content.open("rb") as data:
                file.addfile(info, data)
    with pytest.raises(DataError, match="would be written outside its folder"):
        sources.acquire("mine", own_images(archive), tmp_path / "raw")
    assert not (tmp_path / "evil.png").exists()
    assert not list((tmp_path / "raw").rglob("good.png"))


def test_a_tar_with_a_link_is_refused(tmp_path):
    archive = tmp_path / "link.tar"
    with tarfile.open(archive, "w") as file:
        info = tarfile.TarInfo("train/a/link.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(info)
    with pytest.raises(DataError, match="link or device"):
        sources.acquire("mine", own_images(archive), tmp_path / "raw")


def test_an_earlier_copy_stays_when_the_next_fails(image_folder, tmp_path):
    sources.acquire("mine", own_images(image_folder), tmp_path / "raw")
    with pytest.raises(DataError):
        sources.acquire("mine", own_images(tmp_path / "nowhere"), tmp_path / "raw")
    assert (tmp_path / "raw/files/train/blob/image 0.png").exists()
