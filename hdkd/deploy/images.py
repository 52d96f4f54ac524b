"""The prepared images of a run: those it was trained on, chosen with, and tested on."""

from dataclasses import dataclass

import numpy as np

from hdkd.data.batches.imageset import ImageSet, TrainingSet
from hdkd.data.batches.subsets import draw_subset
from hdkd.errors import DataError
from hdkd.runs.records import RunParams
from hdkd.study import plan


@dataclass(frozen=True)
class RunImages:
    """Positions in ``source`` of a run's training images (without SMOTE's), validation and test."""

    source: ImageSet
    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    @classmethod
    def of(cls, params: RunParams) -> "RunImages":
        """Those of a run with ``params``.

        Raises ``DataError`` when the prepared images or their parts are not those of the run: then
        what it was trained on could pass for something that it has not seen.
        """
        key = params.run
        source = ImageSet.load(plan.prepared_folder(key.profile, key.dataset))
        if source.facts["content_hash"] != params.data.content_hash:
            raise DataError(
                f"the images prepared for {key.dataset} are not those of {key.folder}: prepare the "
                "same copy"
            )
        every = source.part("train")
        training = every[draw_subset(source.labels[every], key.subset, key.seed)]
        images = cls(source, training, source.part("validation"), source.part("test"))
        if not images._belong_to(params):
            raise DataError(
                f"the images prepared for {key.dataset} are split otherwise than for {key.folder}: "
                "run `hdkd split` with the parameters of that run"
            )
        return images

    def _belong_to(self, params: RunParams) -> bool:
        if len(self.training) != params.training_images:
            return False
        # SMOTE's recipes are in the digest, too; where there are some, the numbers have to do.
        digest = TrainingSet(self.source, self.training).digest()
        if not params.synthetic_images and digest != params.data.training_digest:
            return False
        watched = params.watched
        return watched.images == len(self.validation if watched.part == "validation" else self.test)
