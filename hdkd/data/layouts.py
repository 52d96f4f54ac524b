"""Which file belongs to which class and part, for each public layout."""

import filecmp
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from hdkd.config import HamLayout, Layout, TrainTestFolders
from hdkd.errors import DataError, first_few

# Columns of every listing: path below files/, class name, part (train, test or empty), and the
# lesion that the image shows (empty where the layout knows of none).
COLUMNS = ["path", "class", "part", "lesion"]
PARTS = {"train", "training", "test", "testing", "val", "valid", "validation"}  # in folders' names
# Of images beside a table that lists them, where other files may lie, too.
IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"}


def listing(name: str, files: Path, layout: Layout) -> pd.DataFrame:
    """One row per image file of dataset ``name``, sorted by path, with ``COLUMNS``.

    Raises ``DataError`` when a folder that the layout needs is missing or empty, or the metadata
    and the images do not belong together.
    """
    if isinstance(layout, TrainTestFolders):
        table = _train_test_folders(name, files, layout)
    elif isinstance(layout, HamLayout):
        table = _ham10000(name, files, layout)
    else:
        table = _class_folder_rows(name, files, _root(files, None), "")
        classes = sorted(set(table["class"]))
        if {each.casefold() for each in classes} <= PARTS:
            raise DataError(
                f"dataset {name}: {' and '.join(classes)} are parts rather than classes: take "
                "layout {kind: train_test_folders}, and split {kind: clusters} to have both drawn "
                "anew"
            )
    return table.sort_values("path", ignore_index=True)[COLUMNS]


def _root(files: Path, expected: str | None) -> Path:
    """``files``, or the one folder in it, as archives often have."""
    inside = [entry for entry in files.iterdir() if not entry.name.startswith(".")]
    if expected and (files / expected).is_dir():
        return files
    if len(inside) == 1 and inside[0].is_dir():
        return _root(inside[0], expected)
    return files


def _class_folder_rows(name: str, files: Path, folder: Path, part: str) -> pd.DataFrame:
    where = folder.relative_to(files).as_posix()
    classes = sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."
    )
    if len(classes) < 2:
        raise DataError(
            f"dataset {name}: {'its top' if where == '.' else where} must hold one folder per "
            f"class, at least two; it holds {', '.join(classes) or 'none'}"
        )
    _check_case(name, classes)
    rows, empty = [], []
    for label in classes:
        paths = [path for path in (folder / label).rglob("*") if path.is_file()]
        if not paths:
            empty.append((folder / label).relative_to(files).as_posix())
        rows += [(path.relative_to(files).as_posix(), label, part, "") for path in paths]
    if empty:
        raise DataError(
            f"dataset {name}: a class folder without an image: {first_few(empty)}: fill or "
            "remove it"
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def _check_case(name: str, classes: Iterable[str], what: str = "class folders") -> None:
    """Folders that differ in case only are two classes on one system and one on another."""
    spellings: dict[str, set[str]] = {}
    for label in classes:
        spellings.setdefault(label.casefold(), set()).add(label)
    doubtful = [" and ".join(sorted(each)) for each in spellings.values() if len(each) > 1]
    if doubtful:
        raise DataError(
            f"dataset {name}: {what} that differ in case only: {first_few(doubtful)}: rename them"
        )


def _train_test_folders(name: str, files: Path, layout: TrainTestFolders) -> pd.DataFrame:
    root = _root(files, layout.train)
    tables = []
    for part, place in {"train": layout.train, "test": layout.test}.items():
        folder = root / place
        if not folder.is_dir():
            found = first_few(sorted(entry.name for entry in root.iterdir())) or "nothing"
            raise DataError(
                f"dataset {name}: there is no folder {place!r} (datasets.{name}.layout.{part}); "
                f"found {found}: add it, or take layout {{kind: class_folders}} and a split"
            )
        tables.append(_class_folder_rows(name, files, folder, part))
    read = {Path(place).parts[0] for place in (layout.train, layout.test)}
    others = sorted(e.name for e in root.iterdir() if e.is_dir() and e.name[0] != ".")
    if unread := [other for other in others if other not in read]:
        print(
            f"note: dataset {name}: of the folders only {layout.train} and {layout.test} are read, "
            f"not {first_few(unread)}",
            file=sys.stderr,
        )
    train, test = (set(table["class"]) for table in tables)
    _check_case(name, train | test)
    one_sided = {("test", "training"): test - train, ("training", "test"): train - test}
    for (part, other), extra in one_sided.items():
        if extra:
            raise DataError(
                f"dataset {name}: the {part} folder has the class {', '.join(sorted(extra))}, "
                f"which the {other} folder lacks"
            )
    return pd.concat(tables, ignore_index=True)


def _by_stem(name: str, files: Path) -> dict[str, Path]:
    """Images by their name without its ending; the published archive has some of them twice."""
    images: dict[str, Path] = {}
    for path in sorted(files.rglob("*")):
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        other = images.get(path.stem)
        if other and not filecmp.cmp(other, path, shallow=False):
            both = " and ".join(each.relative_to(files).as_posix() for each in (other, path))
            raise DataError(
                f"dataset {name}: {both} are different images of one name: rename or remove one"
            )
        images[path.stem] = path
    return images


def _ham10000(name: str, files: Path, layout: HamLayout) -> pd.DataFrame:
    found = sorted(files.rglob(layout.metadata))
    if not found:
        raise DataError(
            f"dataset {name}: there is no {layout.metadata} (datasets.{name}.layout.metadata)"
        )
    try:
        metadata = pd.read_csv(
            found[0], usecols=["lesion_id", "image_id", "dx"], dtype=str, keep_default_na=False
        )
    except ValueError:
        raise DataError(
            f"dataset {name}: {found[0].name} must be a CSV in UTF-8 with lesion_id, image_id "
            "and dx"
        ) from None
    metadata = metadata.apply(lambda column: column.str.strip())
    images = _by_stem(name, files)
    listed = set(metadata.image_id)
    problems = {
        "lists twice": metadata.image_id[metadata.image_id.duplicated()],
        "gives no class or lesion for": metadata.image_id[
            (metadata.dx == "") | (metadata.lesion_id == "")
        ],
        "lists images that are not there:": [i for i in metadata.image_id if i not in images],
        "does not list": [image for image in images if image not in listed],
    }
    found_problems = [
        f"{what} {first_few(names)}" for what, names in problems.items() if len(names)
    ]
    if found_problems:
        raise DataError(
            f"dataset {name}: {found[0].name} {'; and '.join(found_problems)}: correct the "
            "metadata or the images"
        )
    classes = sorted(set(metadata.dx))
    if len(classes) < 2:
        raise DataError(
            f"dataset {name}: {found[0].name} must have two classes (dx) at least; it has "
            f"{', '.join(classes) or 'none'}"
        )
    _check_case(name, classes, f"classes in {found[0].name}")
    return pd.DataFrame(
        {
            "path": [images[i].relative_to(files).as_posix() for i in metadata.image_id],
            "class": metadata.dx,
            "part": "",
            "lesion": metadata.lesion_id,
        }
    )
