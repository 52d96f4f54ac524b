"""Subsets of the training images: balance, nesting, sizes."""

import itertools

import numpy as np
import pytest

from hdkd.data.batches import subsets
from hdkd.errors import ParameterError


def test_subsets_are_balanced():
    labels = np.repeat([0, 1, 2], [100, 40, 60])
    chosen = subsets.draw_subset(labels, 30, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [10, 10, 10]


def test_a_class_with_fewer_images_gives_all_it_has():
    labels = np.repeat([0, 1], [100, 12])
    chosen = subsets.draw_subset(labels, 32, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [20, 12]


def test_subsets_of_one_seed_are_nested():
    labels = np.repeat([0, 1, 2], [100, 40, 60])
    nested = [set(subsets.draw_subset(labels, n, seed=3)) for n in (15, 16, 30, 91, "all")]
    assert all(small < large for small, large in itertools.pairwise(nested))


def test_another_seed_draws_other_images():
    labels = np.repeat([0, 1], [100, 100])
    first, second = (set(subsets.draw_subset(labels, 20, seed)) for seed in (0, 1))
    assert first != second


def test_the_papers_third_ham10000_subset_has_150_per_class_where_there_are_150():
    counts = [304, 488, 1033, 109, 1079, 6042, 132]
    sizes = subsets.images_per_class(counts, 991, "subsets")
    assert sizes == [150, 150, 150, 109, 150, 150, 132]


def test_a_subset_larger_than_the_training_set_is_refused():
    with pytest.raises(ParameterError, match=r"subsets: 500 images exceed the 200"):
        subsets.images_per_class([100, 100], 500, "subsets")


def test_what_cannot_be_the_same_for_every_class_differs_by_one():
    assert subsets.images_per_class([100, 2, 100, 100], 12, "subsets") == [4, 2, 3, 3]
