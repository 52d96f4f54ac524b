"""SMOTE recipes against imbalanced-learn's own images."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE

from hdkd.config import Smote
from hdkd.data.batches.imageset import ImageSet, TrainingSet, blend
from hdkd.data.neighbours import squared_distances
from hdkd.data.smote import recipes
from hdkd.errors import DataError
from hdkd.training.job import RECIPE_TYPES

COUNTS = (40, 9, 17)
RULE = Smote(enabled=True, neighbours=5, target="majority", seed=11)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (sum(COUNTS), 3, 6, 6), dtype=np.uint8)


@pytest.fixture
def labels() -> np.ndarray:
    return np.repeat(np.arange(len(COUNTS)), COUNTS)


def test_recipes_give_imbalanced_learns_own_images_to_rounding(images, labels):
    flat = images.reshape(len(images), -1).astype(np.float64)
    theirs, their_labels = SMOTE(random_state=11, k_neighbors=5).fit_resample(flat, labels)
    table = recipes(images, np.arange(len(images)), labels, RULE, "mine")
    ours = blend(images[table["base"]], images[table["neighbour"]], table["gap"].to_numpy())
    synthetic = theirs[len(images) :].reshape(ours.shape)
    assert table["label"].tolist() == their_labels[len(images) :].tolist()
    assert np.abs(ours - synthetic).max() <= 0.5 + 1e-4


def test_recipes_of_scattered_training_images_name_their_positions(images, labels):
    positions = np.arange(len(images)) * 2
    spread = np.zeros((2 * len(images), *images.shape[1:]), dtype=np.uint8)
    spread[positions] = images
    dense = recipes(images, np.arange(len(images)), labels, RULE, "mine")
    sparse = recipes(spread, positions, labels, RULE, "mine")
    assert (sparse["base"] == 2 * dense["base"]).all()
    assert (sparse["neighbour"] == 2 * dense["neighbour"]).all()
    assert (sparse["gap"] == dense["gap"]).all()


def test_every_class_reaches_the_majority(images, labels):
    table = recipes(images, np.arange(len(images)), labels, RULE, "mine")
    total = np.bincount(labels) + np.bincount(table["label"], minlength=3)
    assert total.tolist() == [40, 40, 40]


def test_a_target_per_class_can_be_given(images, labels):
    rule = dataclasses.replace(RULE, target=20)
    table = recipes(images, np.arange(len(images)), labels, rule, "mine")
    assert np.bincount(table["label"], minlength=3).tolist() == [0, 11, 3]


def test_balanced_classes_need_no_recipes(images):
    labels = np.repeat([0, 1], 33)
    assert len(recipes(images, np.arange(66), labels, RULE, "mine")) == 0


def test_a_table_without_recipes_leaves_the_images_as_they_are(images, tmp_path):
    labels = np.repeat([0, 1], 33)
    recipes(images, np.arange(66), labels, RULE, "mine").to_csv(tmp_path / "smote.csv", index=False)
    source = ImageSet(images, pd.DataFrame({"label": labels}), {"classes": ["a", "b"]})
    chosen = TrainingSet(source, np.arange(66), pd.read_csv(tmp_path / "smote.csv"))
    assert chosen.labels.tolist() == labels.tolist()
    assert np.array_equal(chosen.images(np.arange(66)), images)


def test_blending_bytes_does_not_overflow():
    base, neighbour = np.full((1, 1, 1, 2), 250, np.uint8), np.full((1, 1, 1, 2), 10, np.uint8)
    assert blend(base, neighbour, np.array([0.5])).tolist() == [[[[130, 130]]]]


def test_a_table_without_recipes_has_their_types(images, tmp_path):
    none = recipes(images, np.arange(66), np.repeat([0, 1], 33), RULE, "mine")
    none.to_csv(tmp_path / "smote.csv", index=False)
    table = pd.read_csv(tmp_path / "smote.csv", dtype=RECIPE_TYPES)
    assert {name: str(table[name].dtype) for name in RECIPE_TYPES} == RECIPE_TYPES


def test_wrapped_arithmetic_gives_what_imbalanced_learn_makes_of_bytes(images, labels):
    flat = images.reshape(len(images), -1)
    theirs, _ = SMOTE(random_state=11, k_neighbors=5).fit_resample(flat, labels)
    table = recipes(images, np.arange(len(images)), labels, RULE, "mine")
    pair = images[table["base"]], images[table["neighbour"]]
    ours = blend(*pair, table["gap"].to_numpy(), "wrapped")
    assert theirs.dtype == np.uint8
    assert np.array_equal(ours.reshape(len(ours), -1), theirs[len(images) :])


def test_distances_are_exact():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 10_000), dtype=np.uint8)
    wide = pixels.astype(np.int64)
    by_hand = ((wide[:, None] - wide[None]) ** 2).sum(axis=2)
    assert np.array_equal(squared_distances(pixels), by_hand)


def test_a_class_with_fewer_images_than_neighbours_is_refused(images):
    labels = np.repeat([0, 1], [62, 4])
    with pytest.raises(DataError, match=r"one has 4: lower datasets\.mine\.smote\.neighbours"):
        recipes(images, np.arange(66), labels, RULE, "mine")


def test_a_training_set_blends_recipes_as_it_draws_them(images, labels):
    table = pd.DataFrame({"label": labels, "part": "train", "digest": ""})
    source = ImageSet(images, table, {"classes": ["a", "b", "c"]})
    recipe = pd.DataFrame({"base": [40], "neighbour": [41], "gap": [0.25], "label": [1]})
    training = TrainingSet(source, np.arange(len(images)), recipe)
    drawn = training.images(np.array([3, len(images)]))
    assert np.array_equal(drawn[0], images[3])
    expected = np.rint(images[40] + 0.25 * (images[41].astype(float) - images[40]))
    assert np.array_equal(drawn[1], expected)
    assert len(training) == len(images) + 1
