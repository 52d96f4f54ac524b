"""The folder that a run leaves: everything that tables, figures and predictions need.

========================  ==========================================================================
``params.json``           what was trained on what: resolved parameters, classes, image preparation
``metrics.csv``           one line per epoch, appended as they come
``model.safetensors``     weights of the epoch that is kept
``predictions.csv``       the test images with label, whether leaked, prediction, probabilities; of
                          the last epoch where the weights were chosen on the test images
``summary.json``          final metrics, the best epoch, data and provenance
``SHA256SUMS``            checksums of all of these; written last, and checked whenever one is read
========================  ==========================================================================
"""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hdkd.errors import RunError
from hdkd.files import (
    CHECKSUMS,
    read_checksums,
    replacing,
    sha256,
    write_atomic,
    write_checksums,
    write_json,
)
from hdkd.runs import records
from hdkd.runs.records import ModelSummary, RunParams, RunSummary
from hdkd.study.plan import RUN_FILES

if TYPE_CHECKING:
    from torch import nn

    from hdkd.models import ImageModel


RESTORED = "restored.txt"


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` to ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


class RunFolder:
    """Reads and writes one run folder; a missing or damaged file raises ``RunError``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, params: RunParams) -> None:
        """Write ``params.json`` and begin ``metrics.csv`` anew."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name in reversed(RUN_FILES):  # first the checksums, which say that all is there
            (self.path / name).unlink(missing_ok=True)
        write_json(self.path / "params.json", params.content())

    def append_metrics(self, row: dict[str, float | None]) -> None:
        """Append one epoch; all rows have the same keys, and ``None`` leaves a cell empty."""
        path = self.path / "metrics.csv"
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)

    def write_predictions(
        self, table: pd.DataFrame, probabilities: np.ndarray, classes: list[str]
    ) -> None:
        """Write predictions of the images of ``table``: their path, label, class and leaked."""
        predictions = table[["path", "label", "class", "leaked"]].reset_index(drop=True)
        predictions["predicted"] = [classes[k] for k in probabilities.argmax(axis=1)]
        for k, name in enumerate(classes):
            predictions[f"p_{name}"] = probabilities[:, k]
        with replacing(self.path / "predictions.csv") as partial:
            predictions.to_csv(partial, index=False, float_format="%.6g")

    def write_model(self, model: "nn.Module") -> None:
        """Write the weights and running statistics, in the precision that they have."""
        from safetensors.torch import save

        state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
        write_atomic(self.path / "model.safetensors", save(state))

    def write_summary(self, summary: RunSummary) -> None:
        """Write ``summary.json`` and the checksums: the run is finished."""
        write_json(self.path / "summary.json", summary.content())
        write_checksums(self.path, [name for name in RUN_FILES if name != CHECKSUMS])

    def mark_restored(self) -> None:
        """Note that this finished run is here to be built on: its record is elsewhere already."""
        write_atomic(self.path / RESTORED, sha256(self.path / "summary.json").encode())

    @property
    def is_restored(self) -> bool:
        """Whether it is what was restored here, and has not been trained again since."""
        note, summary = self.path / RESTORED, self.path / "summary.json"
        return note.exists() and summary.exists() and note.read_text("utf-8") == sha256(summary)

    @property
    def params(self) -> RunParams:
        """The parameters; ``RunError`` for those of another version."""
        return records.read_params(self._read_json("params.json"), self.path / "params.json")

    @property
    def summary(self) -> RunSummary:
        """The summary; ``RunError`` for one of another version."""
        return records.read_summary(self._read_json("summary.json"), self.path / "summary.json")

    @property
    def exported(self) -> ModelSummary:
        """The summary of an exported model, which is in the place of its run's."""
        content = self._read_json("summary.json")
        return records.read_model_summary(content, self.path / "summary.json")

    @property
    def metrics(self) -> pd.DataFrame:
        """One row per epoch; NaN where the epoch was not evaluated."""
        return pd.read_csv(io.BytesIO(self.read("metrics.csv")))

    @property
    def predictions(self) -> pd.DataFrame:
        """One row per test image, with its probabilities in columns ``p_<class>``."""
        content = io.BytesIO(self.read("predictions.csv"))
        names = {"path": str, "class": str, "predicted": str}
        return pd.read_csv(content, dtype=names, keep_default_na=False)  # a class may be called NA

    def load_model(self) -> "ImageModel":
        """The trained network, in evaluation mode."""
        # Slow to import, and not needed to read metrics.
        from safetensors import SafetensorError
        from safetensors.torch import load

        from hdkd.models import build

        params = self.params
        model = build(params.run.role, **params.model)
        path = self.path / "model.safetensors"
        try:
            model.load_state_dict(load(self.read(path.name)))
        except (SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(f"{path} does not fit {self.path}/params.json: {reason}") from None
        return model.eval()

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads(self.read(name))
        except ValueError:
            raise RunError(f"{self.path / name} is damaged: train this run again") from None

    def read(self, name: str) -> bytes:
        """A file as it was written, where checksums are there to tell."""
        path = self.path / name
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise RunError(f"{path} is missing: is {self.path} a finished run folder?") from None
        sums = read_checksums(self.path)
        if sums and sums.get(name) != hashlib.sha256(content).hexdigest():
            raise RunError(
                f"{path} is damaged (its checksum is not the one in {CHECKSUMS}): "
                f"remove {self.path} and train this run again"
            )
        return content
