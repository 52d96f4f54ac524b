"""Distillation and trained models for people's own torch code: no workflow, no files, no MLflow.

``hdkd.distill`` and ``hdkd.load`` are these two; ``docs/python.md`` shows them.
"""

from pathlib import Path

from hdkd.api.distilling import Distilled, distill
from hdkd.api.needs import Needs, needs
from hdkd.deploy.predict import Classifier, find

__all__ = ["Classifier", "Distilled", "Needs", "distill", "load", "needs"]


def load(model: str | Path) -> Classifier:
    """A trained classifier: of a run folder, or by the name of a model that comes along.

    Its ``classes`` are names, its ``probabilities(files)`` ``(n, classes)`` in [0, 1]. Raises
    ``RunError`` where there is no such model, or its run is not finished.
    """
    return Classifier.load(find(str(model)))
