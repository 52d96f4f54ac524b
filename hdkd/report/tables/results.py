"""Statistics of a study, computed from its summaries and predictions and nothing else."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hdkd.config import Settings
from hdkd.errors import DataError, RunError
from hdkd.evaluation import uncertainty
from hdkd.evaluation.metrics import correct
from hdkd.evaluation.statistics import Estimate, estimate, holm
from hdkd.report.tables.cost import macs
from hdkd.runs.predictions import NO_PREDICTIONS, Predictions
from hdkd.runs.records import RunSummary
from hdkd.study import plan

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auroc", "calibration_error")
NEW = ("new_accuracy", "new_balanced")
GAIN = [
    "dataset", "subset", "training_images", "student", "hdkd",
    "gain", "gain_sd", "gain_low", "gain_high", "p_value", "smallest",
    "new_gain", "new_low", "new_high", "new_p",
    "new_balanced_gain", "new_balanced_low", "new_balanced_high", "new_balanced_p",
    "seeds", "wins",
    "student_balanced", "hdkd_balanced",
    "balanced_gain", "balanced_low", "balanced_high", "balanced_p",
    "apart", "apart_low", "apart_high",
]  # fmt: skip
# Each gain, and what the ends of its interval are called: ``gain_low``, ``new_high``.
ENDS = {
    "gain": "gain",
    "balanced_gain": "balanced",
    "apart": "apart",
    "new_gain": "new",
    "new_balanced_gain": "new_balanced",
}
# Columns of p values, of which each is corrected by itself.
P_OF = {
    "gain": "p_value",
    "balanced_gain": "balanced_p",
    "new_gain": "new_p",
    "new_balanced_gain": "new_balanced_p",
}
METRIC_OF = {
    "gain": "accuracy",
    "balanced_gain": "balanced_accuracy",
    "new_gain": "new_accuracy",
    "new_balanced_gain": "new_balanced",
}
UNKNOWN = Estimate((math.nan,), 0.0, 0.0)
CELL = ["dataset", "group", "role", "block", "stem_stride", "method", "point", "subset"]


def runs(settings: Settings, summaries: list[RunSummary]) -> pd.DataFrame:
    """One row per run of a study: what it was, its metrics, complexity and provenance.

    Summaries of other runs, and of trials on validation images, are left out. Raises ``RunError``
    when nothing is left.
    """
    found = {summary.run: summary for summary in summaries}
    keys = [key for dataset in settings.study for key in plan.all_runs(settings, dataset)]
    rows = []
    for key in keys:
        if key not in found or key.group == "tuning":
            continue
        summary = found[key]
        # A maximum over every epoch is no maximum over every tenth.
        every_epoch = summary.hyperparameters["training"]["evaluate_every"] == 1
        best = summary.best_epoch if every_epoch else None
        new = summary.without_leaks
        rows.append(
            {
                **{name: getattr(key, name) for name in [*CELL, "seed"]},
                "training_images": summary.training_images,
                "synthetic_images": summary.synthetic_images,
                "test_images": summary.test_images,
                "epochs": summary.epochs,
                **{name: getattr(summary.final, name) for name in METRICS},
                "new_accuracy": new and new.accuracy,
                "new_balanced": new and new.balanced_accuracy,
                "best_epoch_accuracy": best and best.accuracy,
                "best_epoch": best and best.epoch,
                "parameters": summary.parameters,
                "macs": macs(settings, key, len(summary.final.recall)),
                "device": summary.provenance.device,
                "duration_seconds": summary.provenance.duration_seconds,
                "git_commit": summary.provenance.git_commit,
                "mlflow_run": summary.mlflow_run,
                "run": key.folder.as_posix(),
            }
        )
    if not rows:
        raise RunError(f"no run of the profile {settings.profile} is finished")
    return pd.DataFrame(rows).astype(
        dict.fromkeys(("new_accuracy", "best_epoch_accuracy", "best_epoch"), float)
    )


def cells(table: pd.DataFrame, known: Predictions = NO_PREDICTIONS) -> pd.DataFrame:
    """Mean and spread (sample deviation over seeds) of each metric, one row per cell of the study.

    Where all predictions of a cell are ``known``, and it has two seeds at least, ``_low`` and
    ``_high`` are the ends of each metric's 95 % interval (see ``evaluation/uncertainty.py``), in
    [0, 1]. ``new_accuracy`` and ``new_balanced`` are the accuracies on the test images that are not
    leaked.
    """
    values = [*METRICS, *NEW, "best_epoch_accuracy"]
    grouped = table.groupby(CELL, sort=False)
    means = grouped[values].mean()
    spreads = grouped[values].std().add_suffix("_sd")
    counts = grouped.agg(
        seeds=("seed", "size"),
        training_images=("training_images", "first"),
        epochs=("epochs", "first"),
        duration_seconds=("duration_seconds", "mean"),
        parameters=("parameters", "first"),
        macs=("macs", "first"),
    )
    ends = [f"{name}_{end}" for name in (*METRICS, *NEW) for end in ("low", "high")]
    intervals = pd.DataFrame(index=counts.index, columns=ends, dtype=float)
    for cell, own in grouped:
        probabilities = known.cell(own["run"])
        if probabilities is None or len(own) < 2:
            continue
        dataset = own["dataset"].iloc[0]
        labels, new = known.labels(dataset), known.unleaked(dataset)
        given = {name: own[name] for name in METRICS if own[name].notna().all()}
        estimates = uncertainty.metrics(given, probabilities, labels)
        if new.any():
            answers = correct(probabilities, labels)[:, new]
            estimates["new_accuracy"] = estimate(answers)
            estimates["new_balanced"] = estimate(answers, labels[new])
        for name, found in estimates.items():
            low, high = np.clip(found.interval, 0, 1)
            intervals.loc[cell, [f"{name}_low", f"{name}_high"]] = low, high
    return counts.join(means).join(spreads).join(intervals).reset_index()


def recalls(
    table: pd.DataFrame, summaries: list[RunSummary], known: Predictions = NO_PREDICTIONS
) -> pd.DataFrame:
    """Recall of each class in [0, 1], one row per cell and class, otherwise as :func:`cells`."""
    found = {summary.run.folder.as_posix(): summary.final.recall for summary in summaries}
    rows = []
    for cell, own in table.groupby(CELL, sort=False):
        probabilities = known.cell(own["run"]) if len(own) > 1 else None
        estimates = {}
        if probabilities is not None:
            images = known.images[own["dataset"].iloc[0]]
            by_class = uncertainty.recalls(probabilities, np.array(images.labels))
            estimates = {images.classes[k]: value for k, value in by_class.items()}
        for name in found[own["run"].iloc[0]]:
            values = pd.Series([found[run][name] for run in own["run"]])
            low, high = np.clip(estimates.get(name, UNKNOWN).interval, 0, 1)
            rows.append(
                {
                    **dict(zip(CELL, cell, strict=True)),
                    "class": name,
                    "seeds": len(own),
                    "recall": values.mean(),
                    "recall_sd": values.std(),
                    "recall_low": low,
                    "recall_high": high,
                }
            )
    return pd.DataFrame(rows)


def pairs(table: pd.DataFrame) -> pd.DataFrame:
    """The runs of the sweep whose seed both student and HDKD have on their subset."""
    students = table[table["group"] == "students"]
    methods = students.groupby(["dataset", "subset", "seed"])["role"].transform("nunique")
    return students[methods == 2]


def number_of_images(table: pd.DataFrame) -> dict[str, int]:
    """How many training images the subsets of a dataset have, the fewest first.

    The most that a run has: of two copies of the images one may have more for training.
    """
    most = table.groupby("subset")["training_images"].max().sort_values(kind="stable")
    return {str(subset): int(images) for subset, images in most.items()}


def gains(table: pd.DataFrame, known: Predictions = NO_PREDICTIONS) -> pd.DataFrame:
    """Gain of HDKD over the student in points, paired by seed, per dataset and subset.

    Where the predictions of both are ``known``, it is paired by test image, too. ``gain_low`` and
    ``gain_high`` are its 95 % interval, ``p_value`` its p; that, and each of the other p values, is
    corrected within the dataset (Holm). ``smallest`` is the true gain that so many seeds and images
    would tell from zero in 80 % of cases, if it stood alone. ``new_gain`` and ``new_balanced_gain``
    are the gains on the test images that are not leaked, where they are known. The gain is one of
    accuracy; ``balanced_gain`` is one of balanced accuracy, and ``apart`` how much the gain is more
    than that.
    """
    frames = []
    for dataset, own in pairs(table).groupby("dataset", sort=False):
        found = []
        for subset, images in number_of_images(own).items():
            cell = own[own["subset"] == subset]
            student, hdkd = (cell[cell["role"] == role] for role in ("student", "hdkd"))
            estimates = paired(student, hdkd, known)
            gain = estimates["gain"]
            found.append(
                {
                    "dataset": dataset,
                    "subset": subset,
                    "training_images": images,
                    "student": student["accuracy"].mean(),
                    "hdkd": hdkd["accuracy"].mean(),
                    "gain_sd": pd.Series(gain.values).std(),
                    "smallest": gain.smallest,
                    "seeds": gain.seeds,
                    "wins": sum(value > 0 for value in gain.values),
                    "student_balanced": student["balanced_accuracy"].mean(),
                    "hdkd_balanced": hdkd["balanced_accuracy"].mean(),
                }
                | with_intervals(estimates)
            )
        frames.append(corrected(pd.DataFrame(found, columns=GAIN)))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=GAIN)


def with_intervals(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """Gains by name, the ends of their intervals and p: ``new_gain``, ``new_low``, ``new_p``."""
    columns: dict[str, float] = {}
    for name, found in estimates.items():
        low, high = found.interval
        columns |= {name: found.mean, f"{ENDS[name]}_low": low, f"{ENDS[name]}_high": high}
        if name in P_OF:
            columns[P_OF[name]] = found.p_value
    return columns


def corrected(frame: pd.DataFrame, prefix: str = "") -> pd.DataFrame:
    """The rows of :func:`with_intervals` with each kind of p corrected over them (Holm).

    ``prefix`` stands before the names of the columns.
    """
    columns = [prefix + name for name in P_OF.values()]
    return frame.assign(**{name: holm(frame[name].tolist()) for name in columns})


def paired(
    base: pd.DataFrame, better: pd.DataFrame, known: Predictions = NO_PREDICTIONS
) -> dict[str, Estimate]:
    """Gains (the names of ``ENDS``) of runs ``better`` over those of ``base``, in points.

    Paired by seed, and by test image where all predictions are ``known``; unknown where no seed is
    shared.
    """
    shared = sorted(set(base["seed"]) & set(better["seed"]))
    if not shared:
        return dict.fromkeys(ENDS, UNKNOWN)
    student, hdkd = (runs.set_index("seed").loc[shared] for runs in (base, better))
    student_probabilities, hdkd_probabilities = known.cell(student["run"]), known.cell(hdkd["run"])
    if student_probabilities is not None and hdkd_probabilities is not None:
        dataset = hdkd["dataset"].iloc[0]
        labels, new = known.labels(dataset), known.unleaked(dataset)
        won = correct(hdkd_probabilities, labels) - correct(student_probabilities, labels)
        _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
        weights = 1 - len(labels) / (len(counts) * counts[classes])
        estimates = dict.fromkeys(ENDS, UNKNOWN) | {
            "gain": estimate(won, unit=100.0),
            "balanced_gain": estimate(won, labels, unit=100.0),
            "apart": estimate(won * weights, unit=100.0),
        }
        if new.any():
            estimates["new_gain"] = estimate(won[:, new], unit=100.0)
            estimates["new_balanced_gain"] = estimate(won[:, new], labels[new], unit=100.0)
        return estimates
    values = {name: 100 * (hdkd[metric] - student[metric]) for name, metric in METRIC_OF.items()}
    values["apart"] = values["gain"] - values["balanced_gain"]
    image = 100 / hdkd["test_images"].iloc[0]
    return {name: Estimate(tuple(own), 0.0, image) for name, own in values.items()}


def facts(settings: Settings, dataset: str) -> dict[str, Any]:
    """What preparing and splitting found out about a dataset.

    Raises ``ParameterError`` where there is no such dataset, ``DataError`` where a step is missing.
    """
    settings.dataset(dataset)
    folder = plan.prepared_folder(settings.profile, dataset)
    found: dict[str, Any] = {}
    for step, name in (("prepare", "facts.json"), ("split", "split.json")):
        if not (folder / name).exists():
            raise DataError(f"{folder / name} is missing: run `hdkd {step}` first")
        found |= json.loads((folder / name).read_text("utf-8"))
    return found


def sweep_metrics(folder: Path, dataset: str) -> dict[str, float]:
    """Mean accuracies and gains of a dataset by name, for the parent run of its sweep in MLflow."""
    table = pd.read_csv(folder / "gains.csv", dtype={"subset": str})
    return {
        f"{name}_n{row['subset']}": row[name]
        for row in table[table["dataset"] == dataset].to_dict("records")
        for name in ("student", "hdkd", "gain")
    }
