"""Whether an image is like those that a network was trained on.

The squared Mahalanobis distance between what the last convolutional stage gives for an image (its
mean over positions) and the mean of the training images, as Lee et al., "A Simple Unified Framework
for Detecting Out-of-Distribution Samples and Adversarial Attacks" (2018), with one mean for all
classes. How sure the network is of its class says nothing of it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from hdkd.deploy.images import RunImages
from hdkd.deploy.network import Network
from hdkd.evaluation.metrics import interval
from hdkd.runs.records import Unfamiliar

FILE = "features.safetensors"  # of an exported model
FAMILIAR = 0.99  # of the validation images lie within the threshold


@dataclass(frozen=True)
class Familiarity:
    """The training images' ``mean`` ``(dim,)`` and inverse covariance ``(dim, dim)``.

    An image whose distance exceeds ``threshold`` is unlike them.
    """

    mean: np.ndarray
    precision: np.ndarray
    threshold: float

    @classmethod
    def fit(cls, training: np.ndarray, validation: np.ndarray) -> "Familiarity":
        """From vectors ``(n, dim)`` of training images and of those that set the threshold."""
        from sklearn.covariance import LedoitWolf  # slow to import, and needed to export only

        fitted = LedoitWolf().fit(training)
        mean, precision = fitted.location_.astype("f4"), fitted.precision_.astype("f4")
        distances = cls(mean, precision, np.inf).distances(validation)
        return cls(mean, precision, float(np.quantile(distances, FAMILIAR)))

    @classmethod
    def load(cls, folder: Path, threshold: float) -> "Familiarity":
        """That of an exported model."""
        stored = load_file(folder / FILE)
        return cls(stored["mean"], stored["precision"], threshold)

    def save(self, folder: Path) -> None:
        """Write what is too long for a summary beside an exported model."""
        (folder / FILE).write_bytes(save({"mean": self.mean, "precision": self.precision}))

    def distances(self, vectors: np.ndarray) -> np.ndarray:
        """``(n,)``: how far vectors ``(n, dim)`` are, 0 or more."""
        apart = vectors.astype(float) - self.mean
        return np.einsum("ni,ij,nj->n", apart, self.precision.astype(float), apart)


def fit_familiarity(
    network: Network, images: RunImages
) -> tuple[Familiarity, Unfamiliar] | tuple[None, None]:
    """What a run's training images look like, and how often its test images are taken for others.

    The threshold is set on the validation images; where there are none, on the training images,
    which a network knows better than any others. Nothing for a network that shows no stages.
    """
    source = images.source
    training = network.vectors(source.chosen(images.training))
    test = network.vectors(source.chosen(images.test))
    if training is None or test is None:
        return None, None
    validation = network.vectors(source.chosen(images.validation))
    found = Familiarity.fit(training, training if validation is None else validation)
    alarms = int((found.distances(test) > found.threshold).sum())
    return found, Unfamiliar(
        part="training" if validation is None else "validation",
        images=len(training if validation is None else validation),
        threshold=found.threshold,
        alarms=alarms,
        interval=interval(alarms, len(test)),
    )
