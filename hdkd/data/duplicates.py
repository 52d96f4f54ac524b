"""Copies and near-copies among prepared images, which may be brightened, mirrored or turned.

The hash is the usual one of a cosine transform; the package imagehash has it for one file at a
time, this for all turns of many arrays at once. Not every pair is looked at, yet none is missed:
hashes that differ in a few bits are equal in what one of some masks leaves of them.
"""

import hashlib
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hdkd.data.reduced import (
    ORIENTATIONS,
    WAVES,
    hashes,
    orientations,
    reduced,
    turned_waves,
    unit,
    waves,
)

# Both must hold. docs/leaks.md shows what lies on either side of them.
MAX_HASH_DISTANCE = 10  # bits of 64 in which the hashes may differ
MIN_CORRELATION = 0.985

BLOCK = 128  # images reduced at a time: bounds the memory
AT_ONCE = 2**18  # pairs that are compared at a time
# Halves of a hash, and in how many bits one of them differs at most: in 6 and 5 it would be 11.
HALVES = ((33, 5), (31, 4))

# An odd number that spreads what a mask leaves of a hash over the upper bits (Knuth's, 2⁶⁴ / φ).
MIXING = np.uint64(0x9E3779B97F4A7C15)


def pairs(images: np.ndarray) -> pd.DataFrame:
    """The pairs of copies and near-copies among bytes ``(n, 1 or 3, size, size)``.

    One row per pair, sorted: positions ``first`` < ``second``, ``distance`` of their perceptual
    hashes (0 to ``MAX_HASH_DISTANCE`` bits), Pearson ``correlation`` of their grey pixels
    (``MIN_CORRELATION`` to 1). Both are those of the mirroring or turn by quarters of the second
    image that correlates best, since training mirrors and turns images, too. Images of one single
    grey are copies only when their pixels are equal. A picture that occurs m times gives
    m (m - 1) / 2 rows. Takes less than 1 kB of memory for each image besides.
    """
    hashed, lowest = _described(images)
    flat = ~lowest.any(axis=(1, 2))
    found = [_flat_pairs(images, np.flatnonzero(flat))]
    places = np.flatnonzero(~flat)
    for turn, near in enumerate(_near(hashed[:, places], lowest[places])):
        first, second = (places[ends] for ends in np.divmod(near, max(1, len(places))))
        distance = _distances(hashed[0, first], hashed[turn, second])
        found.append(_correlated(images, turn, first, second, distance))
    best = pd.concat(found).sort_values("correlation", ascending=False, kind="stable")
    best = best.drop_duplicates(["first", "second"])
    return best.sort_values(["first", "second"], ignore_index=True)


