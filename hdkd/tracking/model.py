"""A trained model as MLflow serves it: encoded image files in, class and probabilities out."""

import warnings
from pathlib import Path
from typing import Any

import hdkd

REQUIREMENTS = ["torch", "numpy", "pandas", "pillow", "safetensors", "scipy", "mlflow"]


def log_model(mlflow: Any, folder: Path, classes: list[str]) -> None:
    """Log the model of a run folder, with the code that it needs, into the active run."""
    # Imports MLflow.
    from hdkd.deploy import serving

    # The signature says all; an example would make every training load its model again.
    warnings.filterwarnings("ignore", message=".*input example was not provided")
    mlflow.pyfunc.log_model(
        name="model",
        python_model=str(Path(serving.__file__)),
        artifacts={"run": str(folder)},
        code_paths=[str(Path(hdkd.__file__).parent)],
        signature=serving.signature(classes),
        pip_requirements=REQUIREMENTS,
    )
