"""Splits and subsets: counts, nesting, leaks."""

import itertools
import json

import numpy as np
import pandas as pd
import pytest

from hdkd.data import splits
from hdkd.errors import DataError, ParameterError

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


def test_subsets_are_balanced():
    labels = np.repeat([0, 1, 2], [100, 40, 60])
    chosen = splits.draw_subset(labels, 30, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [10, 10, 10]


def test_a_class_with_fewer_images_gives_all_it_has():
    labels = np.repeat([0, 1], [100, 12])
    chosen = splits.draw_subset(labels, 32, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [20, 12]


def test_subsets_of_one_seed_are_nested():
    labels = np.repeat([0, 1, 2], [100, 40, 60])
    subsets = [set(splits.draw_subset(labels, size, seed=3)) for size in (15, 30, 90, "all")]
    assert all(small < large for small, large in itertools.pairwise(subsets))


def test_another_seed_draws_other_images():
    labels = np.repeat([0, 1], [100, 100])
    first, second = (set(splits.draw_subset(labels, 20, seed)) for seed in (0, 1))
    assert first != second


def test_the_papers_third_ham10000_subset_has_150_per_class_where_there_are_150():
    counts = [304, 488, 1033, 109, 1079, 6042, 132]
    assert splits.images_per_class(counts, 991, "subsets") == 150


def test_a_subset_larger_than_the_training_set_is_refused():
    with pytest.raises(ParameterError, match=r"subsets: 500 images exceed the 200"):
        splits.images_per_class([100, 100], 500, "subsets")


def test_a_size_that_no_balanced_subset_has_is_refused_with_those_that_do():
    with pytest.raises(ParameterError, match="14 and 16 are possible"):
        splits.images_per_class([100, 100], 15, "subsets")


def test_single_image_lesions_are_split_so_that_no_lesion_is_in_both_parts():
    rows = [("nv", "", f"one{k}") for k in range(40)] + [("mel", "", f"two{k}") for k in range(20)]
    rows += [("nv", "", f"pair{k // 2}") for k in range(20)]
    rule = {"kind": "single_image_lesions", "test_fraction": 0.25, "seed": 0}
    table = index(rows)
    table["part"] = splits.assign(table, rule)
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
    rule = {"kind": "single_image_lesions", "test_fraction": 0.15, "seed": seed}
    table = index(rows)
    table["part"] = splits.assign(table, rule)
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
    table["part"] = splits.assign(table, {"kind": "held_out", "test_fraction": 0.2, "seed": 0})
    assert splits.counts(table) == {"a": {"train": 32, "test": 8}, "b": {"train": 8, "test": 2}}


def test_a_class_too_small_to_split_is_refused():
    table = index([("a", "", "")] * 10 + [("b", "", "")])
    with pytest.raises(DataError, match="test_fraction"):
        splits.assign(table, {"kind": "held_out", "test_fraction": 0.2, "seed": 0})


def test_copies_of_training_images_in_the_test_set_are_counted():
    table = index([("a", "train", ""), ("a", "train", ""), ("a", "test", ""), ("a", "test", "")])
    table["digest"] = ["x", "x", "x", "y"]
    assert splits.leaks(table) == {
        "test_images_in_training": 1,
        "repeated_training_images": 1,
        "images_in_two_classes": 0,
    }


def test_images_that_stand_in_two_classes_are_named(tmp_path, capsys):
    rows = [(name, part, "") for name in "ab" for part in ("train", "test")]
    table = index(rows)
    table["path"] = ["a/1.png", "a/2.png", "b/1.png", "b/2.png"]
    table["digest"] = ["same", "x", "same", "y"]
    table.to_csv(tmp_path / "index.csv", index=False)
    dataset = {"split": {"kind": "published"}, "classes": None}
    splits.split("mine", dataset, tmp_path / "index.csv", tmp_path)
    assert json.loads((tmp_path / "split.json").read_text())["images_in_two_classes"] == 2
    assert "2 images stand in more than one class" in capsys.readouterr().err


def test_differences_to_published_counts_are_recorded(tmp_path):
    rows = [("a", "train", ""), ("a", "test", ""), ("b", "train", ""), ("b", "test", "")]
    index(rows).to_csv(tmp_path / "index.csv", index=False)
    published = {"a": {"train": 1, "test": 1}, "b": {"train": 3, "test": 1}}
    dataset = {"split": {"kind": "published"}, "classes": published}
    splits.split("mine", dataset, tmp_path / "index.csv", tmp_path)
    facts = json.loads((tmp_path / "split.json").read_text())
    assert facts["differences"] == ["b, train: 1 images, 3 published"]
