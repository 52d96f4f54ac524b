"""Files and trees as they arrive: each works as expected, or is named with all others like it."""

import io
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hdkd import cli
from hdkd.config import Images, ValidationSplit
from hdkd.data import split as splits
from hdkd.data.acquire import sources
from hdkd.data.prepare import decode, prepare
from hdkd.deploy.web import uploads
from hdkd.errors import DataError
from project import own_images

RGB = Images(size=8, colour="rgb")
GREY = Images(size=8, colour="grey")
ENDLESS = b"\0" * 2**20


def picture(mode: str = "RGB", size: tuple[int, int] = (12, 10), value=100) -> Image.Image:
    return Image.new(mode, size, value if len(mode) == 1 else (value,) * len(mode))


def saved(image: Image.Image, kind: str = "png", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims any size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


WHOLE = saved(picture())
PHOTOGRAPH = saved(Image.effect_noise((64, 64), 90).convert("RGB"), "jpeg")
FRAMES = [picture(value=value) for value in (10, 200)]

# Name, content, and the value that the decoded pixels have, or why there are none.
FILES: list[tuple[str, bytes, int | str]] = [
    ("zero bytes.png", b"", "not a complete image"),
    ("text.jpg", b"hello, I am a note", "not a complete image"),
    ("page.png", b"<html><script>alert(1)</script></html>", "not a complete image"),
    ("half.jpg", PHOTOGRAPH[: len(PHOTOGRAPH) // 2], "not a complete image"),
    ("header only.png", WHOLE[:40], "not a complete image"),
    ("one byte less.png", saved(Image.effect_noise((64, 64), 90))[:-40], "not a complete image"),
    ("pickle.png", b"\x80\x04cos\nsystem\n(S'touch /tmp/pwned'\ntR.", "not a complete image"),
    ("archive.png", b"PK\x03\x04" + b"\0" * 60, "not a complete image"),
    ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a complete image"),
    ("bomb.png", png_claiming(60_000, 60_000), "more pixels than any image should have"),
    ("no pixels.png", png_claiming(0, 10), "not a complete image"),
    ("png named.jpg", saved(picture(value=90)), 90),
    ("jpeg named.png", saved(picture(value=90), "jpeg"), 90),
    ("no suffix", saved(picture(value=90)), 90),
    ("UPPER.PNG", saved(picture(value=90)), 90),
    ("cmyk.jpg", saved(Image.new("CMYK", (12, 10), (0, 0, 0, 155)), "jpeg"), 100),
    ("grey with alpha.png", saved(Image.new("LA", (12, 10), (70, 255))), 70),
    ("transparent.png", saved(Image.new("RGBA", (12, 10), (200, 200, 200, 0))), 0),
    ("half transparent.png", saved(Image.new("RGBA", (12, 10), (200, 200, 200, 128))), 100),
    ("palette.png", saved(picture(value=90).quantize(4)), 90),
    ("palette with a hole.png", saved(Image.new("P", (12, 10), 0), transparency=0), 0),
    ("black and white.png", saved(Image.new("1", (12, 10), 1)), 255),
    ("16 bit.png", saved(Image.fromarray(np.full((10, 12), 0x4200, np.uint16))), 0x42),
    ("16 bit.tiff", saved(Image.fromarray(np.full((10, 12), 0x4200, np.uint16)), "tiff"), 0x42),
    ("32 bit.tiff", saved(Image.fromarray(np.full((10, 12), 70_000, np.int32)), "tiff"), "16 bits"),
    ("below zero.tiff", saved(Image.fromarray(np.full((10, 12), -4, np.int32)), "tiff"), "16 bits"),
    (
        "fractions.tiff",
        saved(Image.fromarray(np.full((10, 12), 0.5, np.float32)), "tiff"),
        "fractions",
    ),
    (
        "animated.gif",
        saved(FRAMES[0], "gif", save_all=True, append_images=FRAMES[1:]),
        "several frames",
    ),
    (
        "animated.webp",
        saved(FRAMES[0], "webp", save_all=True, append_images=FRAMES[1:]),
        "several frames",
    ),
    (
        "stack.tiff",
        saved(FRAMES[0], "tiff", save_all=True, append_images=FRAMES[1:]),
        "several frames",
    ),
    ("still.gif", saved(picture("L", value=90), "gif"), 90),
    ("telephone.jpg", saved(FRAMES[0], "mpo", save_all=True, append_images=FRAMES[1:]), 10),
    ("one pixel.png", saved(picture(size=(1, 1), value=90)), 90),
    ("a line.png", saved(picture(size=(4000, 1), value=90)), 90),
    (
        "damaged exif.jpg",
        saved(picture(value=90), "jpeg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
        90,
    ),
    ("damaged colours.png", saved(picture(value=90), icc_profile=b"nonsense"), 90),
]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(("name", "content", "expected"), FILES, ids=[name for name, *_ in FILES])
def test_a_file_is_decoded_as_it_looks_or_refused_with_the_reason(
    tmp_path, name, content, expected
):
    path = tmp_path / name
    path.write_bytes(content)
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            decode(path, RGB)
    else:
        pixels = decode(path, RGB).pixels
        assert pixels.shape == (3, 8, 8)
        assert np.abs(pixels.astype(int) - expected).max() <= 3


def test_a_folder_is_told_from_a_damaged_image(tmp_path):
    with pytest.raises(DataError, match="a folder: name its images"):
        decode(tmp_path, RGB)


def taken_in(source: Path, root: Path, **changes) -> Path:
    """Acquired, prepared and split, as the pipeline does it."""
    dataset = own_images(source, **changes)
    sources.acquire("mine", dataset, root / "raw")
    prepare("mine", dataset, GREY, root / "raw" / "manifest.csv", root / "prepared")
    validation = ValidationSplit(0, 0)
    splits.split("mine", dataset, validation, root / "prepared" / "index.csv", root / "prepared")
    return root / "prepared"


@pytest.fixture
def tree(tmp_path) -> Path:
    """Two classes with three images to train and two to test, all different."""
    value = 0
    for part, count in (("train", 3), ("test", 2)):
        for name in ("blob", "dots"):
            folder = tmp_path / "tree" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                value += 10
                (folder / f"{number}.png").write_bytes(saved(picture(value=value)))
    return tmp_path / "tree"


ODD_NAMES = [
    "with space.png", "ünï-çødé 图像.png", "quote's \".png", "new\nline.png", "-rf.png",
    ".hidden.png", "semi;colon,comma.png", "$(touch pwned).png", "`id`.png", "%s{name}{{7*7}}.png",
    "a" * 250 + ".png",
]  # fmt: skip


def test_images_with_odd_names_are_images_like_others(tree, tmp_path):
    for value, name in enumerate(ODD_NAMES):
        (tree / "train/blob" / name).write_bytes(saved(picture(value=200 + value)))
    table = pd.read_csv(taken_in(tree, tmp_path) / "split.csv", keep_default_na=False)
    assert set(table["path"]) >= {f"train/blob/{name}" for name in ODD_NAMES}
    assert len(table) == 10 + len(ODD_NAMES)


def test_what_systems_add_to_folders_is_not_taken_for_images(tree, tmp_path):
    for name in (".DS_Store", "._0.png", "Thumbs.db", "desktop.ini"):
        (tree / "train/blob" / name).write_bytes(b"not an image")
    (tree / "train/.thumbnails").mkdir()
    (tree / "train/.thumbnails/0.png").write_bytes(WHOLE)
    assert len(pd.read_csv(taken_in(tree, tmp_path) / "split.csv")) == 10


def test_folders_beside_train_and_test_are_named_because_nobody_reads_them(tree, tmp_path, capsys):
    (tree / "val/blob").mkdir(parents=True)
    (tree / "val/blob/0.png").write_bytes(WHOLE)
    assert len(pd.read_csv(taken_in(tree, tmp_path) / "split.csv")) == 10
    assert "of the folders only train and test are read, not val" in capsys.readouterr().err


def test_grey_of_a_few_of_16_bits_is_refused_and_of_all_of_them_is_not(tree, tmp_path):
    path = tree / "train/blob/scan.png"
    path.write_bytes(saved(Image.fromarray(np.full((10, 12), 4095, np.uint16))))
    with pytest.raises(DataError, match=r"12 bits are used \(the brightest value is 4095\)"):
        taken_in(tree, tmp_path)
    path.write_bytes(saved(Image.fromarray(np.full((10, 12), 60_000, np.uint16))))
    assert len(pd.read_csv(taken_in(tree, tmp_path) / "split.csv")) == 11


def test_such_grey_is_refused_where_a_model_is_asked(tmp_path, capsys):
    dark = saved(Image.fromarray(np.full((10, 12), 4095, np.uint16)))
    (tmp_path / "scan.png").write_bytes(dark)
    assert cli.main(["predict", "--model", "ham10000", str(tmp_path / "scan.png")]) == 2
    assert "scan.png: 16-bit grey of which 12 bits are used" in capsys.readouterr().err
    with pytest.raises(DataError, match="12 bits are used"):
        uploads.decoded(dark, GREY)


def test_a_dark_image_of_a_bright_series_is_judged_with_it(tmp_path, capsys):
    for name, value in (("dark", 4095), ("bright", 60_000)):
        content = saved(Image.fromarray(np.full((10, 12), value, np.uint16)))
        (tmp_path / f"{name}.png").write_bytes(content)
    files = [str(tmp_path / f"{name}.png") for name in ("dark", "bright")]
    assert cli.main(["predict", "--model", "ham10000", *files]) == 0
    assert "dark.png" in capsys.readouterr().out


def test_a_format_that_another_program_would_read_is_none(tmp_path):
    path = tmp_path / "drawing.eps"
    picture().save(path)
    with pytest.raises(DataError, match="not a complete image"):
        decode(path, GREY)


def test_a_class_of_which_no_file_is_usable_is_named_even_if_such_are_left_out(tree, tmp_path):
    for part in ("train", "test"):
        (tree / part / "scans").mkdir()
        (tree / part / "scans/0.dcm").write_bytes(b"DICOM")
    with pytest.raises(DataError, match="no image of the class scans is usable"):
        taken_in(tree, tmp_path, unreadable="leave_out")


def test_a_class_of_one_image_cannot_be_in_both_drawn_parts(tree, tmp_path):
    (tree / "train/alone").mkdir()
    (tree / "train/alone/0.png").write_bytes(WHOLE)
    split = {"kind": "clusters", "test_fraction": 0.4, "seed": 0}
    with pytest.raises(DataError, match=r"the class alone comes into .* it has one image"):
        taken_in(tree / "train", tmp_path, layout={"kind": "class_folders"}, split=split)


def test_classes_with_odd_names_stay_what_they_are(tree, tmp_path):
    names = {"blob": "NA", "dots": "<b>$x^2$</b>"}
    for part in ("train", "test"):
        for old, new in names.items():
            target = tree / part / new.replace("/", "∕")
            (tree / part / old).rename(target)
    table = pd.read_csv(
        taken_in(tree, tmp_path) / "split.csv", keep_default_na=False, dtype={"class": str}
    )
    assert set(table["class"]) == {"NA", "<b>$x^2$<∕b>"}


def test_all_unusable_files_are_listed_at_once(tree, tmp_path):
    for number in range(30):
        (tree / f"train/dots/bad {number}.png").write_bytes(b"bad")
    with pytest.raises(DataError, match=r"30 of 40 files are not usable .* and 20 more; listed in"):
        taken_in(tree, tmp_path)
    listed = pd.read_csv(tmp_path / "prepared/unreadable.csv")
    assert len(listed) == 30
    assert set(listed["reason"]) == {"not a complete image"}


def link_out(tree: Path) -> None:
    outside = tree.parent / "secret.png"
    outside.write_bytes(WHOLE)
    (tree / "train/blob/link.png").symlink_to(outside)


def two_empty_classes(tree: Path) -> None:
    for name in ("empty", "void"):
        (tree / "train" / name).mkdir()


# What is done to the tree, and the sentence that refuses it.
TREES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a link out of the dataset": (link_out, r"links .* out of it \(train/blob/link\.png\)"),
    "a link to a folder outside": (
        lambda t: (t / "train/more").symlink_to("/etc"), r"links .*\(train/more\)",
    ),
    "a link to nothing": (
        lambda t: (t / "train/blob/gone.png").symlink_to("nowhere.png"), r"links .*gone\.png",
    ),
    "classes that differ in case": (
        lambda t: shutil.copytree(t / "train/blob", t / "train/Blob"), "Blob and blob",
    ),
    "parts that differ in case": (
        lambda t: (t / "test/blob").rename(t / "test/Blob"), "in case only: Blob and blob",
    ),
    "two empty classes": (two_empty_classes, "train/empty, train/void"),
    "no test part": (lambda t: shutil.rmtree(t / "test"), "no folder 'test'"),
    "one class": (lambda t: shutil.rmtree(t / "train/blob"), "at least two; it holds dots"),
    "a name that is no text": (
        lambda t: (Path(os.fsdecode(os.fsencode(t) + b"/train/blob/\xff.png"))).write_bytes(WHOLE),
        "not UTF-8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TREES)
def test_a_tree_that_cannot_be_understood_is_refused_by_path(tree, tmp_path, name):
    change, sentence = TREES[name]
    change(tree)
    with pytest.raises(DataError, match=sentence):
        taken_in(tree, tmp_path)


def test_parts_are_not_taken_for_classes(tree, tmp_path):
    held_out = {"kind": "held_out", "test_fraction": 0.2, "seed": 0}
    with pytest.raises(DataError, match="test and train are parts rather than classes: take"):
        taken_in(tree, tmp_path, layout={"kind": "class_folders"}, split=held_out)


def test_a_link_inside_the_dataset_is_an_image(tree, tmp_path):
    (tree / "train/blob/again.png").symlink_to(tree / "train/blob/0.png")
    assert len(pd.read_csv(taken_in(tree, tmp_path) / "split.csv")) == 11


def test_a_folder_that_contains_the_project_is_refused(tree):
    with pytest.raises(DataError, match="where its copy would be"):
        taken_in(tree, tree / "data")


# --- archives


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_that_would_fill_the_disk_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MIN_SUSPICIOUS_SIZE", 2**20)
    bomb = zipped(tmp_path / "bomb.zip", {f"train/a/{n}.png": ENDLESS for n in range(20)})
    assert bomb.stat().st_size < 2**20 / 20
    with pytest.raises(DataError, match=r"would grow from 0\.0 MiB to 20 MiB"):
        sources.acquire("mine", own_images(bomb), tmp_path / "raw")
    assert not list((tmp_path / "raw").rglob("*.png"))


def test_a_tar_that_would_fill_the_disk_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MIN_SUSPICIOUS_SIZE", 2**20)
    bomb = tmp_path / "bomb.tar.gz"
    with tarfile.open(bomb, "w:gz") as archive:
        for number in range(20):
            member = tarfile.TarInfo(f"train/a/{number}.png")
            member.size = len(ENDLESS)
            archive.addfile(member, io.BytesIO(ENDLESS))
    with pytest.raises(DataError, match="would grow"):
        sources.acquire("mine", own_images(bomb), tmp_path / "raw")
    assert not list((tmp_path / "raw").rglob("*.png"))


def test_an_archive_larger_than_the_disk_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    archive = zipped(tmp_path / "images.zip", {"train/a/0.png": WHOLE})
    monkeypatch.setattr(sources.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(DataError, match=r"needs 0 MiB in .*raw, where 0 MiB are free: make"):
        sources.acquire("mine", own_images(archive), tmp_path / "raw")


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_damaged_archive_is_named(tmp_path, place):
    noise = np.random.default_rng(0).bytes(40_000)
    archive = zipped(tmp_path / "images.zip", {f"train/a/{n}.png": noise for n in range(3)})
    content = bytearray(archive.read_bytes())
    middle = int(len(content) * place)
    content[middle : middle + 50] = bytes(50)
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"images\.zip is damaged"):
        sources.acquire("mine", own_images(archive), tmp_path / "raw")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE]
)
def test_a_tar_with_anything_but_files_is_refused(tmp_path, kind):
    archive = tmp_path / "odd.tar"
    with tarfile.open(archive, "w") as file:
        member = tarfile.TarInfo("train/a/odd.png")
        member.type, member.linkname = kind, "../../../etc/passwd"
        file.addfile(member)
    with pytest.raises(DataError, match=r"link or device, 'train/a/odd\.png'"):
        sources.acquire("mine", own_images(archive), tmp_path / "raw")


def test_a_link_in_a_zip_is_a_small_text_and_no_link(tmp_path):
    archive = tmp_path / "link.zip"
    with zipfile.ZipFile(archive, "w") as file:
        member = zipfile.ZipInfo("train/a/link.png")
        member.external_attr = 0o120777 << 16
        file.writestr(member, "/etc/passwd")
    sources.acquire("mine", own_images(archive), tmp_path / "raw")
    path = tmp_path / "raw/files/train/a/link.png"
    assert not path.is_symlink()
    assert path.read_text() == "/etc/passwd"


# --- metadata of HAM-10000

ROWS = "lesion_id,image_id,dx\n" + "".join(
    f"L{n},I{n},{'mel' if n % 2 else 'nv'}\n" for n in range(20)
)
METADATA: list[tuple[str, bytes, str | None]] = [
    ("plain", ROWS.encode(), None),
    ("with a byte order mark", b"\xef\xbb\xbf" + ROWS.encode(), None),
    ("windows line ends", ROWS.replace("\n", "\r\n").encode(), None),
    ("another encoding", ROWS.encode("utf-16"), "must be a CSV in UTF-8"),
    ("semicolons", ROWS.replace(",", ";").encode(), "must be a CSV in UTF-8 with lesion_id"),
    ("empty", b"", "must be a CSV"),
    ("doubled rows", (ROWS + "L3,I3,mel\nL5,I5,nv\n").encode(), "lists twice I3, I5"),
    ("missing rows", ROWS.replace("L3,I3,mel\n", "").encode(), "does not list I3"),
    ("missing images", (ROWS + "L30,I30,mel\n").encode(), "images that are not there: I30"),
    ("no class", ROWS.replace("L3,I3,mel", "L3,I3,").encode(), "no class or lesion for I3"),
    ("no lesion", ROWS.replace("L3,I3,mel", ",I3,mel").encode(), "no class or lesion for I3"),
    ("blanks around", ROWS.replace("L3,I3,mel", " L3 , I3, mel ").encode(), None),
    ("two spellings", ROWS.replace("L3,I3,mel", "L3,I3,Mel").encode(), "in case only: Mel and mel"),
    ("one class", ROWS.replace("mel", "nv").encode(), "two classes .* at least; it has nv"),
    (
        "an unknown class",
        ROWS.replace("L3,I3,mel", "L3,I3,xyz").encode(),
        "its classes are mel, nv, xyz",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("content", "taken"), [(b"a mask", False), (WHOLE, True)])
def test_two_images_of_one_name_are_taken_if_they_are_equal(tmp_path, content, taken):
    source = tmp_path / "ham"
    for folder in ("images", "masks"):
        (source / folder).mkdir(parents=True)
    for number in range(20):
        (source / f"images/I{number}.png").write_bytes(saved(picture(value=10 * number)))
    (source / "images/I3.png").write_bytes(WHOLE)
    (source / "masks/I3.png").write_bytes(content)
    (source / "metadata.csv").write_text(ROWS)
    layout = {"kind": "ham10000", "metadata": "metadata.csv"}
    changes = {"layout": layout, "split": {"kind": "held_out", "test_fraction": 0.2, "seed": 0}}
    if taken:
        assert len(pd.read_csv(taken_in(source, tmp_path, **changes) / "split.csv")) == 20
    else:
        with pytest.raises(DataError, match=r"images/I3\.png and masks/I3\.png are different"):
            taken_in(source, tmp_path, **changes)


@pytest.mark.parametrize(("name", "content", "sentence"), METADATA, ids=[n for n, *_ in METADATA])
def test_metadata_is_read_or_refused_by_its_rows(tmp_path, name, content, sentence):
    source = tmp_path / "ham"
    source.mkdir()
    for number in range(20):
        suffix = {7: ".JPG", 8: ".png", 9: ".TIFF"}.get(number, ".jpg")
        kind = suffix.strip(".").lower().replace("jpg", "jpeg")
        (source / f"I{number}{suffix}").write_bytes(saved(picture(value=10 * number), kind))
    (source / "metadata.csv").write_bytes(content)
    changes = {
        "layout": {"kind": "ham10000", "metadata": "metadata.csv"},
        "split": {"kind": "held_out", "test_fraction": 0.2, "seed": 0},
        "classes": {name: {"train": 8, "test": 2} for name in ("mel", "nv")},
    }
    if sentence:
        with pytest.raises(DataError, match=sentence):
            taken_in(source, tmp_path, **changes)
    else:
        table = pd.read_csv(taken_in(source, tmp_path, **changes) / "split.csv")
        assert len(table) == 20
