"""A folder with a model, logged to a run so that ``mlflow models serve`` answers with it."""

import shutil
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

import hdkd
from hdkd.runs.folder import RunFolder
from hdkd.tracking import store


def log(name: str, folder: Path, run: str, example: pd.DataFrame | None = None) -> Any:
    """Log a run folder or an exported model to the MLflow run ``run``; what MLflow says of it.

    The code of this package goes along. The run is begun and ended again. Raises whatever MLflow
    raises.
    """
    from hdkd.deploy import serving  # imports MLflow

    mlflow, package = store.connect(), Path(hdkd.__file__).parent
    with tempfile.TemporaryDirectory() as temporary, mlflow.start_run(run):
        # Not the models that an installed package brings along.
        code = Path(temporary) / package.name
        shutil.copytree(package, code, ignore=shutil.ignore_patterns("pretrained", "__pycache__"))
        return mlflow.pyfunc.log_model(
            name=name,
            python_model=str(Path(serving.__file__)),
            artifacts={"run": str(folder)},
            code_paths=[str(code)],
            signature=serving.signature(RunFolder(folder).params.classes),
            input_example=example,
            pip_requirements=requirements(),
        )


def requirements() -> list[str]:
    """What a logged model needs: this package's own dependencies, without its extras."""
    own = [each for each in metadata.requires("hdkd") or [] if "extra ==" not in each]
    return [*own, "mlflow"]
