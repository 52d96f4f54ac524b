"""What every run of a study says of every test image, in one file beside its summaries.

``reports/<profile>/predictions.npz`` is small enough to be committed, so that every clone can
compute intervals and verdicts image by image without run folders; its checksum is in
``SHA256SUMS``. It has these arrays, images in the order of their paths:

=======================  ===========================================================================
``<dataset>/path``       the test images, ``(images,)``
``<dataset>/label``      the position of their class, ``(images,)``
``<dataset>/leaked``     whether another part has a copy of them, ``(images,)``
``<dataset>/classes``    names of the classes, ``(classes,)``
``<run folder>``         probabilities of a run, float32, ``(images, classes)``
=======================  ===========================================================================
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from hdkd.errors import RunError
from hdkd.evaluation.metrics import correct
from hdkd.files import CHECKSUMS, read_checksums, replacing, sha256, write_checksums
from hdkd.runs.folder import RunFolder
from hdkd.runs.records import RunSummary

PREDICTIONS = "predictions.npz"
IMAGE_ARRAYS = ("path", "label", "leaked", "classes")  # in the order of TestImages' fields
PRINTED_EQUAL = 1e-5  # how far apart two probabilities may be that print the same


@dataclass(frozen=True)
class TestImages:
    """The test images of a dataset, in ascending order of their paths.

    ``labels`` are positions in ``classes``; ``leaked`` images have copies or near-copies in other
    parts.
    """

    __test__ = False  # pytest would take it for a test

    paths: tuple[str, ...]
    labels: tuple[int, ...]
    leaked: tuple[bool, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Predictions:
    """Test images by dataset and probabilities ``(images, classes)`` by run folder."""

    images: dict[str, TestImages] = field(default_factory=dict)
    probabilities: dict[str, np.ndarray] = field(default_factory=dict)

    def of_summaries(self, summaries: Iterable[RunSummary]) -> "Predictions":
        """Only those of one of ``summaries``; others are of an older or a newer run."""
        found = {
            run: each
            for each in summaries
            if (run := each.run.folder.as_posix()) in self.probabilities
        }
        kept = {
            run: self.probabilities[run]
            for run, each in found.items()
            if not _fault(self.probabilities[run], self.images[each.run.dataset], each)
        }
        return Predictions(self.images, kept)

    def cell(self, runs: Iterable[str]) -> np.ndarray | None:
        """Those of several run folders, ``(runs, images, classes)``; ``None`` if one has none."""
        runs = list(runs)
        if not self.probabilities.keys() >= set(runs):
            return None
        return np.stack([self.probabilities[run] for run in runs])

    def labels(self, dataset: str) -> np.ndarray:
        """The positions of the test images' classes ``(images,)``."""
        return np.array(self.images[dataset].labels)

    def unleaked(self, dataset: str) -> np.ndarray:
        """Which test images ``(images,)`` are not leaked."""
        return ~np.array(self.images[dataset].leaked, dtype=bool)


NO_PREDICTIONS = Predictions()


def update(summaries: Iterable[RunSummary], folder: Path) -> list[str]:
    """Write predictions into ``folder``, and return why some are left out, a sentence each.

    They come from the run folders, else from the file that is there; a run that
    neither has is passed over in silence. Left out are those that do not belong to their summary,
    and those of other test images than most runs of their dataset. Raises ``RunError`` where the
    file is needed and damaged: another would lack what it had.
    """
    before = cache(partial(read, folder))  # not needed where every run folder is here
    found: dict[str, tuple[TestImages, np.ndarray]] = {}
    shared: dict[TestImages, TestImages] = {}  # or each of thousands of runs has its own list
    datasets, left_out = {}, []
    for summary in summaries:
        if summary.run.group == "tuning":  # whose predictions are of validation images
            continue
        run = summary.run.folder.as_posix()
        dataset = datasets[run] = summary.run.dataset
        here = RunFolder(Path(run))
        has_own = (here.path / "predictions.csv").exists()
        known = before() if here.is_restored or not has_own else NO_PREDICTIONS
        try:
            if run in known.probabilities:
                images, values = known.images[dataset], known.probabilities[run]
            elif has_own:
                images, values = from_run(here)
            else:
                continue
            if fault := _fault(values, images, summary):
                raise RunError(fault)
            found[run] = shared.setdefault(images, images), values
        except RunError as error:
            left_out.append(f"predictions of {run} are left out: {error}")
    tested: dict[str, Counter[TestImages]] = defaultdict(Counter)
    for run, (own, _) in found.items():
        tested[datasets[run]][own] += 1
    usual = {dataset: counts.most_common(1)[0][0] for dataset, counts in tested.items()}
    probabilities = {}
    for run, (own, values) in sorted(found.items()):
        if own == usual[datasets[run]]:
            probabilities[run] = values
        else:
            left_out.append(
                f"predictions of {run} are left out: it was tested on other images than most"
            )
    write(Predictions(usual, probabilities), folder)
    return left_out


