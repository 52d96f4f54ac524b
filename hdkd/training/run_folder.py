"""The folder that a training leaves: everything that tables, figures and predictions need.

========================  ==========================================================================
``params.json``           what was trained on what: resolved parameters, classes, image preparation
``metrics.csv``           one line per epoch, appended as they come
``model.safetensors``     weights after the last epoch
``predictions.csv``       the test images with label, prediction and a probability per class
``summary.json``          final metrics, the best epoch, complexity and provenance; written last
========================  ==========================================================================
"""

import csv
import dataclasses
import json
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from hdkd.errors import RunError
from hdkd.plan import RUN_FILES

if TYPE_CHECKING:
    from torch import nn


def to_json(value: Any) -> Any:
    """Dataclasses and tuples as JSON has them."""
    if dataclasses.is_dataclass(value):
        return dataclasses.asdict(value)
    return value


class RunFolder:
    """Reads and writes one run folder; a missing or damaged file raises ``RunError``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, params: dict[str, Any]) -> None:
        """Write ``params.json`` and begin ``metrics.csv`` anew."""
        self.path.mkdir(parents=True, exist_ok=True)
        for name in RUN_FILES:
            (self.path / name).unlink(missing_ok=True)
        self._write_json("params.json", {k: to_json(v) for k, v in params.items()})

    def append_metrics(self, row: dict[str, float | None]) -> None:
        """Append one epoch; all rows have the same keys, and ``None`` leaves a cell empty."""
        path = self.path / "metrics.csv"
        new = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)

    def write_predictions(
        self, table: pd.DataFrame, probabilities: np.ndarray, classes: list[str]
    ) -> None:
        """``table`` has path, label and class of the test images, in the order of ``probabilities``."""
        predictions = table[["path", "label", "class"]].reset_index(drop=True)
        predictions["predicted"] = [classes[k] for k in probabilities.argmax(axis=1)]
        for k, name in enumerate(classes):
            predictions[f"p_{name}"] = probabilities[:, k]
        predictions.to_csv(self.path / "predictions.csv", index=False, float_format="%.6g")

    def write_model(self, model: "nn.Module") -> None:
        from safetensors.torch import save_file

        state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
        save_file(state, self.path / "model.safetensors")

    def write_summary(self, summary: dict[str, Any]) -> None:
        self._write_json("summary.json", summary)

    @property
    def params(self) -> dict[str, Any]:
        return self._read_json("params.json")

    @property
    def summary(self) -> dict[str, Any]:
        return self._read_json("summary.json")

    @property
    def metrics(self) -> pd.DataFrame:
        return self._read_csv("metrics.csv")

    @property
    def predictions(self) -> pd.DataFrame:
        return self._read_csv("predictions.csv")

    def load_model(self) -> "nn.Module":
        """The trained network, in evaluation mode."""
        # Slow to import, and who reads metrics needs none of it.
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from hdkd.models import build

        params = self.params
        model = build(params["run"]["role"], **params["model"])
        path = self.path / "model.safetensors"
        try:
            model.load_state_dict(load_file(path))
        except FileNotFoundError:
            raise RunError(f"{path} is missing: is {self.path} a finished run folder?") from None
        except (SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(f"{path} does not fit {self.path}/params.json: {reason}") from None
        return model.eval()

    def _write_json(self, name: str, content: dict[str, Any]) -> None:
        partial = self.path / f"{name}.partial"
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
        partial.replace(self.path / name)

    def _read_json(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.path / name).read_text("utf-8"))
        except FileNotFoundError:
            raise RunError(
                f"{self.path / name} is missing: is {self.path} a finished run folder?"
            ) from None
        except ValueError:
            raise RunError(f"{self.path / name} is damaged: train this run again") from None

    def _read_csv(self, name: str) -> pd.DataFrame:
        try:
            return pd.read_csv(self.path / name, dtype={"class": str, "predicted": str})
        except FileNotFoundError:
            raise RunError(
                f"{self.path / name} is missing: is {self.path} a finished run folder?"
            ) from None


def provenance(device: str) -> dict[str, Any]:
    """Where and with what a run is made: commit, versions, machine, time (UTC)."""
    import torch

    from hdkd import __version__

    return {
        "git_commit": git_commit(),
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {
            "hdkd": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def git_commit() -> str | None:
    """The commit of the code, with ``-dirty`` when it has been changed; ``None`` outside git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    folder = Path(__file__).parent
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()
