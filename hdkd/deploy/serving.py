"""The model as MLflow serves it: ``mlflow models serve`` and ``mlflow.pyfunc.load_model``.

Input is a table with the column ``image``, each an image file encoded in base64; output has the
column ``class`` and one ``p_<class>`` each.
"""

import base64
import binascii
import io
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, Schema
from typing_extensions import override

from hdkd.deploy.predict import Classifier
from hdkd.errors import DataError


class ServedClassifier(PythonModel):
    """A run folder behind MLflow's interface."""

    @override
    def load_context(self, context: PythonModelContext) -> None:
        self.classifier = Classifier.load(Path(context.artifacts["run"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """A row of class and probabilities per ``image``; ``DataError`` for what is no image."""
        try:
            files = [io.BytesIO(base64.b64decode(text)) for text in model_input["image"]]
        except (binascii.Error, ValueError):
            raise DataError("the column image must hold image files encoded in base64") from None
        probabilities = self.classifier.probabilities(files)
        classes = self.classifier.classes
        table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])
        table.insert(0, "class", [classes[k] for k in probabilities.argmax(axis=1)])
        return table


def signature(classes: list[str]) -> ModelSignature:
    """Input and output of the served model."""
    probabilities = (ColSpec("double", f"p_{name}") for name in classes)
    outputs = Schema([ColSpec("string", "class"), *probabilities])
    return ModelSignature(Schema([ColSpec("string", "image")]), outputs)


set_model(ServedClassifier())
