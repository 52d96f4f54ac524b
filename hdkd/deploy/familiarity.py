"""Whether an image is like those that a network was trained on.

The squared Mahalanobis distance between what the last convolutional stage gives for an image (its
mean over positions) and the mean of the training images, as Lee et al., "A Simple Unified Framework
for Detecting Out-of-Distribution Samples and Adversarial Attacks" (2018), with one mean for all
classes. How sure the network is of its class says nothing of it.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from hdkd.deploy.images import RunImages
from hdkd.deploy.network import Network
from hdkd.evaluation.metrics import interval
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import Alarms, Unfamiliar

FILE = "features.safetensors"  # of an exported model
FAMILIAR = 0.99  # of images like those that set the threshold lie within it


@dataclass(frozen=True)
class Familiarity:
    """The training images' ``mean`` ``(dim,)`` and inverse covariance ``(dim, dim)``.

    An image whose distance exceeds ``threshold`` is unlike them.
    """

    mean: np.ndarray
    precision: np.ndarray
    threshold: float

    @classmethod
    def fit(cls, training: np.ndarray, others: np.ndarray) -> "Familiarity":
        """From vectors ``(n, dim)`` of training images, and of those that set the threshold.

        A further image like the latter exceeds the threshold with a probability of at most 1 %; of
        fewer than 99 images the largest distance is the threshold, which promises less.
        """
        from sklearn.covariance import LedoitWolf  # slow to import, and needed to export only

        fitted = LedoitWolf().fit(training)
        mean, precision = fitted.location_.astype("f4"), fitted.precision_.astype("f4")
        distances = np.sort(cls(mean, precision, np.inf).distances(others))
        rank = min(math.ceil(FAMILIAR * (len(others) + 1)), len(others))
        return cls(mean, precision, float(distances[rank - 1]))

    @classmethod
    def load(cls, folder: Path, threshold: float) -> "Familiarity":
        """That of an exported model; ``RunError`` where its file is missing or damaged."""
        stored = load(RunFolder(folder).read(FILE))
        return cls(stored["mean"], stored["precision"], threshold)

    def save(self, folder: Path) -> None:
        """Write what is too long for a summary beside an exported model."""
        (folder / FILE).write_bytes(save({"mean": self.mean, "precision": self.precision}))

    def distances(self, vectors: np.ndarray) -> np.ndarray:
        """``(n,)``: how far vectors ``(n, dim)`` are, 0 or more."""
        apart = vectors.astype(float) - self.mean
        return np.einsum("ni,ij,nj->n", apart, self.precision.astype(float), apart)

    def is_unlike(self, vectors: np.ndarray) -> np.ndarray:
        """``(n,)``: whether vectors ``(n, dim)`` are of images unlike the training images."""
        return self.distances(vectors) > self.threshold


def fit_familiarity(
    network: Network, images: RunImages
) -> tuple[Familiarity, Unfamiliar] | tuple[None, None]:
    """What a run's training images look like, and how often its test images are taken for others.

    The threshold is set on the validation images; where there are none, on the training images,
    which a network knows better than any others. Nothing for a network that shows no stages.
    """
    source = images.source
    training = network.answers(source.chosen(images.training)).vectors
    if training is None:
        return None, None
    part, others = "training", training
    if len(images.validation):
        part = "validation"
        others = _known(network.answers(source.chosen(images.validation)).vectors)
    found = Familiarity.fit(training, others)
    alarms = found.is_unlike(_known(network.answers(source.chosen(images.test)).vectors))
    new = ~source.table["leaked"].to_numpy()[images.test].astype(bool)
    return found, Unfamiliar.model_validate(
        {
            "part": part,
            "images": len(others),
            "beyond": int(found.is_unlike(others).sum()),
            "threshold": found.threshold,
            "test": _counted(alarms),
            "without_leaks": _counted(alarms[new]) if new.any() else None,
        }
    )


def _known(vectors: np.ndarray | None) -> np.ndarray:
    assert vectors is not None, "it has shown stages before"
    return vectors


def _counted(alarms: np.ndarray) -> Alarms:
    count = int(alarms.sum())
    return Alarms(images=len(alarms), alarms=count, interval=interval(count, len(alarms)))
