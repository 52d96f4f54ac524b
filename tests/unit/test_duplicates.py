"""Copies and near-copies: what counts as one, and clusters of them."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hdkd.data import duplicates, reduced


def picture(seed: int, size: int = 48, channels: int = 1) -> np.ndarray:
    """An image ``(channels, size, size)`` of soft blobs, like no other seed's."""
    coarse = np.random.default_rng(seed).integers(20, 200, (channels, 6, 6), dtype=np.uint8)
    resized = [Image.fromarray(plane).resize((size, size), Image.BICUBIC) for plane in coarse]
    return np.stack([np.asarray(plane) for plane in resized])


def found(*images: np.ndarray) -> list[tuple[int, int]]:
    table = duplicates.pairs(np.stack(images))
    return list(zip(table["first"], table["second"], strict=True))


def test_an_exact_copy_has_distance_0_and_correlation_1():
    table = duplicates.pairs(np.stack([picture(0), picture(1), picture(0)]))
    assert table.columns.tolist() == ["first", "second", "distance", "correlation"]
    assert table.values.tolist() == [[0, 2, 0, pytest.approx(1.0, abs=1e-6)]]


def test_a_picture_that_stands_three_times_gives_three_pairs_in_order():
    assert found(picture(0), picture(0), picture(0)) == [(0, 1), (0, 2), (1, 2)]


def test_a_copy_compressed_again_is_found():
    file = io.BytesIO()
    Image.fromarray(picture(0)[0]).save(file, "JPEG", quality=60)
    assert found(picture(0), np.asarray(Image.open(file))[None]) == [(0, 1)]


def test_a_brightened_copy_is_found():
    assert found(picture(0), (picture(0) * 0.7 + 70).astype(np.uint8)) == [(0, 1)]


def test_a_copy_shifted_by_a_pixel_is_found():
    large = picture(0, 49)
    assert found(large[:, :48, :48], large[:, :48, 1:]) == [(0, 1)]


def test_the_negative_of_a_picture_is_no_copy():
    assert found(picture(0), 255 - picture(0)) == []


def test_different_pictures_are_not_joined():
    assert found(*(picture(seed) for seed in range(40))) == []


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("size", [32, 48, 96, 224])
def test_a_mirrored_or_turned_copy_is_as_good_as_an_unturned_one(size, mirrored, quarters):
    original = picture(0, size)
    turned = np.rot90(original[:, :, ::-1] if mirrored else original, quarters, axes=(1, 2))
    table = duplicates.pairs(np.stack([original, turned]))
    assert table["correlation"].tolist() == [pytest.approx(1.0, abs=1e-6)]


def test_a_picture_that_equals_its_own_mirror_image_is_no_pair_with_itself():
    half = picture(0)[:, :, :24]
    assert found(np.concatenate([half, half[:, :, ::-1]], axis=2)) == []


def test_the_nearest_orientation_counts(monkeypatch):
    monkeypatch.setattr(duplicates, "MAX_HASH_DISTANCE", 64)  # both orientations are near enough
    half = picture(0)[:, :, :24]
    nearly_symmetric = np.concatenate([half, half[:, :, ::-1]], axis=2)
    nearly_symmetric[:, :8, :8] += 10
    table = duplicates.pairs(np.stack([nearly_symmetric, nearly_symmetric[:, :, ::-1]]))
    assert table["correlation"].tolist() == [pytest.approx(1.0, abs=1e-6)]


def test_pairs_are_sorted_whichever_is_the_nearer_copy():
    clipped = np.minimum(picture(0), 170)[:, :, ::-1]
    assert found(picture(0), picture(1), picture(1), clipped) == [(0, 3), (1, 2)]


def test_a_grey_copy_of_a_colour_picture_has_the_same_grey_pixels():
    colour = picture(0, channels=3)
    grey = np.asarray(Image.fromarray(colour.transpose(1, 2, 0)).convert("L"))
    table = duplicates.pairs(np.stack([colour, np.stack([grey] * 3)]))
    assert table["correlation"].tolist() == [pytest.approx(1.0, abs=1e-4)]


def test_pictures_that_share_only_their_dark_frame_are_not_joined():
    across, down = np.meshgrid(np.linspace(-1, 1, 48), np.linspace(-1, 1, 48))
    lit = (across**2 + down**2 < 0.8) * 0.8
    framed = [(lit * (200 + (picture(seed) - 110.0) / 4)).astype(np.uint8) for seed in (0, 1)]
    assert np.corrcoef(framed[0].ravel(), framed[1].ravel())[0, 1] > duplicates.MIN_CORRELATION
    assert found(*framed) == []


@pytest.mark.filterwarnings("error")
def test_images_of_one_grey_are_copies_only_when_they_are_equal():
    grey = [np.full((1, 48, 48), value, dtype=np.uint8) for value in (0, 0, 7, 255, 7)]
    assert found(*grey, picture(0)) == [(0, 1), (2, 4)]


def test_images_of_one_colour_are_copies_only_when_every_channel_is_equal():
    red, purple = (np.zeros((3, 48, 48), dtype=np.uint8) for _ in range(2))
    red[0], purple[0], purple[2] = 100, 100, 5
    assert found(red, purple, red) == [(0, 2)]


