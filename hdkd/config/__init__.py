"""``params.yaml`` to validated, frozen values.

Each section has a model in one of these modules, which gives the names, types and ranges of its
parameters; nothing states them again. ``load.py`` reads the file and merges profiles, ``checks.py``
compares parameters with each other, and whatever is wrong raises
:class:`~hdkd.errors.ParameterError` with one sentence that names the key. Nothing is filled in:
what is not in the file does not exist.
"""

from hdkd.config.datasets import (
    Dataset,
    Generated,
    HamLayout,
    Kaggle,
    Layout,
    Local,
    MedMNIST,
    Smote,
    Source,
    Split,
    TrainTestFolders,
)
from hdkd.config.images import Augmentation, Images
from hdkd.config.load import default_params, load, plain, read, resolve, save
from hdkd.config.methods import LEFT_OUT, About, methods
from hdkd.config.parameters import PROFILES
from hdkd.config.settings import Settings
from hdkd.config.study import CONTROL, STRENGTH, Methods, Tuning, ValidationSplit
from hdkd.config.training import Distillation, Engine, Network, Training

__all__ = [
    "CONTROL",
    "LEFT_OUT",
    "PROFILES",
    "STRENGTH",
    "About",
    "Augmentation",
    "Dataset",
    "Distillation",
    "Engine",
    "Generated",
    "HamLayout",
    "Images",
    "Kaggle",
    "Layout",
    "Local",
    "MedMNIST",
    "Methods",
    "Network",
    "Settings",
    "Smote",
    "Source",
    "Split",
    "TrainTestFolders",
    "Training",
    "Tuning",
    "ValidationSplit",
    "default_params",
    "load",
    "methods",
    "plain",
    "read",
    "resolve",
    "save",
]
