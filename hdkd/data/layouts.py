"""Which file belongs to which class and part, for each public layout."""

from pathlib import Path
from typing import Any

import pandas as pd

from hdkd.errors import DataError

# Columns of every listing: path below files/, class name, part (train, test or empty), and the
# lesion that the image shows (empty where the layout knows of none).
COLUMNS = ["path", "class", "part", "lesion"]


def listing(name: str, files: Path, layout: dict[str, Any]) -> pd.DataFrame:
    """One row per image file of dataset ``name``, sorted by path, with ``COLUMNS``.

    Raises ``DataError`` when a folder that the layout needs is missing or empty, or the metadata
    and the images do not belong together.
    """
    kind = layout["kind"]
    if kind == "train_test_folders":
        table = _train_test_folders(name, files, layout)
    elif kind == "class_folders":
        root = _root(files, None)
        table = _class_folder_rows(name, files, root, "")
    else:
        table = _ham10000(name, files, layout)
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
    shown = folder.relative_to(files).as_posix()
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if len(classes) < 2:
        raise DataError(
            f"dataset {name}: {shown if shown != '.' else 'its top'} must hold one folder per class, "
            f"at least two; it holds {', '.join(classes) or 'none'}"
        )
    rows = []
    for label in classes:
        paths = [path for path in (folder / label).rglob("*") if path.is_file()]
        if not paths:
            where = (folder / label).relative_to(files).as_posix()
            raise DataError(f"dataset {name}: the class folder {where} is empty: fill or remove it")
        rows += [(path.relative_to(files).as_posix(), label, part, "") for path in paths]
    return pd.DataFrame(rows, columns=COLUMNS)


def _train_test_folders(name: str, files: Path, layout: dict[str, Any]) -> pd.DataFrame:
    root = _root(files, layout["train"])
    tables = []
    for part in ("train", "test"):
        folder = root / layout[part]
        if not folder.is_dir():
            found = ", ".join(sorted(entry.name for entry in root.iterdir())) or "nothing"
            raise DataError(
                f"dataset {name}: there is no folder {layout[part]!r} (datasets.{name}.layout.{part}); "
                f"found {found}"
            )
        tables.append(_class_folder_rows(name, files, folder, part))
    train, test = (set(table["class"]) for table in tables)
    if test - train:
        raise DataError(
            f"dataset {name}: the test folder has the class {', '.join(sorted(test - train))}, "
            "which the training folder lacks"
        )
    if train - test:
        raise DataError(
            f"dataset {name}: the training folder has the class {', '.join(sorted(train - test))}, "
            "which the test folder lacks"
        )
    return pd.concat(tables, ignore_index=True)


def _ham10000(name: str, files: Path, layout: dict[str, Any]) -> pd.DataFrame:
    found = sorted(files.rglob(layout["metadata"]))
    if not found:
        raise DataError(
            f"dataset {name}: there is no {layout['metadata']} (datasets.{name}.layout.metadata)"
        )
    try:
        metadata = pd.read_csv(found[0], usecols=["lesion_id", "image_id", "dx"], dtype=str)
    except ValueError:
        raise DataError(
            f"dataset {name}: {found[0].name} must be a CSV with lesion_id, image_id and dx"
        ) from None
    doubled = metadata.image_id[metadata.image_id.duplicated()]
    if len(doubled):
        raise DataError(f"dataset {name}: {found[0].name} lists {doubled.iloc[0]} twice")
    images = {path.stem: path for path in sorted(files.rglob("*.jpg"))}
    missing = [image for image in metadata.image_id if image not in images]
    if missing:
        raise DataError(
            f"dataset {name}: {len(missing)} images of {found[0].name} are missing, "
            f"the first is {missing[0]}.jpg"
        )
    return pd.DataFrame(
        {
            "path": [images[i].relative_to(files).as_posix() for i in metadata.image_id],
            "class": metadata.dx,
            "part": "",
            "lesion": metadata.lesion_id,
        }
    )
