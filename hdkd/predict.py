"""Predictions for new images, prepared as the run's training images were."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import nn

from hdkd.config import Images
from hdkd.data.prepare import decode
from hdkd.errors import DataError
from hdkd.training.loop import predict
from hdkd.training.run_folder import RunFolder


@dataclass(frozen=True)
class Classifier:
    """A trained network with its classes and the preparation of its images."""

    model: nn.Module
    classes: list[str]
    images: Images

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """From a run folder; raises ``RunError`` when it is not a finished one."""
        run = RunFolder(folder)
        params = run.params
        return cls(run.load_model(), params["classes"], Images(**params["images"]))

    def probabilities(self, files: list[Path | BinaryIO]) -> np.ndarray:
        """``(n, classes)`` for image files. Raises ``DataError`` that names all that are no images."""
        pixels, unreadable = [], []
        for position, file in enumerate(files, start=1):
            try:
                pixels.append(decode(file, self.images).pixels)
            except DataError as error:
                where = str(file) if isinstance(file, Path) else f"image {position}"
                unreadable.append(f"{where}: {error}")
        if unreadable:
            raise DataError(f"not usable: {', '.join(unreadable)}")
        labels = np.zeros(len(pixels), dtype=np.int64)
        return predict(self.model, torch.from_numpy(np.stack(pixels)), labels)[0].astype(np.float64)
