"""One training from prepared data to a finished run folder."""

import time

import numpy as np
import torch

from hdkd.errors import UnfinishedError
from hdkd.evaluation.metrics import evaluate, without_leaks
from hdkd.runs.folder import RunFolder
from hdkd.runs.origin import origin
from hdkd.runs.records import BestEpoch, KeptEpoch, RunSummary, WatchedMetrics
from hdkd.study.plan import hyperparameters
from hdkd.training.checkpoint import Checkpoint
from hdkd.training.engine import prepare_process
from hdkd.training.job import Assembled, Job, assemble, fingerprint
from hdkd.training.kept import Kept
from hdkd.training.loop import WATCHED_METRICS, Row, predict, train
from hdkd.training.observer import Observer
from hdkd.training.progress import Progress


def run(
    job: Job,
    observer: Observer | None = None,
    threads: int | None = None,
    deadline: float | None = None,
    restart: bool = False,
) -> None:
    """Do a job, told to an ``observer``, and leave its run folder.

    A training that was stopped continues after its last finished epoch, and ends as if it had not
    been; with ``restart`` it begins anew. Raises ``RunError`` when HDKD has no teacher, or one that
    does not fit, and when what was stopped was made with other settings, data, teacher, code or
    version of torch; ``UnfinishedError`` when ``deadline``, a reading of ``time.monotonic``, comes
    before the last epoch.
    """
    prepare_process(threads)
    since = time.perf_counter()
    made = assemble(job)
    observer = observer or Observer()
    with Checkpoint(job.output, fingerprint(made), restart=restart) as checkpoint:
        progress = Progress(made, checkpoint, observer, since)
        progress.begin(origin(made.setup.device))
        try:
            kept = train(made.model, made.setup, progress.epoch, checkpoint, deadline)
            finish(made, progress, kept)
        except UnfinishedError:
            observer.ended("KILLED")
            raise
        except BaseException:
            observer.ended("FAILED")
            raise
        observer.ended("FINISHED")
        checkpoint.remove()


def finish(made: Assembled, progress: Progress, kept: Kept) -> None:
    """Evaluate a network after its last epoch, and complete the run folder."""
    folder, source = RunFolder(made.job.output), made.source
    # What is kept for teaching, because it is the best on the test images, is not what is reported.
    reported_last = kept.rule == "best_on_test"
    if not reported_last:
        kept.put_back(made.model)
    # Nothing before this line has looked at the images of the final evaluation, unless they are
    # watched.
    tested = source.part(made.job.part)
    pixels = torch.from_numpy(np.array(source.images[tested])).to(made.setup.device)
    probabilities, _ = predict(made.model, pixels, source.labels[tested])
    if reported_last:
        kept.put_back(made.model)
    folder.write_model(made.model)
    folder.write_predictions(source.table.iloc[tested], probabilities, source.classes)
    folder.write_summary(summary(made, progress, kept, probabilities))


def summary(
    made: Assembled, progress: Progress, kept: Kept, probabilities: np.ndarray
) -> RunSummary:
    """What ``summary.json`` says; ``probabilities`` ``(n, classes)`` are the final evaluation's."""
    job, source, params = made.job, made.source, made.params
    tested = source.part(job.part)
    labels, leaked = source.labels[tested], source.table["leaked"].to_numpy()[tested]
    validation, best_epoch = watched_epochs(progress.rows, made.setup.watched.part, kept.epoch)
    return RunSummary(
        run=job.key,
        part=job.part,
        final=evaluate(probabilities, labels, source.classes),
        without_leaks=without_leaks(probabilities, labels, leaked),
        tuned=job.tuned_settings,
        kept=KeptEpoch(rule=kept.rule, epoch=kept.epoch),
        validation=validation,
        best_epoch=best_epoch,
        epochs=made.setup.training.epochs,
        test_images=len(tested),
        training_images=params.training_images,
        synthetic_images=params.synthetic_images,
        parameters=sum(p.numel() for p in made.model.parameters()),
        data=params.data,
        hyperparameters=hyperparameters(job.settings, job.key),
        provenance=progress.provenance(),
        mlflow_run=progress.observed_as,
    )


def watched_epochs(
    rows: list[Row], part: str, kept: int
) -> tuple[WatchedMetrics | None, BestEpoch | None]:
    """What the summary says of the watched images.

    Of validation images that is their metrics after the ``kept`` epoch. Where the test images were
    watched, it is the first epoch with the best accuracy among those that were evaluated.
    """
    if part == "validation":
        row = next(row for row in rows if row["epoch"] == kept)
        return WatchedMetrics(**{name: row[f"validation_{name}"] for name in WATCHED_METRICS}), None
    tested = [row for row in rows if row["test_accuracy"] is not None]
    best = max(tested, key=lambda row: row["test_accuracy"])
    return None, BestEpoch(epoch=best["epoch"], accuracy=best["test_accuracy"])
