"""The batches of an epoch, gathered or resident."""

import numpy as np
import pandas as pd
import pytest
import torch

from hdkd.data.batches.imageset import ImageSet, TrainingSet
from hdkd.data.batches.loader import Loader, batch_bounds

RECIPES = pd.DataFrame(
    {"base": [2, 7, 7], "neighbour": [3, 9, 11], "gap": [0.0, 0.25, 0.9], "label": [0, 1, 1]}
)


def epoch(
    training_set: TrainingSet, resident: bool, batch_size: int = 4, images: int | None = None
):
    generators = (torch.Generator().manual_seed(seed) for seed in (0, 1))
    loader = Loader(training_set, "cpu", images, resident)
    return [loader.gather(*batch) for batch in loader.epoch(batch_size, *generators)]


@pytest.mark.parametrize("resident", [False, True])
def test_an_epoch_holds_every_image_once(source: ImageSet, resident):
    batches = epoch(TrainingSet(source, np.arange(13)), resident)
    seen = torch.cat([images for images, _, _ in batches])
    assert {image.sum().item() for image in seen} == {int(image.sum()) for image in source.images}


def test_an_epoch_of_fewer_images_takes_each_once_at_most(source: ImageSet):
    batches = epoch(TrainingSet(source, np.arange(13)), False, images=8)
    taken = [image.numpy().tobytes() for images, _, _ in batches for image in images]
    assert len(set(taken)) == len(taken) == 8


def test_an_epoch_of_more_images_takes_all_before_any_comes_again(source: ImageSet):
    batches = epoch(TrainingSet(source, np.arange(13)), False, images=30)
    taken = [image.numpy().tobytes() for images, _, _ in batches for image in images]
    assert len(taken) == 30
    for start in (0, 13):
        assert len(set(taken[start : start + 13])) == 13


@pytest.mark.parametrize(
    ("count", "expected"),
    [(8, [0, 4, 8]), (10, [0, 4, 8, 10]), (9, [0, 4, 9]), (3, [0, 3]), (1, [0, 1])],
)
def test_no_batch_is_a_single_image_unless_there_is_no_other(count, expected):
    assert batch_bounds(count, 4) == expected


@pytest.mark.parametrize("arithmetic", ["exact", "wrapped"])
def test_resident_images_are_the_gathered_ones(source: ImageSet, arithmetic):
    """Also the synthetic ones, of which the last rounds each pixel."""
    members = TrainingSet(source, np.array([1, 2, 5, 7, 8, 9]), RECIPES, arithmetic)
    gathered, resident = epoch(members, False), epoch(members, True)
    assert [len(labels) for _, labels, _ in gathered] == [4, 5]
    for one, other in zip(gathered, resident, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_each_epoch_has_an_order_and_draws_of_its_own(source: ImageSet):
    feed = Loader(TrainingSet(source, np.arange(13)), "cpu")
    generators = [torch.Generator().manual_seed(seed) for seed in (0, 1)]
    first, second = (next(feed.epoch(13, *generators)) for _ in range(2))
    assert not torch.equal(first[0], second[0])
    assert not torch.equal(first[2], second[2])
