"""One run from prepared data to a finished run folder."""

import gc
import sys
import time
from contextlib import suppress

import numpy as np

from hdkd.errors import RunError, UnfinishedError
from hdkd.evaluation.metrics import evaluate, without_leaks
from hdkd.runs.evidence import changed_parameters
from hdkd.runs.folder import RunFolder
from hdkd.runs.origin import origin
from hdkd.runs.records import (
    BestEpoch,
    KeptEpoch,
    Metrics,
    Origin,
    Part,
    RunSummary,
    WatchedMetrics,
    WithoutLeaks,
)
from hdkd.study.plan import hyperparameters, is_finished
from hdkd.training import parallel
from hdkd.training.checkpoint import Checkpoint, Followed, checkpoint_of
from hdkd.training.job import Assembled, Job, assemble, choose_device, fingerprint
from hdkd.training.kept import KeptWeights
from hdkd.training.loop import WATCHED_METRICS, Row, predict, train
from hdkd.training.numerics import set_up
from hdkd.training.reporting import Observer, Reporter


def run(
    job: Job,
    observer: Observer | None = None,
    threads: int | None = None,
    deadline: float | None = None,
    restart: bool = False,
) -> None:
    """Train what a job names, reporting to an ``observer``, and leave its run folder.

    A run that was stopped resumes after the last epoch that it saved, and ends as if it had not
    been stopped; a finished one stays as it is; with ``restart`` either starts over. Raises
    ``RunError`` when HDKD has no teacher, or one that does not fit, when the run was begun with
    other settings, data, teacher, code or version of torch, or finished with other settings or
    data; ``UnfinishedError`` when ``deadline``, a reading of ``time.monotonic``, comes
    before the last epoch. Of several processes that ``torchrun`` has started, the first leaves the
    run folder.
    """
    device = choose_device(job.device)
    with parallel.joined(device):
        numerics = set_up(job.settings.parameters.engine, device, threads)
        since = time.perf_counter()
        assembled = assemble(job)
        if not restart and is_finished_already(assembled):
            return
        begun = origin(device, numerics, parallel.share().of)
        if parallel.leads():
            with Checkpoint(job.output, fingerprint(assembled), restart=restart) as checkpoint:
                reporter = Reporter(assembled, checkpoint, observer or Observer(), since)
                lead(assembled, reporter, begun, checkpoint, deadline)
        else:
            follow(assembled, deadline)


def is_finished_already(assembled: Assembled) -> bool:
    """Whether the run folder has all that the job would leave, and says so.

    Raises ``RunError`` where it has the results of other settings or data, which would be lost.
    """
    job = assembled.job
    # With a checkpoint it was killed when all was written, and has its end to report.
    if not is_finished(job.output) or checkpoint_of(job.output).exists():
        return False
    folder = RunFolder(job.output)
    before, params, now = folder.summary, folder.params, assembled.params
    changed = set(changed_parameters(job.settings, before)) - {"tuning.grid"}
    same = (before.run, before.tuned, params.teacher) == (job.key, assembled.tuned, now.teacher)
    if changed or not same or not params.data.is_same(now.data):
        raise RunError(
            f"{job.output} has a finished run with other settings, data or teacher: --restart "
            "replaces it, and --output names another folder"
        )
    if parallel.leads():
        print(f"{job.output} is finished already: --restart trains it again")
    return True


def lead(
    assembled: Assembled,
    reporter: Reporter,
    begun: Origin,
    checkpoint: Checkpoint,
    deadline: float | None,
) -> None:
    """Train, evaluate, save and report; with other processes, where there are any."""
    parallel.wait()  # The checkpoint has been read, or removed: others may read it.
    reporter.begin(begun)
    # What is loaded by now stays to the end. The collector would walk these million objects
    # again and again, and once more at the end: two seconds of a short run.
    if "triton" not in sys.modules:  # it complains of objects that outlive it
        gc.freeze()
    try:
        kept = train(assembled.model, assembled.setup, reporter.epoch, checkpoint, deadline)
        finish(assembled, reporter, kept)
    except UnfinishedError:
        reporter.observer.ended("KILLED")
        raise
    except BaseException:
        reporter.observer.ended("FAILED")
        raise
    reporter.observer.ended("FINISHED")
    checkpoint.remove()


def follow(assembled: Assembled, deadline: float | None) -> None:
    """Train along with the process that leads, which saves and says how it ends.

    An end before the last epoch is no failure here: ``torchrun`` would stop the other at once.
    """
    parallel.wait()
    with (
        suppress(UnfinishedError, RunError),
        Followed(assembled.job.output, fingerprint(assembled)) as checkpoint,
    ):
        train(assembled.model, assembled.setup, lambda row: None, checkpoint, deadline)


def finish(assembled: Assembled, reporter: Reporter, kept: KeptWeights) -> None:
    """Evaluate a network after its last epoch, and complete the run folder."""
    folder, source = RunFolder(assembled.job.output), assembled.source
    # The epoch that teaches because it is the best on the test images is not what is reported.
    reported_last = kept.rule == "best_on_test"
    if not reported_last:
        kept.put_back(assembled.model)
    # Unless they are watched, nothing before this has looked at the images of the final evaluation.
    tested = source.part(assembled.job.part)
    probabilities, _ = predict(assembled.model, source.chosen(tested), source.labels[tested])
    if reported_last:
        kept.put_back(assembled.model)
    folder.write_model(assembled.model)
    folder.write_predictions(source.table.iloc[tested], probabilities, source.classes)
    folder.write_summary(summary(assembled, reporter, kept, probabilities))


def summary(
    assembled: Assembled, reporter: Reporter, kept: KeptWeights, probabilities: np.ndarray
) -> RunSummary:
    """What ``summary.json`` says; ``probabilities`` ``(n, classes)`` are the final evaluation's."""
    job, source, params = assembled.job, assembled.source, assembled.params
    tested = source.part(job.part)
    labels, leaked = source.labels[tested], source.table["leaked"].to_numpy()[tested]
    unleaked = without_leaks(probabilities, labels, leaked)
    validation, best_epoch = watched_epochs(reporter.rows, assembled.setup.watched.part, kept.epoch)
    return RunSummary(
        run=job.key,
        part=job.part,
        final=Metrics(**evaluate(probabilities, labels, source.classes)),
        without_leaks=WithoutLeaks(**unleaked) if unleaked else None,
        tuned=assembled.tuned,
        kept=KeptEpoch(rule=kept.rule, epoch=kept.epoch),
        validation=validation,
        best_epoch=best_epoch,
        epochs=assembled.setup.training.epochs,
        test_images=len(tested),
        training_images=params.training_images,
        synthetic_images=params.synthetic_images,
        parameters=sum(p.numel() for p in assembled.model.parameters()),
        data=params.data,
        hyperparameters=hyperparameters(job.settings, job.key),
        provenance=reporter.provenance(),
        mlflow_run=reporter.observed_as,
    )


def watched_epochs(
    rows: list[Row], part: Part, kept: int
) -> tuple[WatchedMetrics | None, BestEpoch | None]:
    """What the summary says of the watched images.

    Of validation images that is their metrics after the ``kept`` epoch. Where the test images were
    watched, it is the first epoch with the best accuracy among those that were evaluated.
    """
    if part == "validation":
        values = {name: rows[kept - 1][f"validation_{name}"] for name in WATCHED_METRICS}
        return WatchedMetrics.model_validate(values), None
    accuracies = [row["test_accuracy"] for row in rows]
    best = max(accuracy for accuracy in accuracies if accuracy is not None)
    return None, BestEpoch(epoch=accuracies.index(best) + 1, accuracy=best)
