"""Which images train and which test, and the balanced, nested subsets of the training images."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hdkd.errors import DataError, ParameterError, shown
from hdkd.files import replacing, write_sums, write_whole

PREPARED_FILES = ("images.npy", "index.csv", "facts.json", "split.csv", "split.json")


def split(name: str, dataset: dict[str, Any], index: Path, folder: Path) -> None:
    """Write ``split.csv`` (index.csv with its part decided), ``split.json`` (counts, leaks) and the
    checksums of all prepared files.

    Raises ``DataError`` when a class would be left without training or test images.
    """
    table = pd.read_csv(index, keep_default_na=False, dtype={"class": str, "lesion": str})
    table["part"] = assign(table, dataset["split"])
    for part in ("train", "test"):
        lacking = set(table["class"]) - set(table["class"][table["part"] == part])
        if lacking:
            raise DataError(
                f"dataset {name}: the class {sorted(lacking)[0]} has no readable {part} image"
            )
    with replacing(folder / "split.csv") as partial:
        table.to_csv(partial, index=False)
    facts = {
        "counts": counts(table),
        **compare(table, dataset["classes"]),
        **leaks(table),
    }
    write_whole(folder / "split.json", json.dumps(facts, indent=2, ensure_ascii=False) + "\n")
    write_sums(folder, [file for file in PREPARED_FILES if (folder / file).exists()])
    doubtful = in_two_classes(table)
    if doubtful:
        print(
            f"warning: dataset {name}: {len(doubtful)} images stand in more than one class, pixel for "
            f"pixel as prepared: {shown(doubtful)}",
            file=sys.stderr,
        )


def assign(table: pd.DataFrame, rule: dict[str, Any]) -> pd.Series:
    """``train`` or ``test`` for each row of an index.

    ``published`` keeps the parts of the layout; ``held_out`` draws ``test_fraction`` of the images,
    stratified by class; ``single_image_lesions`` draws that fraction of the lesions that have
    exactly one image (Datta et al. 2021, whom the paper's section 4.1 follows), so that no lesion
    is in both parts.
    """
    if rule["kind"] == "published":
        return table["part"]
    from sklearn.model_selection import (
        train_test_split,
    )  # slow to import, and trainings need it not

    eligible = np.arange(len(table))
    if rule["kind"] == "single_image_lesions":
        eligible = np.flatnonzero(~table["lesion"].duplicated(keep=False))
    try:
        _, test = train_test_split(
            eligible,
            test_size=rule["test_fraction"],
            random_state=rule["seed"],
            stratify=table["label"].to_numpy()[eligible],
        )
    except ValueError as error:
        raise DataError(
            f"split.test_fraction {rule['test_fraction']} does not fit: {error}"
        ) from None
    parts = np.full(len(table), "train", dtype=object)
    parts[test] = "test"
    return pd.Series(parts, index=table.index)


def counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Images per class and part: ``{class: {train: n, test: n}}``."""
    grouped = table.groupby(["class", "part"]).size()
    return {
        str(name): {part: int(grouped.get((name, part), 0)) for part in ("train", "test")}
        for name in sorted(set(table["class"]))
    }


def compare(table: pd.DataFrame, published: dict[str, Any] | None) -> dict[str, Any]:
    """Differences to the published counts, one sentence each."""
    if not published:
        return {"published": None, "differences": []}
    differences = [
        f"{name}, {part}: {found[part]} images, {published[name][part]} published"
        for name, found in counts(table).items()
        for part in ("train", "test")
        if found[part] != published[name][part]
    ]
    return {"published": published, "differences": differences}


def leaks(table: pd.DataFrame) -> dict[str, int]:
    """Test images whose prepared pixels equal a training image's, training images that repeat, and
    images that stand in several classes.
    """
    train, test = (table[table["part"] == part] for part in ("train", "test"))
    return {
        "test_images_in_training": int(test["digest"].isin(set(train["digest"])).sum()),
        "repeated_training_images": int(train["digest"].duplicated().sum()),
        "images_in_two_classes": len(in_two_classes(table)),
    }


def in_two_classes(table: pd.DataFrame) -> list[str]:
    """Paths of the images whose prepared pixels another class has, too."""
    classes = table.groupby("digest")["class"].transform("nunique")
    return table["path"][classes > 1].tolist()


def images_per_class(class_counts: list[int], subset: int | str, key: str) -> int | None:
    """Images per class of a balanced subset of ``subset`` images; ``None`` for ``all``.

    A class that has fewer gives all it has, as in the paper's third HAM-10000 subset (section
    4.4.2). Raises ``ParameterError`` when no number per class gives ``subset``.
    """
    if subset == "all":
        return None
    total = sum(class_counts)
    if int(subset) > total:
        raise ParameterError(f"{key}: {subset} images exceed the {total} of the training set")
    sizes = {sum(min(c, k) for c in class_counts): k for k in range(1, max(class_counts) + 1)}
    if int(subset) not in sizes:
        near = sorted(sorted(sizes, key=lambda size: abs(size - int(subset)))[:2])
        raise ParameterError(
            f"{key}: no balanced subset has {subset} images; {near[0]} and {near[-1]} are possible"
        )
    return sizes[int(subset)]


def draw_subset(labels: np.ndarray, subset: int | str, seed: int) -> np.ndarray:
    """Positions in ``labels`` of a balanced subset, ascending.

    Subsets of one seed are nested: each class has one random order per seed, of which a subset
    takes the beginning.
    """
    class_counts = np.bincount(labels)
    per_class = images_per_class(class_counts.tolist(), subset, "subsets")
    if per_class is None:
        return np.arange(len(labels))
    chosen = []
    for label in range(len(class_counts)):
        members = np.flatnonzero(labels == label)
        order = np.random.default_rng([seed, label]).permutation(members)
        chosen.append(order[:per_class])
    return np.sort(np.concatenate(chosen))
