"""The model as MLflow serves it: ``mlflow models serve`` and ``mlflow.pyfunc.load_model``.

Input is a table with the column ``image``, each an image file encoded in base64; output has the
column ``class`` and one ``p_<class>`` each.
"""

import base64
import binascii
import io
from pathlib import Path

import pandas as pd
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, Schema

from hdkd.deploy.predict import Classifier
from hdkd.errors import DataError


class ServedClassifier(PythonModel):
    """A run folder behind MLflow's interface."""

    def load_context(self, context) -> None:
        self.classifier = Classifier.load(Path(context.artifacts["run"]))

    def predict(self, context, model_input: pd.DataFrame, params=None) -> pd.DataFrame:
        """Class and probabilities for each row's ``image``. Raises ``DataError`` for what is none."""
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
    outputs = [ColSpec("string", "class")]
    outputs += [ColSpec("double", f"p_{name}") for name in classes]
    return ModelSignature(Schema([ColSpec("string", "image")]), Schema(outputs))


set_model(ServedClassifier())
