"""The tables as people read them: titles and formats for the columns of ``frames.py``."""

from collections.abc import Callable, Sequence

import pandas as pd

from hdkd.config import methods
from hdkd.report.tables import formats
from hdkd.report.tables.formats import between, decimals, percent, ranged, signed, text, thousands
from hdkd.study.names import (
    BLOCK_NAMES,
    NETWORKS,
    ROLE_NAMES,
    family,
    model_name,
    network_name,
)

METRICS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "auroc": "AUROC",
    "calibration_error": "Calibration error",
    "new_accuracy": "Accuracy without leaks",
    "new_balanced": "Balanced accuracy without leaks",
}


class Column:
    """A column of a table; ``form`` makes a cell's text from ``fields`` of a frame's row."""

    def __init__(self, title: str, form: Callable[..., str], *fields: str) -> None:
        self.title, self.form, self.fields = title, form, fields


def shown(frame: pd.DataFrame, columns: Sequence[Column]) -> list[dict[str, str]]:
    """The rows of a table, by title; columns whose fields the frame lacks are left out."""
    there = [column for column in columns if set(column.fields) <= set(frame.columns)]
    return [
        {column.title: column.form(*(row[name] for name in column.fields)) for column in there}
        for row in frame.to_dict("records")
    ]


IMAGES = Column("Training images", text, "training_images")
EPOCHS = Column("Epochs", decimals(0), "epochs")
SEEDS = Column("Seeds", text, "seeds")
PARAMETERS = Column("Parameters", thousands, "parameters")
MACS = Column("MACs (M)", decimals(2, 1e6), "macs")
ACCURACY = Column("Accuracy (%)", percent, "accuracy", "accuracy_sd")
WITHOUT_LEAKS = Column("Without leaks (%)", percent, "new_accuracy", "new_accuracy_sd")
PUBLISHED = Column("Published (%)", decimals(2), "published")
BOTH = tuple(Column(ROLE_NAMES[role], percent, role, f"{role}_sd") for role in ("student", "hdkd"))

SWEEP = (
    IMAGES,
    EPOCHS,
    *BOTH,
    Column("Gain (points)", signed, "gain", "gain_sd"),
    Column("95 % interval", between, "gain_low", "gain_high"),
    Column("p (Holm)", formats.p_value, "p_value"),
    Column("Smallest detectable", decimals(2), "smallest"),
    Column("Balanced gain (points)", signed, "balanced_gain"),
    Column("Its 95 % interval", between, "balanced_low", "balanced_high"),
    Column("Its p (Holm)", formats.p_value, "balanced_p"),
    SEEDS,
    *(
        Column(f"{ROLE_NAMES[role]}, best epoch", percent, f"{role}_best", f"{role}_best_sd")
        for role in ("student", "hdkd")
    ),
    Column("Published gain", signed, "published_gain"),
)

WITHOUT_LEAKED_IMAGES = (
    IMAGES,
    *BOTH,
    Column("Gain (points)", signed, "new_gain"),
    Column("95 % interval", between, "new_low", "new_high"),
    Column("p (Holm)", formats.p_value, "new_p"),
    Column("Balanced gain (points)", signed, "new_balanced_gain"),
    Column("Its 95 % interval", between, "new_balanced_low", "new_balanced_high"),
    Column("Its p (Holm)", formats.p_value, "new_balanced_p"),
    SEEDS,
)

ALL_METRICS = (
    Column("Model", ROLE_NAMES.get, "role"),
    IMAGES,
    SEEDS,
    *(
        Column(f"{title} (%)", ranged, name, f"{name}_low", f"{name}_high", f"{name}_sd")
        for name, title in METRICS.items()
    ),
)

VARIANTS = (
    Column("Model", ROLE_NAMES.get, "role"),
    Column("Block", BLOCK_NAMES.get, "block"),
    Column("Stem stride", text, "stem_stride"),
    IMAGES,
    PARAMETERS,
    MACS,
    ACCURACY,
    WITHOUT_LEAKS,
    SEEDS,
    PUBLISHED,
)

DISTILLATION = (
    Column("Distillation", text, "name"),
    Column("Changed", text, "change"),
    ACCURACY,
    Column("To HDKD (points)", signed, "difference", "difference_sd"),
    Column("95 % interval", between, "difference_low", "difference_high"),
    Column("p (Holm)", formats.p_value, "p_value"),
    SEEDS,
)

GAIN_OF_HDKD = (
    Column("HDKD's gain", signed, "gain"),
    Column("95 % interval", between, "gain_low", "gain_high"),
    Column("p (Holm)", formats.p_value, "p_value"),
    Column("Balanced gain", signed, "balanced_gain"),
    Column("Its 95 % interval", between, "balanced_low", "balanced_high"),
    Column("Its p (Holm)", formats.p_value, "balanced_p"),
    Column("Gain without leaks", signed, "new_gain"),
    Column("95 % interval of it", between, "new_low", "new_high"),
    Column("p of it (Holm)", formats.p_value, "new_p"),
    Column("Balanced gain without leaks", signed, "new_balanced_gain"),
    Column("Its 95 % interval without leaks", between, "new_balanced_low", "new_balanced_high"),
    Column("Its p without leaks", formats.p_value, "new_balanced_p"),
)

