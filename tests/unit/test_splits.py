"""Splits: counts, what stays together, leaks."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hdkd.config import ValidationSplit
from hdkd.config.datasets import DrawnSplit
from hdkd.data import split as splits
from hdkd.errors import DataError, ParameterError
from project import own_images

NO_VALIDATION = ValidationSplit(0, 0)
PUBLISHED = own_images()

HAM_LABELS = {
    "akiec": 327,
    "bcc": 514,
    "bkl": 1099,
    "df": 115,
    "mel": 1113,
    "nv": 6705,
    "vasc": 142,
}
# Lesions with exactly one image, per class; 5514 in all.
HAM_SINGLE = {"akiec": 151, "bcc": 175, "bkl": 440, "df": 39, "mel": 230, "nv": 4415, "vasc": 64}


def index(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Rows of (class, part, lesion) as an index."""
    table = pd.DataFrame(rows, columns=["class", "part", "lesion"])
    table["label"] = table["class"].map(sorted(set(table["class"])).index)
    table["digest"] = [f"{number:03d}" for number in range(len(table))]
    table["path"] = table["digest"] + ".png"
    return table


def test_single_image_lesions_are_split_so_that_no_lesion_is_in_both_parts():
    rows = [("nv", "", f"one{k}") for k in range(40)] + [("mel", "", f"two{k}") for k in range(20)]
    rows += [("nv", "", f"pair{k // 2}") for k in range(20)]
    rule = DrawnSplit("single_image_lesions", 0.25, 0)
    table = index(rows)
    table["part"] = splits.assign("moles", table, rule)
    assert splits.counts(table) == {
        "mel": {"train": 15, "test": 5},
        "nv": {"train": 50, "test": 10},
    }
    test = table[table["part"] == "test"]
    assert not test["lesion"].str.startswith("pair").any()


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_ham10000_has_the_published_counts_whatever_the_seed(seed):
    rows = []
    for name, total in HAM_LABELS.items():
        single = HAM_SINGLE[name]
        rows += [(name, "", f"{name}{k}") for k in range(single)]
        rows += [(name, "", f"{name}-several") for _ in range(total - single)]
    rule = DrawnSplit("single_image_lesions", 0.15, seed)
    table = index(rows)
    table["part"] = splits.assign("moles", table, rule)
    assert splits.counts(table) == {
        "akiec": {"train": 304, "test": 23},
        "bcc": {"train": 488, "test": 26},
        "bkl": {"train": 1033, "test": 66},
        "df": {"train": 109, "test": 6},
        "mel": {"train": 1079, "test": 34},
        "nv": {"train": 6042, "test": 663},
        "vasc": {"train": 132, "test": 10},
    }


def test_held_out_fraction_is_stratified():
    table = index([("a", "", "")] * 40 + [("b", "", "")] * 10)
    table["part"] = splits.assign("moles", table, DrawnSplit("held_out", 0.2, 0))
    assert splits.counts(table) == {"a": {"train": 32, "test": 8}, "b": {"train": 8, "test": 2}}


def test_a_class_too_small_to_split_is_refused():
    table = index([("a", "", "")] * 10 + [("b", "", "")])
    with pytest.raises(DataError, match="test_fraction"):
        splits.assign("moles", table, DrawnSplit("held_out", 0.2, 0))


def prepared(folder: Path, rows: list[tuple[str, str, str]], digests: str = "") -> Path:
    """An index and images of noise, with a letter of ``digests`` each; equal ones are copies."""
    table = index(rows)
    if digests:
        table["digest"] = list(digests)
    pixels = {d: np.random.default_rng(k).integers(0, 256, (1, 32, 32), np.uint8)
              for k, d in enumerate(dict.fromkeys(table["digest"]))}  # fmt: skip
    np.save(folder / "images.npy", np.stack([pixels[digest] for digest in table["digest"]]))
    table.to_csv(folder / "index.csv", index=False)
    return folder / "index.csv"


def split(folder: Path, rows, digests: str = "", dataset=PUBLISHED, validation=NO_VALIDATION):
    """The table and the facts of a split."""
    splits.split("mine", dataset, validation, prepared(folder, rows, digests), folder)
    table = pd.read_csv(folder / "split.csv", keep_default_na=False)
    return table, json.loads((folder / "split.json").read_text())


def test_what_is_not_new_is_counted(tmp_path):
    rows = (
        [("a", "train", "")] * 3 + [("a", "test", "")] * 2 + [("b", "train", ""), ("b", "test", "")]
    )
    table, facts = split(tmp_path, rows, "xxyxzvw")
    assert table["leaked"].tolist() == [False, False, False, True, False, False, False]
    expected = {
        "test_images_in_training": 1,
        "leaked_test_images": 1,
        "new_test_images": {"a": 1, "b": 1},
        "repeated_training_images": 1,
        "images_in_two_classes": 0,
        "clusters": 1,
        "largest_cluster": 3,
    }
    assert {name: facts[name] for name in expected} == expected


