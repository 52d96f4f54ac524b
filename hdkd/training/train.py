"""One training from prepared data to a finished run folder."""

import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from hdkd.config import Settings
from hdkd.data.batches.imageset import ImageSet, TrainingSet
from hdkd.data.batches.subsets import draw_subset
from hdkd.errors import RunError, UnfinishedError
from hdkd.evaluation.metrics import evaluate, without_leaks
from hdkd.files import sha256
from hdkd.models import build
from hdkd.runs.folder import RunFolder, flatten, provenance, to_json
from hdkd.runs.weights import in_half_precision
from hdkd.study import code, plan
from hdkd.study.plan import RunKey, hyperparameters
from hdkd.tracking.tracking import MLFLOW_NOTE, Tracker
from hdkd.training.budget import training_of
from hdkd.training.checkpoint import Checkpoint
from hdkd.training.engine import Teaching, peak_memory, prepare_process
from hdkd.training.loop import Watched, has_finite_weights, predict, train
from hdkd.training.tune import chosen


def run(
    settings: Settings,
    key: RunKey,
    prepared: Path,
    output: Path,
    recipes: Path | None = None,
    teacher: Path | None = None,
    tuned: Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    tracked: bool = True,
    deadline: float | None = None,
    restart: bool = False,
) -> None:
    """Train what ``key`` names on the ``prepared`` data and leave the run folder ``output``.

    ``recipes`` is a table of SMOTE recipes to add; ``teacher`` the run folder that HDKD is taught
    by; ``tuned`` what ``hdkd tune`` has chosen. A training that was stopped continues after its last finished epoch, and ends as if it had not
    been; with ``restart`` it begins anew. Raises ``RunError`` when HDKD has no teacher, or one that does not
    fit, and when what was stopped was made with other settings, data, teacher, code or version of torch;
    ``UnfinishedError`` when ``deadline``, a reading of ``time.monotonic``, comes before the last epoch.
    """
    if plan.is_tuned(settings, key) and not tuned:
        raise RunError(
            f"{key.name} trains with settings that trials choose: run `hdkd tune` and name its file with --tuned"
        )
    prepare_process(threads)
    device = choose_device(device)
    started = time.perf_counter()
    source = ImageSet.load(prepared)
    training_set = training_images(source, key, recipes, settings.parameters.smote.arithmetic)
    part, watched = parts(source, key)
    images = settings.images(key.dataset)
    network = settings.network(key.block, key.stem_stride)
    model_arguments = network.arguments(key.role) | {
        "num_classes": len(source.classes),
        "image_size": images.size,
        "in_channels": images.channels,
    }
    distillation = settings.distillation(key.point)
    if key.role == "hdkd":
        model_arguments["predicting"] = distillation.heads
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(key.seed)
        model = build(key.role, **model_arguments)
    teaching = None
    if key.role == "hdkd":
        teaching = Teaching(load_teacher(teacher, source), distillation)
    class_counts = np.bincount(source.labels[source.part("train")])
    training = training_of(settings, key, class_counts.tolist())
    if tuned:
        training = dataclasses.replace(training, **chosen(tuned, key.role))
    params: dict[str, Any] = {
        "run": key,
        "classes": source.classes,
        "images": images,
        "model": model_arguments,
        "training": training,
        "augmentation": settings.augmentation,
        "engine": settings.engine,
        "distillation": distillation if teaching else None,
        "teacher": str(teacher) if teaching else None,
        "training_images": len(training_set.positions),
        "synthetic_images": len(training_set) - len(training_set.positions),
        "watched": {"part": watched.part, "images": len(watched.labels)},
        "data": {
            "title": source.facts["title"],
            "synthetic": source.facts["synthetic"],
            "content_hash": source.facts["content_hash"],
            "training_digest": training_set.digest(),
            "arithmetic": training_set.arithmetic if recipes else None,
        },
    }
    made_with = fingerprint(params, teacher, device)
    with Checkpoint(output, made_with, restart=restart) as checkpoint:
        made = provenance(device)
        notes = checkpoint.notes or {"rows": [], "made": made, "pieces": [], "mlflow_run": None}
        checkpoint.notes = notes
        piece = {"started": made["started"], "seconds": 0.0, "peak_memory_bytes": 0}
        notes["pieces"].append(piece)

        def note_cost() -> None:
            piece["seconds"] = round(time.perf_counter() - started, 2)
            piece["peak_memory_bytes"] = peak_memory(device)

        folder = RunFolder(output)
        folder.start(params)
        for row in notes["rows"]:
            folder.append_metrics(row)
        tracker = Tracker.start(
            key, folder.params, notes["made"], tracked, notes["mlflow_run"], output / MLFLOW_NOTE
        )
        notes["mlflow_run"] = tracker.run_id
        for row in notes["rows"]:  # what the stopped part had not sent yet
            tracker.log_epoch(row)
        if checkpoint.finished:
            print(f"{key.name}  continues after epoch {checkpoint.finished}", flush=True)

        def on_epoch(row: dict[str, float | None]) -> None:
            folder.append_metrics(row)
            tracker.log_epoch(row)
            notes["rows"].append(row)
            note_cost()
            accuracy = row[f"{watched.part}_accuracy"]
            print(
                f"{key.name}  epoch {row['epoch']}/{training.epochs}  "
                f"loss {row['train_loss']:.4f}  train {row['train_accuracy']:.4f}  "
                f"{watched.part} {'–' if accuracy is None else format(accuracy, '.4f')}  "
                f"{row['images_per_second']:.0f} images/s",
                flush=True,
            )

        try:
            kept = train(
                model,
                training_set,
                watched,
                training,
                settings.augmentation,
                settings.engine,
                key.seed,
                device,
                on_epoch,
                teaching,
                checkpoint,
                deadline,
            )
            # What is kept for teaching, because it is the best on the test images, is not what is reported.
            reported_last = training.keep == "best_on_test"
            if not reported_last:
                kept.put_back(model)
            # Nothing before this line has looked at the images of the final evaluation, unless they are watched.
            tested = source.part(part)
            pixels = torch.from_numpy(np.array(source.images[tested])).to(device)
            probabilities, _ = predict(model, pixels, source.labels[tested])
            if reported_last:
                kept.put_back(model)
            folder.write_model(model)
            folder.write_predictions(source.table.iloc[tested], probabilities, source.classes)
            note_cost()
            folder.write_summary(
                {
                    "run": dataclasses.asdict(key),
                    "part": part,
                    "final": evaluate(probabilities, source.labels[tested], source.classes),
                    "without_leaks": without_leaks(
                        probabilities,
                        source.labels[tested],
                        source.table["leaked"].to_numpy()[tested],
                    ),
                    "tuned": chosen(tuned, key.role) if tuned else None,
                    "kept": {"rule": training.keep, "epoch": kept.epoch},
                    **watched_epochs(notes["rows"], watched.part, kept.epoch),
                    "epochs": training.epochs,
                    "test_images": len(tested),
                    "training_images": len(training_set.positions),
                    "synthetic_images": len(training_set) - len(training_set.positions),
                    "parameters": sum(p.numel() for p in model.parameters()),
                    "data": params["data"],
                    "hyperparameters": hyperparameters(settings, key),
                    "provenance": notes["made"] | cost(notes["pieces"]),
                    "mlflow_run": tracker.run_id,
                }
            )
        except UnfinishedError:
            tracker.stop("KILLED")
            raise
        except BaseException:
            tracker.stop("FAILED")
            raise
        tracker.finish(folder)
        checkpoint.remove()


