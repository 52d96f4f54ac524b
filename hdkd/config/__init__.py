"""``params.yaml`` to validated, frozen values.

Each section has a model in one of these modules, which gives the names, types and ranges of its
parameters; nothing states them again. ``load.py`` reads the file and merges profiles, ``checks.py``
compares parameters with each other, and whatever is wrong raises
:class:`~hdkd.errors.ParameterError` with one sentence that names the key. Nothing is filled in:
what is not in the file does not exist.
"""

from hdkd.config.ablations import CONTROL, TRIAL, Controls, Tuning, Variant
from hdkd.config.datasets import (
    Dataset,
    Generated,
    HamLayout,
    Kaggle,
    Layout,
    Local,
    Smote,
    Source,
    Split,
    TrainTestFolders,
)
from hdkd.config.distillation import Distillation
from hdkd.config.images import Augmentation, Images
from hdkd.config.load import default_params, load, plain, read, resolve, save
from hdkd.config.network import Network
from hdkd.config.parameters import PROFILES, SECTIONS, Parameters
from hdkd.config.settings import Settings
from hdkd.config.study import ValidationSplit
from hdkd.config.training import Engine, Training

__all__ = [
    "CONTROL",
    "PROFILES",
    "SECTIONS",
    "TRIAL",
    "Augmentation",
    "Controls",
    "Dataset",
    "Distillation",
    "Engine",
    "Generated",
    "HamLayout",
    "Images",
    "Kaggle",
    "Layout",
    "Local",
    "Network",
    "Parameters",
    "Settings",
    "Smote",
    "Source",
    "Split",
    "TrainTestFolders",
    "Training",
    "Tuning",
    "ValidationSplit",
    "Variant",
    "default_params",
    "load",
    "plain",
    "read",
    "resolve",
    "save",
]