def test_an_image_of_a_lesion_in_training_is_leaked(tmp_path):
    rows = [("a", "train", "one"), ("a", "test", "one"), ("a", "test", "two")]
    table, _ = split(tmp_path, [*rows, ("b", "train", ""), ("b", "test", "")])
    assert table["leaked"].tolist() == [False, True, False, False, False]


def test_images_that_stand_in_two_classes_are_named(tmp_path, capsys):
    rows = [(name, part, "") for name in "ab" for part in ("train", "test")]
    _, facts = split(tmp_path, rows, "xyxz")
    assert facts["images_in_two_classes"] == 2
    assert "2 images stand in more than one class" in capsys.readouterr().err


def test_differences_to_published_counts_are_recorded(tmp_path):
    rows = [("a", "train", ""), ("a", "test", ""), ("b", "train", ""), ("b", "test", "")]
    published = {"a": {"train": 1, "test": 1}, "b": {"train": 3, "test": 1}}
    _, facts = split(tmp_path, rows, dataset=own_images(classes=published))
    assert facts["differences"] == ["b, train: 1 images, 3 published"]


MANY = [(name, part, "") for name in "ab" for part in ["train"] * 20 + ["test"] * 5]
TENTH = ValidationSplit(0.1, 0)


def test_validation_images_are_a_share_of_each_classs_training_images(tmp_path):
    _, facts = split(tmp_path, MANY, validation=TENTH)
    expected = {"train": 18, "validation": 2, "test": 5}
    assert facts["counts"] == {"a": expected, "b": expected}


def test_validation_images_are_no_difference_to_published_counts(tmp_path):
    published = {name: {"train": 20, "test": 5} for name in "ab"}
    _, facts = split(tmp_path, MANY, dataset=own_images(classes=published), validation=TENTH)
    assert facts["differences"] == []


def test_lesions_stay_on_one_side(tmp_path):
    rows = [("a", part, f"{part}{k // 3}") for part in ("train", "test") for k in range(30)]
    rows += [("b", part, "") for part in ("train", "test") for k in range(30)]
    table, _ = split(tmp_path, rows, validation=ValidationSplit(0.3, 0))
    assert (table[table["lesion"] != ""].groupby("lesion")["part"].nunique() == 1).all()
    assert (table[table["class"] == "a"]["part"] == "validation").sum() == 9


def test_no_validation_image_is_a_copy_of_a_test_image(tmp_path):
    # All but one of class a's training images are in the test part, too.
    rows = (
        [("a", "train", "")] * 5
        + [("a", "test", "")] * 4
        + [("b", "train", "")] * 2
        + [("b", "test", "")]
    )
    rows += [("a", "train", "")]
    table, _ = split(tmp_path, rows, "12345" + "1234" + "xyz" + "w", validation=TENTH)
    validation = table["digest"][table["part"] == "validation"].tolist()
    assert {str(digest) for digest in validation} & set("1234") == set()


def test_of_clusters_that_are_all_too_large_the_smallest_is_set_aside(tmp_path):
    rows = [("a", "train", lesion) for lesion in ["one"] * 6 + ["two"] * 4 + ["three"] * 5]
    rows += [("a", "test", ""), *MANY[25:]]
    table, _ = split(tmp_path, rows, validation=TENTH)
    own = table[(table["class"] == "a") & (table["part"] == "validation")]
    # One of the three always stays; of the two others it is the smaller.
    assert len(own) in (4, 5)
    assert own["lesion"].nunique() == 1


def test_another_seed_chooses_other_validation_images(tmp_path):
    parts = [
        split(tmp_path, MANY, validation=ValidationSplit(0.1, seed))[0]["part"].tolist()
        for seed in (0, 1)
    ]
    assert parts[0] != parts[1]


def test_a_class_of_a_single_cluster_cannot_give_validation_images(tmp_path):
    rows = [("a", "train", "one")] * 4 + [("a", "test", "")] + MANY[25:]
    with pytest.raises(DataError, match="no image of the class a can be set aside for validation"):
        split(tmp_path, rows, validation=TENTH)


def test_a_size_to_compare_methods_on_is_as_large_at_most(tmp_path):
    index = prepared(tmp_path, [("a", "train", ""), ("a", "test", "")] * 20, "")
    with pytest.raises(ParameterError, match=r"methods\.subsets\.mine: 21 images exceed the 20"):
        splits.split("mine", PUBLISHED, NO_VALIDATION, index, tmp_path, [20, 21])


def test_a_subset_larger_than_what_validation_leaves_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"datasets\.mine\.subsets: 38 images exceed the 36"):
        split(tmp_path, MANY, dataset=own_images(subsets=[38]), validation=TENTH)


def test_a_split_by_clusters_keeps_copies_together_whatever_part_they_came_in(tmp_path):
    digests = "".join(chr(65 + k // 2) for k in range(50))
    rule = DrawnSplit("clusters", 0.2, 0)
    table, facts = split(tmp_path, MANY, digests, dataset=own_images(split=rule))
    assert (table.groupby("digest")["part"].nunique() == 1).all()
    assert facts["leaked_test_images"] == 0
    assert 8 <= (table["part"] == "test").sum() <= 10
