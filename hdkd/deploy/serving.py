"""The model as MLflow serves it: ``mlflow models serve`` and ``mlflow.pyfunc.load_model``.

Input is a table with the column ``image``, each an image file encoded in base64; output has the
column ``class`` and one ``p_<class>`` each.
"""

import base64
import binascii
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ColSpec, Schema
from typing_extensions import override

from hdkd.deploy.network import Network
from hdkd.deploy.predict import Classifier
from hdkd.deploy.web.uploads import LIMIT, decoded
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
        classifier, pixels = self.classifier, []
        for position, text in enumerate(model_input["image"], start=1):
            try:
                content = base64.b64decode(text)
                if len(content) > LIMIT:
                    raise DataError(f"more than {LIMIT // 2**20} MiB")
                pixels.append(decoded(content, classifier.images))
            except (binascii.Error, ValueError):
                raise DataError("the column image must hold files encoded in base64") from None
            except DataError as error:
                raise DataError(f"image {position}: {error}") from None
        classes, probabilities = classifier.classes, np.empty((0, len(classifier.classes)))
        if pixels:
            network = Network(classifier.model, classifier.temperature)
            probabilities = network.answers(np.stack(pixels)).probabilities.astype(np.float64)
        table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes])
        table.insert(0, "class", [classes[k] for k in probabilities.argmax(axis=1)])
        return table


def signature(classes: list[str]) -> ModelSignature:
    """Input and output of the served model."""
    probabilities = (ColSpec("double", f"p_{name}") for name in classes)
    outputs = Schema([ColSpec("string", "class"), *probabilities])
    return ModelSignature(Schema([ColSpec("string", "image")]), outputs)


set_model(ServedClassifier())