def test_copies_further_apart_than_a_block_are_found():
    images = [picture(seed, 32) for seed in range(duplicates.BLOCK + 10)]
    images[-1], images[-2] = images[3], images[-5]
    last = len(images) - 1
    assert found(*images) == [(3, last), (last - 4, last - 1)]


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_have_no_pairs(count):
    assert len(duplicates.pairs(np.zeros((count, 1, 48, 48), dtype=np.uint8))) == 0


def test_the_hash_is_the_published_one():
    small = np.random.default_rng(0).uniform(0, 255, (1, 32, 32))
    place = np.arange(32)
    waves = [np.cos(np.pi * frequency * (2 * place + 1) / 64) for frequency in range(8)]
    lowest = np.array([[(np.outer(u, v) * small[0]).sum() for v in waves] for u in waves])
    assert (duplicates.hashes(small)[0] == (lowest > np.median(lowest)).ravel()).all()


def joined(count: int, *pairs: tuple[int, int]) -> list[int]:
    return duplicates.clusters(count, pd.DataFrame(pairs, columns=["first", "second"])).tolist()


def test_a_chain_is_one_cluster():
    assert joined(4, (0, 1), (1, 2), (2, 3)) == [0, 0, 0, 0]


def test_an_image_without_a_copy_is_a_cluster_of_its_own():
    assert joined(3, (0, 2)) == [0, 1, 0]


def test_clusters_are_numbered_by_their_first_image():
    assert joined(6, (3, 5), (1, 4)) == [0, 1, 2, 3, 1, 3]


def test_without_pairs_every_image_is_a_cluster():
    assert joined(3) == [0, 1, 2]


def family(seed: int, count: int) -> list[np.ndarray]:
    """Mirrored and turned pictures between two others, from all of the one to all of the other."""
    generator = np.random.default_rng(seed)
    one, other = (picture(100 * seed + number, 32).astype(float) for number in range(2))
    mixed = [one + share * (other - one) for share in generator.uniform(0, 1, count)]
    turned = [np.rot90(each, generator.integers(4), axes=(1, 2)) for each in mixed]
    return [each[:, :, :: generator.choice([-1, 1])].round().astype(np.uint8) for each in turned]


def every_pair(images: np.ndarray) -> dict[tuple[int, int], tuple[int, float]]:
    """What :func:`duplicates.pairs` promises, each pair and orientation by itself."""
    small = reduced.reduced(images)
    hashes = [reduced.hashes(turned) for turned in reduced.orientations(small)]
    turned = [each.reshape(len(small), -1) for each in reduced.orientations(small)]
    expected = {}
    for first in range(len(images)):
        for second in range(first + 1, len(images)):
            seen = [
                (np.corrcoef(turned[0][first], turned[turn][second])[0, 1],
                 int((hashes[0][first] != hashes[turn][second]).sum()))
                for turn in range(8)
            ]  # fmt: skip
            alike = [each for each in seen if each[0] >= 0.985 and each[1] <= 10]
            if alike:
                expected[first, second] = max(alike)[::-1]
    return expected


def test_exactly_those_pairs_are_found_that_a_look_at_every_pair_finds(monkeypatch):
    monkeypatch.setattr(duplicates, "BLOCK", 16)
    monkeypatch.setattr(duplicates, "AT_ONCE", 128)
    images = np.stack([image for seed in range(4) for image in family(seed, 20)])
    expected = every_pair(images)
    table = duplicates.pairs(images)
    pairs = list(zip(table["first"], table["second"], strict=True))
    assert len(pairs) > 100
    assert pairs == sorted(expected)
    assert table["distance"].tolist() == [expected[pair][0] for pair in pairs]
    assert table["correlation"].tolist() == pytest.approx(
        [expected[pair][1] for pair in pairs], abs=1e-6
    )


def test_the_waves_of_turned_pictures_follow_from_those_of_the_picture():
    small = np.random.default_rng(0).uniform(0, 255, (3, reduced.SIDE, reduced.SIDE))
    turned = [reduced.waves(reduced.unit(each)) for each in reduced.orientations(small)]
    lowest = reduced.waves(reduced.unit(small))
    assert np.allclose(turned, [reduced.turned_waves(lowest, turn) for turn in range(8)], atol=1e-6)


def test_whichever_ten_bits_differ_a_mask_leaves_the_rest_equal():
    masks = [int(mask) for mask in duplicates._masks()]
    generator = np.random.default_rng(0)
    for _ in range(3000):
        differing = sum(1 << int(bit) for bit in generator.choice(64, 10, replace=False))
        assert any(mask & differing == 0 for mask in masks)


def test_most_pairs_are_not_looked_at(monkeypatch):
    looked, distances = [], duplicates._distances
    monkeypatch.setattr(
        duplicates, "_distances", lambda a, b: looked.append(len(a)) or distances(a, b)
    )
    images = np.random.default_rng(0).integers(0, 256, (4000, 1, 32, 32), dtype=np.uint8)
    assert len(duplicates.pairs(images)) == 0
    assert sum(looked) < 0.04 * 8 * 4000**2