def from_run(folder: RunFolder) -> tuple[TestImages, np.ndarray]:
    """The test images of a run folder, and its probabilities of them ``(images, classes)``.

    The file has six digits, in which the most probable class and another may be the same; the one
    that the run has predicted is then made larger, by the least that float32 can tell.
    Raises ``RunError`` where the file is damaged, or its prediction is not the most probable class.
    """
    table = folder.predictions.sort_values("path")
    names = [name for name in table if name.startswith("p_")]
    classes = tuple(name.removeprefix("p_") for name in names)
    probabilities = table[names].to_numpy(np.float32)
    # Lists, because texts are slow to take out of a column one by one.
    predicted = np.array([classes.index(name) for name in table["predicted"].tolist()])
    every = np.arange(len(table))
    if len(table):
        largest = probabilities.max(axis=1)
        if (largest - probabilities[every, predicted] > PRINTED_EQUAL).any():
            raise RunError("what it predicted is not what it finds most probable")
        tied = probabilities.argmax(axis=1) != predicted
        probabilities[every[tied], predicted[tied]] = np.nextafter(largest[tied], np.float32(2))
    labels = tuple(classes.index(name) for name in table["class"].tolist())
    leaked = tuple(map(bool, table["leaked"].tolist()))
    return TestImages(tuple(table["path"].tolist()), labels, leaked, classes), probabilities


def write(predictions: Predictions, folder: Path) -> None:
    """Write ``predictions.npz`` and its checksum; the same predictions give the same bytes."""
    arrays: dict[str, Any] = {}
    for dataset, images in sorted(predictions.images.items()):
        arrays[f"{dataset}/path"] = np.array(images.paths, dtype=str)
        arrays[f"{dataset}/label"] = np.array(images.labels, dtype=np.int16)
        arrays[f"{dataset}/leaked"] = np.array(images.leaked, dtype=bool)
        arrays[f"{dataset}/classes"] = np.array(images.classes, dtype=str)
    arrays |= dict(sorted(predictions.probabilities.items()))
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / PREDICTIONS) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    write_checksums(folder, [PREDICTIONS])


def read(folder: Path) -> Predictions:
    """What :func:`write` wrote, none without a file. Raises ``RunError`` where it is damaged."""
    path = folder / PREDICTIONS
    if not path.exists():
        return NO_PREDICTIONS
    if read_checksums(folder).get(PREDICTIONS) != sha256(path):
        raise RunError(
            f"{path} is damaged (its checksum is not the one in {CHECKSUMS}): bring it back "
            "from git, or remove it"
        )
    with np.load(path) as file:
        arrays = dict(file)
    runs = {name: values for name, values in arrays.items() if name.count("/") > 1}
    parts = {name: tuple(arrays[name].tolist()) for name in arrays.keys() - runs.keys()}
    images = {
        dataset: TestImages(*(parts[f"{dataset}/{part}"] for part in IMAGE_ARRAYS))
        for dataset in sorted({name.partition("/")[0] for name in parts})
    }
    return Predictions(images, runs)


def _fault(probabilities: np.ndarray, images: TestImages, summary: RunSummary) -> str:
    """Why predictions are not those of a summary; empty where they are."""
    hits = correct(probabilities, np.array(images.labels))
    accuracy, own = hits.mean() if len(hits) else 0.0, summary.final.accuracy
    if abs(accuracy - own) < 1e-9:
        return ""
    return f"their accuracy is {100 * accuracy:.2f} %, that of the summary {100 * own:.2f} %"
