"""What committed evidence and run folders of a profile have to say about published values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from hdkd import config
from hdkd.config import Dataset
from hdkd.errors import ParameterError
from hdkd.evaluation.metrics import correct
from hdkd.evaluation.statistics import Estimate, estimate
from hdkd.paper.networks import IMAGE_SIZE, parameters
from hdkd.paper.published import COMPARABLE_PROFILE, PaperNetwork, Value
from hdkd.runs import evidence, predictions
from hdkd.runs.predictions import Predictions
from hdkd.runs.records import RunSummary
from hdkd.study import plan

Cell = dict[int, RunSummary]  # the summaries of a network on a subset, by seed, in ascending order


class Measurements:
    """The runs of a profile that may be compared with the paper's, and what is known of their data.

    Runs made with other ``parameters`` (the content of a parameter file) do not count, and
    ``left_out`` names them with the reason. Nor do runs of the profile ``paper`` whose network or
    images have been made smaller, runs that were split by clusters and so tested on other images
    than the published ones, and controls.
    """

    def __init__(self, profile: str, parameters: dict[str, Any]) -> None:
        self.profile = profile
        self.facts = evidence.facts(profile)
        self._cells: dict[tuple[PaperNetwork, str, str], Cell] = {}
        self._datasets: dict[str, Dataset] = {}
        kept: list[RunSummary] = []
        try:
            settings = config.resolve(parameters | {"profile": profile, "study": None})
        except ParameterError as error:
            self.left_out = [f"everything of the profile {profile} ({error})"]
        else:
            kept, self.left_out = evidence.with_current_parameters(
                settings, evidence.finished_summaries(profile)
            )
            self._datasets = settings.parameters.datasets
        self.predictions = predictions.read(plan.report_folder(profile)).of_summaries(kept)
        for summary in sorted(kept, key=lambda summary: summary.run.seed):
            if self._is_comparable(summary):
                key = summary.run
                place = (network_of(summary), key.dataset, key.subset)
                self._cells.setdefault(place, {})[key.seed] = summary

    def _is_comparable(self, summary: RunSummary) -> bool:
        key = summary.run
        if summary.hyperparameters["split"]["kind"] == "clusters":
            return False
        if key.group in ("tuning", "methods"):  # the paper has neither
            return False
        # Of controls only teachers of other seeds are the paper's networks, trained as they are.
        if key.point and not (key.role == "teacher" and key.point.startswith("teacher_seed")):
            return False
        return self.profile != COMPARABLE_PROFILE or self._has_paper_size(summary)

    def _has_paper_size(self, summary: RunSummary) -> bool:
        """Whether a run has the paper's network and image size, which its profile may not have."""
        images = self.facts.get(summary.run.dataset, {"size": IMAGE_SIZE})["size"]
        network, classes = network_of(summary), len(summary.final.recall)
        return images == IMAGE_SIZE and summary.parameters == parameters(network, classes)

    def cell(self, network: PaperNetwork, dataset: str, subset: str) -> Cell:
        """The summaries of a network on a subset, empty without any."""
        return self._cells.get((network, dataset, subset), {})

    def runs(self, value: Value) -> list[RunSummary]:
        """The summaries of a value's own network on its own subset, one for each seed."""
        return [*self.cell(value.network, value.dataset, value.subset).values()]

    def contrast(self, value: Value) -> "Contrast | None":
        """What a gain or ordering compares; ``None`` without seeds that all of its cells have."""
        parts = [(1, value.network, value.subset), (-1, value.over, value.subset)]
        if value.other_subset:
            parts += [(-1, value.network, value.other_subset), (1, value.over, value.other_subset)]
        cells = [self.cell(network, value.dataset, subset) for _, network, subset in parts]
        seeds = sorted(set.intersection(*map(set, cells)))
        if not seeds:
            return None
        rows = tuple([cell[seed] for seed in seeds] for cell in cells)
        return Contrast(tuple(sign for sign, *_ in parts), rows, self.predictions)

    def has_published_split(self, dataset: str) -> bool:
        """Whether its test images are those of the paper."""
        return dataset in self._datasets and self._datasets[dataset].split.kind == "published"

    def data(self, dataset: str) -> str:
        """Which copy of the data it is, and how it differs from the published one."""
        facts = self.facts.get(dataset)
        if not facts:
            return ""
        sizes = ", ".join(f"{count} at {size}" for size, count in facts["native_sizes"].items())
        text = f"copy {facts['content_hash'][:12]}, {sizes} pixels"
        if facts["published_size"]:
            size = "×".join(map(str, facts["published_size"]))
            if list(facts["native_sizes"]) != [size]:
                text += f" (published at {size})"
        return text