CONTROLS = (
    Column("Model", text, "name"),
    EPOCHS,
    ACCURACY,
    WITHOUT_LEAKS,
    *GAIN_OF_HDKD,
    SEEDS,
)

METHODS = (
    Column("Method", lambda name: methods()[name].title, "method"),
    Column("Student", NETWORKS.get, "role"),
    IMAGES,
    Column("Weights", text, "weights"),
    ACCURACY,
    Column("Balanced (%)", percent, "balanced_accuracy", "balanced_accuracy_sd"),
    Column("Gain over the student alone", signed, "gain"),
    Column("95 % interval", between, "gain_low", "gain_high"),
    Column("p (Holm)", formats.p_value, "p_value"),
    Column("Balanced gain", signed, "balanced_gain"),
    Column("Its 95 % interval", between, "balanced_low", "balanced_high"),
    Column("Its p (Holm)", formats.p_value, "balanced_p"),
    Column("Gain over HDKD", signed, "hdkd_gain"),
    Column("95 % interval of it", between, "hdkd_gain_low", "hdkd_gain_high"),
    Column("p of it (Holm)", formats.p_value, "hdkd_p_value"),
    WITHOUT_LEAKS,
    Column("Balanced without leaks (%)", percent, "new_balanced", "new_balanced_sd"),
    Column("Gain without leaks", signed, "new_gain"),
    Column("95 % interval without leaks", between, "new_low", "new_high"),
    Column("p without leaks", formats.p_value, "new_p"),
    Column("Balanced gain without leaks", signed, "new_balanced_gain"),
    Column("Its 95 % interval without leaks", between, "new_balanced_low", "new_balanced_high"),
    Column("Its p without leaks", formats.p_value, "new_balanced_p"),
    Column("Gain over HDKD without leaks", signed, "hdkd_new_gain"),
    Column("95 % interval of that", between, "hdkd_new_low", "hdkd_new_high"),
    Column("p of that", formats.p_value, "hdkd_new_p"),
    Column("Balanced gain over HDKD without leaks", signed, "hdkd_new_balanced_gain"),
    Column("Its interval", between, "hdkd_new_balanced_low", "hdkd_new_balanced_high"),
    Column("Its p", formats.p_value, "hdkd_new_balanced_p"),
    Column("Logit term", text, "logits"),
    Column("Time", decimals(2), "ratio"),
    Column("Parameters more", thousands, "added"),
    SEEDS,
)

TRIALS = (
    Column("Method", model_name, "role"),
    Column("Settings", formats.settings, "changes"),
    Column("Validation balanced accuracy (%)", percent, "balanced_accuracy"),
    Column("Validation loss", decimals(4), "loss"),
    SEEDS,
    Column("Chosen", lambda chosen: "yes" if chosen else "", "chosen"),
)

BASELINES = (
    Column("Model", model_name, "role"),
    Column("Family", family, "role"),
    PARAMETERS,
    MACS,
    EPOCHS,
    ACCURACY,
    WITHOUT_LEAKS,
    Column("Best epoch (%)", percent, "best_epoch_accuracy", "best_epoch_accuracy_sd"),
    Column("Balanced (%)", percent, "balanced_accuracy", "balanced_accuracy_sd"),
    *GAIN_OF_HDKD,
    SEEDS,
    Column("Minutes", decimals(1, 60), "duration_seconds"),
    PUBLISHED,
)


def _network_and_control(role: str, block: str, stem_stride: int, control: str) -> str:
    return ", ".join(filter(None, [network_name(role, block, stem_stride), control]))


COSTS = (
    Column("Dataset", text, "title"),
    Column("Model", _network_and_control, "role", "block", "stem_stride", "control"),
    Column("Training images", text, "subset"),
    Column("Runs", "{} of {}".format, "finished", "runs"),
    Column("Images per second", formats.estimated(0), "images_per_second", "estimated"),
    Column("Minutes each (median)", formats.estimated(1), "minutes", "estimated"),
    Column("Peak memory (GiB)", decimals(1), "peak_memory_gib"),
    Column("Device", text, "device"),
)


def _best_epoch(accuracy: float, epoch: float) -> str:
    return formats.DASH if pd.isna(epoch) else f"{percent(accuracy)} (epoch {epoch:.0f})"


RUNS = (
    Column("Run folder", text, "run"),
    Column("Accuracy (%)", percent, "accuracy"),
    Column("Best epoch (%)", _best_epoch, "best_epoch_accuracy", "best_epoch"),
    Column("Seconds", decimals(0), "duration_seconds"),
    Column("Device", text, "device"),
    Column("MLflow run", lambda run: run if isinstance(run, str) else formats.DASH, "mlflow_run"),
)
