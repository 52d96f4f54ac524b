"""Which images train, which validate and which test."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hdkd.config import Dataset, Split, ValidationSplit, plain
from hdkd.data import duplicates
from hdkd.data.batches.imageset import PREPARED_FILES
from hdkd.data.batches.subsets import images_per_class
from hdkd.errors import DataError, first_few
from hdkd.files import replacing, write_checksums, write_json

PARTS = ("train", "validation", "test")


def split(
    name: str,
    dataset: Dataset,
    validation: ValidationSplit,
    index: Path,
    folder: Path,
    method_subsets: Iterable[int] = (),
) -> None:
    """Write the split, what is known of it, its near-copies, and checksums of all prepared files.

    ``split.csv`` is index.csv with parts and clusters, in which ``leaked`` marks test images whose
    cluster (copies, near-copies and images of the same lesion) has images of other parts;
    ``split.json`` has counts and leaks, ``copies.csv`` the pairs of near-copies. ``validation`` is
    the section ``split`` of the parameters, ``method_subsets`` are sizes that methods are compared
    on. Raises ``DataError`` when a class would have no
    training, validation or test images, and ``ParameterError`` for a subset that is larger than the
    training part.
    """
    table = pd.read_csv(index, keep_default_na=False, dtype={"class": str, "lesion": str})
    pairs = duplicates.pairs(np.load(folder / "images.npy", mmap_mode="r"))
    table["cluster"] = clusters(table, pairs)
    table["part"] = assign(name, table, dataset.split)
    if validation.validation_fraction:
        table["part"] = set_aside(table, validation.validation_fraction, validation.validation_seed)
    table["leaked"] = leaked(table)
    paths = table["path"].to_numpy()
    named = pairs.assign(first=paths[pairs["first"]], second=paths[pairs["second"]])
    with replacing(folder / "copies.csv") as partial:
        named.to_csv(partial, index=False, float_format="%.4f")
    parts = ["train", "test"] + ["validation"] * (validation.validation_fraction > 0)
    for part in parts:
        lacking = sorted(set(table["class"]) - set(table["class"][table["part"] == part]))
        if lacking and part == "validation":
            raise DataError(
                f"dataset {name}: no image of the class {lacking[0]} can be set aside for "
                "validation, because it has one training image, or all are near-copies of each "
                "other or of test images (copies.csv names them): add images, take copies out, or "
                "set split.validation_fraction to 0"
            )
        if lacking and dataset.split.kind == "published":
            raise DataError(f"dataset {name}: the class {lacking[0]} has no readable {part} image")
        if lacking:
            raise DataError(
                f"dataset {name}: no image of the class {lacking[0]} comes into the {part} part, "
                "because it has one image, or all are near-copies (copies.csv names them), or of "
                "one patient or lesion: add images, or take copies out"
            )
    trained = np.bincount(table["label"][table["part"] == "train"]).tolist()
    for subset in dataset.subsets:
        images_per_class(trained, subset, f"datasets.{name}.subsets")
    for size in method_subsets:
        images_per_class(trained, size, f"methods.subsets.{name}")
    with replacing(folder / "split.csv") as partial:
        table.to_csv(partial, index=False)
    compared = compare(table, plain(dataset.classes))
    write_json(folder / "split.json", {"counts": counts(table), **compared, **leaks(table)})
    write_checksums(folder, [file for file in PREPARED_FILES if (folder / file).exists()])
    ambiguous = in_two_classes(table)
    if ambiguous:
        print(
            f"warning: dataset {name}: {len(ambiguous)} images stand in more than one class, pixel "
            f"for pixel as prepared: {first_few(ambiguous)}",
            file=sys.stderr,
        )


def clusters(table: pd.DataFrame, pairs: pd.DataFrame) -> np.ndarray:
    """Cluster numbers ``(n,)``, shared by copies, near-copies and images of the same lesion."""
    links = [pairs[["first", "second"]]]
    lesions = table["lesion"].where(table["lesion"] != "")
    for column in (table["digest"], lesions):
        # Each image with the next one of the same digest or lesion; numbers below 0 have none.
        numbers, _ = pd.factorize(column)
        order = np.argsort(numbers, kind="stable")
        same = (np.diff(numbers[order]) == 0) & (numbers[order[1:]] >= 0)
        links.append(pd.DataFrame({"first": order[:-1][same], "second": order[1:][same]}))
    return duplicates.clusters(len(table), pd.concat(links, ignore_index=True))


def assign(name: str, table: pd.DataFrame, rule: Split) -> pd.Series:
    """``train`` or ``test`` for each row of the index of dataset ``name``.

    ``published`` keeps the parts of the layout; ``held_out`` draws ``test_fraction`` of the images,
    stratified by class; ``single_image_lesions`` draws that fraction of the lesions that have
    exactly one image (Datta et al. 2021, whom the paper's section 4.1 follows), so that no lesion
    is in both parts; ``clusters`` draws that fraction in whole clusters, so that no near-copy is.
    """
    if rule.kind == "published":
        return table["part"]
    if rule.kind == "clusters":
        all_images = np.ones(len(table), dtype=bool)
        test = draw_clusters(table, all_images, all_images, rule.test_fraction, rule.seed)
        return pd.Series(np.where(test, "test", "train"), index=table.index)
    # Slow to import, and only needed here.
    from sklearn.model_selection import train_test_split

    eligible = np.arange(len(table))
    if rule.kind == "single_image_lesions":
        eligible = np.flatnonzero(~table["lesion"].duplicated(keep=False))
    try:
        _, test = train_test_split(
            eligible,
            test_size=rule.test_fraction,
            random_state=rule.seed,
            stratify=table["label"].to_numpy()[eligible],
        )
    except ValueError as error:
        raise DataError(
            f"dataset {name}: datasets.{name}.split.test_fraction {rule.test_fraction} does not "
            f"fit its images: {error}"
        ) from None
    parts = np.full(len(table), "train", dtype=object)
    parts[test] = "test"
    return pd.Series(parts, index=table.index)


def set_aside(table: pd.DataFrame, fraction: float, seed: int) -> pd.Series:
    """The parts of ``table`` with ``fraction`` of each class's training images made ``validation``.

    Clusters stay whole, and those with a test image stay in training: what is chosen on the
    validation images must not be chosen on copies of test images.
    """
    train = (table["part"] == "train").to_numpy()
    like_tests = table["cluster"].isin(set(table["cluster"][~train])).to_numpy()
    chosen = draw_clusters(table, train, train & ~like_tests, fraction, seed)
    return table["part"].mask(pd.Series(chosen, index=table.index), "validation")


def draw_clusters(
    table: pd.DataFrame, counted: np.ndarray, eligible: np.ndarray, fraction: float, seed: int
) -> np.ndarray:
    """Whether each image ``(n,)`` is drawn, in whole clusters.

    Of each class about ``fraction`` of the ``counted`` ``(n,)`` images are drawn, and only
    ``eligible`` ``(n,)`` ones: at least one of each class that has two clusters of them, and never
    all. A cluster of two classes counts for that of its first image.
    """
    found = table[eligible].groupby("cluster")["label"].agg(label="first", size="size")
    chosen: list[int] = []
    for label, rows in found.groupby("label"):
        wanted = max(1, round(fraction * int((counted & (table["label"] == label)).sum())))
        order = np.random.default_rng([seed, label]).permutation(len(rows))
        sizes = rows["size"].iloc[order[:-1]]
        fitting = []
        for cluster, size in sizes.items():
            if size <= wanted:
                fitting.append(cluster)
                wanted -= size
        chosen += fitting or sizes.nsmallest(1).index.tolist()
    return eligible & table["cluster"].isin(chosen).to_numpy()


def leaked(table: pd.DataFrame) -> pd.Series:
    """Whether each image is a test image whose cluster has images outside the test part."""
    test = table["part"] == "test"
    return test & table["cluster"].isin(set(table["cluster"][~test]))


def counts(table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Images per class and part, ``{class: {train: n, test: n}}``; ``validation`` if any."""
    grouped = table.groupby(["class", "part"]).size()
    parts = [part for part in PARTS if part != "validation" or part in set(table["part"])]
    return {
        str(name): {part: int(grouped.get((name, part), 0)) for part in parts}
        for name in sorted(set(table["class"]))
    }


def compare(table: pd.DataFrame, published: dict[str, Any] | None) -> dict[str, Any]:
    """Differences to the published counts, a sentence each; validation counts as training here."""
    if not published:
        return {"published": None, "differences": []}
    differences = []
    for name, found in counts(table).items():
        ours = {"train": found["train"] + found.get("validation", 0), "test": found["test"]}
        differences += [
            f"{name}, {part}: {count} images, {published[name][part]} published"
            for part, count in ours.items()
            if count != published[name][part]
        ]
    return {"published": published, "differences": differences}


def leaks(table: pd.DataFrame) -> dict[str, Any]:
    """How many images repeat, and the clusters of more than one image.

    Counted are test images whose prepared pixels equal those of an image of another part, test
    images that are ``leaked`` and, by class, those that are not, repeated training images, and
    images in several classes.
    """
    test = table["part"] == "test"
    sizes = table["cluster"].value_counts()
    return {
        "test_images_in_training": int(
            table["digest"][test].isin(set(table["digest"][~test])).sum()
        ),
        "leaked_test_images": int(table["leaked"].sum()),
        "new_test_images": {
            str(name): int(count)
            for name, count in (test & ~table["leaked"]).groupby(table["class"]).sum().items()
        },
        "repeated_training_images": int(table["digest"][~test].duplicated().sum()),
        "images_in_two_classes": len(in_two_classes(table)),
        "clusters": int((sizes > 1).sum()),
        "largest_cluster": int(sizes.max()),
    }


def in_two_classes(table: pd.DataFrame) -> list[str]:
    """Paths of the images whose prepared pixels also occur in another class."""
    classes = table.groupby("digest")["class"].transform("nunique")
    return table["path"][classes > 1].tolist()