def network_of(summary: RunSummary) -> PaperNetwork:
    """The network that a run has trained."""
    key = summary.run
    return PaperNetwork(key.role, key.block, key.stem_stride)


def best_epochs(runs: Sequence[RunSummary]) -> list[float] | None:
    """The released protocol: each run's highest test accuracy of all epochs, in [0, 1].

    ``None`` without runs, and unless every epoch of all of them was tested.
    """
    found = []
    for run in runs:
        if run.hyperparameters["training"]["evaluate_every"] != 1 or not run.best_epoch:
            return None
        found.append(run.best_epoch.accuracy)
    return found or None


def accuracy_over_seeds(shares: Sequence[float], images: int) -> Estimate:
    """Accuracies in [0, 1] of as many seeds on ``images`` test images, as percent."""
    share = float(np.mean(shares))
    error = math.sqrt(share * (1 - share) / images)
    return Estimate(tuple(100 * value for value in shares), 100 * error, 100 / images)


@dataclass(frozen=True)
class Contrast:
    """A sum of cells with ``signs`` +1 and -1, each reduced to the seeds that all of them have.

    ``cells`` are summaries, one list for each sign, seed by seed in the same order.
    """

    signs: tuple[int, ...]
    cells: tuple[list[RunSummary], ...]
    predictions: Predictions

    @property
    def dataset(self) -> str:
        """The dataset that all cells are of."""
        return self.cells[0][0].run.dataset

    @cached_property
    def scores(self) -> np.ndarray | None:
        """Right answers, summed with their signs, ``(seeds, images)``.

        ``None`` where a prediction is missing.
        """
        scores = []
        for sign, cell in zip(self.signs, self.cells, strict=True):
            folders = (run.run.folder.as_posix() for run in cell)
            probabilities = self.predictions.cell(folders)
            if probabilities is None:
                return None
            scores.append(sign * correct(probabilities, self.predictions.labels(self.dataset)))
        return np.sum(scores, axis=0)

    def accuracy(self) -> Estimate:
        """In points at the last (or kept) epoch.

        Paired by test image where predictions are there; else test images count as if each cell had
        its own, which widens the interval.
        """
        if self.scores is not None:
            return estimate(self.scores, unit=100.0)
        shares = np.array([[run.final.accuracy for run in cell] for cell in self.cells])
        values = [
            sum(sign * share for sign, share in zip(self.signs, seed, strict=True))
            for seed in shares.T.tolist()
        ]
        images = self.cells[0][0].test_images
        error = math.sqrt(sum(p * (1 - p) for p in shares.mean(axis=1)) / images)
        return Estimate(tuple(100 * value for value in values), 100 * error, 100 / images)

    def balanced(self) -> Estimate | None:
        """The same of balanced accuracy; ``None`` without predictions."""
        if self.scores is None:
            return None
        return estimate(self.scores, self.predictions.labels(self.dataset), unit=100.0)

    def without_leaks(self) -> Estimate | None:
        """The same on test images that are not leaked; ``None`` without predictions or any."""
        if self.scores is None:
            return None
        new = self.predictions.unleaked(self.dataset)
        return estimate(self.scores[:, new], unit=100.0) if new.any() else None

    def best_epoch(self) -> float:
        """At the best epochs in points, mean over seeds; NaN unless every epoch was tested."""
        found = []
        for cell in self.cells:
            shares = best_epochs(cell)
            if shares is None:
                return math.nan
            found.append(shares)
        return 100 * float(np.mean(np.array(self.signs) @ np.array(found)))