def cost(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    """What the uninterrupted ``pieces`` of a training took together: seconds, and bytes at most."""
    return {
        "duration_seconds": round(sum(piece["seconds"] for piece in pieces), 2),
        "peak_memory_bytes": max(piece["peak_memory_bytes"] for piece in pieces),
        "pieces": [{name: piece[name] for name in ("started", "seconds")} for piece in pieces],
    }


def parts(source: ImageSet, key: RunKey) -> tuple[str, Watched]:
    """The part that a training is evaluated on at its end, and what is watched until then.

    Trials of a tuning end on the validation images, all others on the test images.
    """
    validation = source.part("validation")
    if key.group == "tuning" and not len(validation):
        raise RunError(
            "a trial needs validation images: raise split.validation_fraction and split again"
        )
    watched = "validation" if len(validation) else "test"
    positions = source.part(watched)
    part = "validation" if key.group == "tuning" else "test"
    return part, Watched(watched, source.images[positions], source.labels[positions])


def watched_epochs(rows: list[dict[str, Any]], part: str, kept: int) -> dict[str, Any]:
    """What the summary says of the watched images.

    ``validation`` has their metrics after the ``kept`` epoch. Where the test images were watched,
    ``best_epoch`` is the first with the best accuracy among those that were evaluated.
    """
    names = ("loss", "accuracy", "balanced_accuracy")
    if part == "validation":
        row = next(row for row in rows if row["epoch"] == kept)
        return {"validation": {n: row[f"validation_{n}"] for n in names}, "best_epoch": None}
    tested = [row for row in rows if row["test_accuracy"] is not None]
    best = max(tested, key=lambda row: row["test_accuracy"])
    best_epoch = {"epoch": best["epoch"], "accuracy": best["test_accuracy"]}
    return {"validation": None, "best_epoch": best_epoch}


def fingerprint(params: dict[str, Any], teacher: Path | None, device: str) -> dict[str, Any]:
    """What must not change between the parts of one training: settings, data, teacher, code, by name.

    Where the teacher lies is not among it, nor what of the engine changes no number on this ``device``.
    """
    kept = {name: value for name, value in params.items() if name not in ("teacher", "engine")}
    parts = flatten(json.loads(json.dumps(kept, default=to_json)))
    for name in ("data.title", "data.synthetic"):
        del parts[name]
    parts["device"] = device
    if device == "cuda":
        parts["engine.precision"] = params["engine"].precision
        parts["engine.compile"] = params["engine"].compile
    parts["torch"] = torch.__version__
    for name in code.files("train"):
        parts[f"hdkd/{name}"] = sha256(code.PACKAGE / name)
    if teacher:
        weights = in_half_precision(RunFolder(teacher).read("model.safetensors"))
        parts["teacher"] = hashlib.sha256(weights).hexdigest()
    return parts


def training_images(
    source: ImageSet, key: RunKey, recipes: Path | None, arithmetic: str
) -> TrainingSet:
    """The images of ``key``: a balanced subset drawn with its seed, or all and the SMOTE recipes."""
    positions = source.part("train")
    subset = key.subset if key.subset == "all" else int(key.subset)
    positions = positions[draw_subset(source.labels[positions], subset, key.seed)]
    return TrainingSet(source, positions, pd.read_csv(recipes) if recipes else None, arithmetic)


def load_teacher(folder: Path | None, source: ImageSet) -> torch.nn.Module:
    """The trained teacher, its weights rounded to half precision: the same from a copy that has travelled so.

    Raises ``RunError`` when it is missing, knows other classes, or has weights that do not fit.
    """
    if folder is None:
        raise RunError("HDKD needs a teacher: name its run folder with --teacher")
    run = RunFolder(folder)
    params = run.params
    if params["run"]["role"] != "teacher":
        raise RunError(f"{folder} is a {params['run']['role']}, not a teacher")
    if params["classes"] != source.classes:
        raise RunError(
            f"the teacher {folder} knows the classes {', '.join(params['classes'])} only"
        )
    model = run.load_model().half().float()
    if not has_finite_weights(model):
        raise RunError(f"the teacher {folder} has weights that do not fit 16 bits")
    return model


def choose_device(name: str) -> str:
    """``auto`` takes a GPU where there is one."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise RunError("--device cuda: there is no GPU that torch can use; leave it at auto")
    return name
