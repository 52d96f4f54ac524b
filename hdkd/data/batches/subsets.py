"""Balanced, nested subsets of the training images."""

import numpy as np

from hdkd.errors import ParameterError


def images_per_class(class_counts: list[int], subset: int | str, key: str) -> list[int]:
    """How many images of each class a balanced subset of ``subset`` images has, or ``all``.

    A class that has fewer gives all it has, as in the paper's third HAM-10000 subset (section
    4.4.2); where the rest cannot be shared equally, the first classes get one image more.
    Raises ``ParameterError`` for more images than there are.
    """
    total = sum(class_counts)
    if subset == "all":
        return class_counts
    if int(subset) > total:
        raise ParameterError(f"{key}: {subset} images exceed the {total} of the training set")
    each = max(k for k in range(total + 1) if sum(min(c, k) for c in class_counts) <= int(subset))
    sizes = [min(count, each) for count in class_counts]
    larger = [label for label, count in enumerate(class_counts) if count > each]
    for label in larger[: int(subset) - sum(sizes)]:
        sizes[label] += 1
    return sizes


def draw_subset(
    labels: np.ndarray, subset: int | str, seed: int, key: str = "subsets"
) -> np.ndarray:
    """Positions in ``labels`` of a balanced subset, ascending; ``key`` is where it was asked for.

    Subsets of one seed are nested: each class has one random order per seed, of which a subset
    takes the beginning.
    """
    sizes = images_per_class(np.bincount(labels).tolist(), subset, key)
    if subset == "all":
        return np.arange(len(labels))
    chosen = []
    for label, size in enumerate(sizes):
        members = np.flatnonzero(labels == label)
        order = np.random.default_rng([seed, label]).permutation(members)
        chosen.append(order[:size])
    return np.sort(np.concatenate(chosen))
