"""Approximate neighbours: how many are right, and what holds for all of them."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from hdkd.config import Smote
from hdkd.data import neighbours
from hdkd.data.smote import recipes
from hdkd.errors import DataError
from project import ROOT

RULE = Smote(enabled=True, neighbours=5, target="majority", seed=11)


def pictures(count: int, size: int = 16, coarse: int = 3) -> np.ndarray:
    """Bytes ``(count, size²)`` of soft blobs, no two alike."""
    drawn = np.random.default_rng(0).integers(0, 256, (count, coarse, coarse), dtype=np.uint8)
    resized = [Image.fromarray(each).resize((size, size), Image.BICUBIC) for each in drawn]
    return np.stack([np.asarray(each).ravel() for each in resized])


def exact(pixels: np.ndarray, count: int) -> np.ndarray:
    """The nearest others, by whole numbers and one row at a time."""
    wide = pixels.astype(np.int64)
    nearest = []
    for number, own in enumerate(wide):
        distances = ((wide - own) ** 2).sum(axis=1)
        distances[number] = np.iinfo(np.int64).max
        nearest.append(np.argsort(distances, kind="stable")[:count])
    return np.array(nearest)


def test_of_two_thousand_pictures_nineteen_in_twenty_neighbours_are_found():
    pixels = pictures(2000)
    found, expected = neighbours.approximate(pixels, np.arange(2000), 5, 0), exact(pixels, 5)
    right = [len(set(ours) & set(theirs)) for ours, theirs in zip(found, expected, strict=True)]
    assert sum(right) >= 0.95 * 5 * 2000


def test_the_recall_that_is_reported_is_that_share():
    pixels, rows = pictures(1200, coarse=8), np.arange(1200)
    found, expected = neighbours.approximate(pixels, rows, 5, 3), exact(pixels, 5)
    right = [len(set(ours) & set(theirs)) for ours, theirs in zip(found, expected, strict=True)]
    share = neighbours.recall(pixels, rows, 5, asked=1200, seed=3)
    assert share == pytest.approx(sum(right) / 6000, abs=1e-3)  # a few are equally far away
    assert share < 1, "a set on which nothing is missed shows nothing"


def test_neighbours_are_others_without_repeats_and_the_nearest_comes_first():
    pixels = pictures(1000)
    found = neighbours.approximate(pixels, np.arange(1000), 5, 0)
    assert all(number not in row for number, row in enumerate(found))
    assert all(len(set(row)) == 5 for row in found)
    wide = pixels.astype(np.int64)
    distances = ((wide[found] - wide[:, None]) ** 2).sum(axis=2)
    assert (np.diff(distances, axis=1) >= 0).all()


def test_neighbours_are_places_among_the_rows_that_are_asked_for():
    pixels, rows = pictures(400), np.arange(0, 400, 2)
    found = neighbours.approximate(pixels, rows, 5, 0)
    assert np.array_equal(found, neighbours.approximate(pixels[rows], np.arange(200), 5, 0))


def test_large_images_are_compared_by_all_their_pixels():
    count = neighbours.CANDIDATES + 1  # each image's candidates are all others
    pixels = np.random.default_rng(0).integers(0, 256, (count, 70_000), dtype=np.uint8)
    found = neighbours.approximate(pixels, np.arange(count), 5, 0)
    assert np.array_equal(found, exact(pixels, 5))


def test_copies_are_each_others_nearest():
    pixels = pictures(900)
    pixels[450:] = pixels[:450]
    found = neighbours.approximate(pixels, np.arange(900), 5, 0)
    assert found[:450, 0].tolist() == list(range(450, 900))


PRINTED = """
import hashlib
import numpy as np
from hdkd.data import neighbours
from test_neighbours import pictures
print(hashlib.sha256(neighbours.approximate(pictures(700), np.arange(700), 5, 0)).hexdigest())
"""


@pytest.mark.parametrize(
    "variables",
    [
        {"OPENBLAS_CORETYPE": "Prescott", "FAISS_OPT_LEVEL": "generic"},
        {"OPENBLAS_CORETYPE": "Haswell", "FAISS_OPT_LEVEL": "avx2"},
    ],
    ids=["SSE", "AVX2"],
)
def test_other_processors_find_the_same(variables):
    found = neighbours.approximate(pictures(700), np.arange(700), 5, 0)
    paths = os.pathsep.join(str(ROOT / each) for each in (".", "tests", "tests/unit"))
    printed = subprocess.run(
        [sys.executable, "-c", PRINTED],
        env=os.environ | variables | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.strip() == hashlib.sha256(found).hexdigest()


def test_beyond_the_limit_recipes_have_approximate_neighbours_and_say_so(monkeypatch, capsys):
    images = pictures(900).reshape(-1, 1, 16, 16)
    labels = np.repeat([0, 1], [500, 400])
    whole = recipes(images, np.arange(900), labels, RULE, "mine")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(neighbours, "EXACT_UP_TO", 399)
    table = recipes(images, np.arange(900), labels, RULE, "mine")
    told = capsys.readouterr().err
    assert "dataset mine: SMOTE's nearest neighbours are approximate" in told
    assert "more than 399 training images (400)" in told
    assert table[["base", "gap", "label"]].equals(whole[["base", "gap", "label"]])
    assert (table["neighbour"] == whole["neighbour"]).mean() > 0.9
    assert set(table["neighbour"]) <= set(range(500, 900))


def test_without_faiss_it_is_said_how_to_go_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(DataError, match=r"400 images need .* pip install 'hdkd\[many\]'"):
        neighbours.approximate(pictures(400), np.arange(400), 5, 0)