def clusters(count: int, pairs: pd.DataFrame) -> np.ndarray:
    """Cluster number ``(count,)`` of each image, which images linked by a chain of ``pairs`` share.

    Numbers are 0, 1, … in the order of the clusters' first images.
    """
    ends = (pairs["first"].to_numpy(), pairs["second"].to_numpy())
    graph = coo_array((np.ones(len(pairs), dtype=bool), ends), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    return pd.factorize(labels)[0]


def _described(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hashes of all orientations ``(8, n)``, 64 bits a number, and waves ``(n, 8, 8)``."""
    hashed = np.empty((ORIENTATIONS, len(images)), dtype=np.uint64)
    lowest = np.empty((len(images), WAVES, WAVES), dtype=np.float32)
    for start in range(0, len(images), BLOCK):
        rows = slice(start, start + BLOCK)
        small = reduced(images[rows])
        lowest[rows] = waves(unit(small))
        for turn, turned in enumerate(orientations(small)):
            hashed[turn, rows] = np.packbits(hashes(turned), axis=1).view(np.uint64)[:, 0]
    return hashed, lowest


def _near(hashed: np.ndarray, lowest: np.ndarray) -> list[np.ndarray]:
    """For each orientation the pairs that may be alike, as first × n + second.

    Their hashes ``(8, n)`` are, and their waves ``(n, 8, 8)`` as close as those of pictures that
    correlate so well.
    """
    count = hashed.shape[1]
    bits = max(1, count.bit_length())
    found = [np.empty(0, dtype=np.int64) for _ in hashed]
    for mask in _masks():
        # What the mask leaves, as a number with about as many values as there are images.
        left = ((hashed & mask) * MIXING >> np.uint64(64 - bits)).astype(np.int64)
        # Sorted by it, so that what is compared lies side by side.
        orders = [np.argsort(numbers) for numbers in left]
        plain = hashed[0, orders[0]]
        ends = np.cumsum(np.bincount(left[0], minlength=2**bits))
        for turn, order in enumerate(orders):
            turned = hashed[turn, order]
            for one, other in _equal(ends, left[turn, order]):
                alike = np.flatnonzero(_distances(plain[one], turned[other]) <= MAX_HASH_DISTANCE)
                first, second = orders[0][one[alike]], order[other[alike]]
                ordered = first < second  # an image is no copy of itself, a pair is met once
                first, second = first[ordered], second[ordered]
                close = _are_close(lowest, turn, first, second)
                if close.any():
                    pairs = first[close] * count + second[close]
                    found[turn] = np.union1d(found[turn], pairs)
    return found


def _masks() -> Iterator[np.uint64]:
    """Masks of 64 bits, of which one at least leaves equal what differs in ten bits or less.

    Of a half that differs in d bits or less, each bit has a random vector of d + 1 bits, and a mask
    for each vector but 0 leaves the bits whose vectors have an odd product with it. The vectors of
    d bits leave one that is orthogonal to all of them, and its mask has none of these bits (Pagh,
    *Locality-Sensitive Hashing without False Negatives*, 2016).
    """
    generator = np.random.default_rng(0)
    places = generator.permutation(64)
    for size, differing in HALVES:
        half, places = places[:size], places[size:]
        vectors = generator.integers(1, 2 ** (differing + 1), size)
        for chosen in range(1, 2 ** (differing + 1)):
            odd = [int(vector & chosen).bit_count() % 2 == 1 for vector in vectors]
            yield np.uint64(sum(1 << int(place) for place in half[odd]))


def _equal(ends: np.ndarray, left: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places in two sorted lists of numbers that are equal, some at a time.

    ``ends`` says where each number ends in the first list; the second is ``left``.
    """
    begins = np.concatenate([[0], ends[:-1]])
    counts = (ends - begins)[left]
    step = max(1, AT_ONCE * len(left) // max(1, int(counts.sum())))
    for start in range(0, len(left), step):
        own = counts[start : start + step]
        other = np.repeat(np.arange(start, start + len(own)), own)
        before = np.cumsum(own) - own
        one = np.arange(len(other)) + np.repeat(begins[left[start : start + step]] - before, own)
        yield one, other


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """In how many bits hashes ``(n,)`` differ."""
    return np.bitwise_count(first ^ second)


def _are_close(lowest: np.ndarray, turn: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Whether the waves of pairs are as close as those of pictures that correlate so well."""
    # Pictures of length 1 that correlate by c are √(2 - 2c) apart. A little more, for rounding.
    limit = 2 - 2 * MIN_CORRELATION + 1e-4
    close = np.empty(len(first), dtype=bool)
    for start in range(0, len(first), AT_ONCE // WAVES**2):
        rows = slice(start, start + AT_ONCE // WAVES**2)
        apart = lowest[first[rows]] - turned_waves(lowest[second[rows]], turn)
        close[rows] = np.einsum("kuv,kuv->k", apart, apart) <= limit
    return close


def _correlated(
    images: np.ndarray, turn: int, first: np.ndarray, second: np.ndarray, distance: np.ndarray
) -> pd.DataFrame:
    """Of pairs, with an orientation of the second, those that correlate well enough."""
    correlation = np.empty(len(first))
    for start in range(0, len(first), BLOCK):
        rows = slice(start, start + BLOCK)
        used, places = np.unique([first[rows], second[rows]], return_inverse=True)
        small = reduced(images[used])
        others = [*orientations(small)][turn]
        here, there = places.reshape(2, -1)
        products = np.einsum("ij,ij->i", unit(small)[here], unit(others)[there], dtype=np.float64)
        correlation[rows] = np.minimum(products, 1.0)
    table = pd.DataFrame(
        {"first": first, "second": second, "distance": distance, "correlation": correlation}
    )
    return table[correlation >= MIN_CORRELATION]


def _flat_pairs(images: np.ndarray, flat: np.ndarray) -> pd.DataFrame:
    """Equal images among those at ``flat``, which have no correlation."""
    digests = [hashlib.sha256(images[position].tobytes()).digest() for position in flat]
    content = pd.Series(digests, index=flat, dtype=object)
    equal = [pair for same in content.groupby(content) for pair in combinations(same[1].index, 2)]
    table = pd.DataFrame(equal, columns=["first", "second"], dtype=int)
    return table.assign(distance=0, correlation=1.0)
