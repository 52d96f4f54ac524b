"""What committed evidence and run folders of a profile have to say about published values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdkd import config
from hdkd.errors import ParameterError
from hdkd.evaluation.metrics import correct
from hdkd.evaluation.statistics import Estimate, estimate
from hdkd.paper.networks import IMAGE_SIZE, parameters
from hdkd.paper.published import COMPARABLE_PROFILE, Network, Value
from hdkd.runs import evidence, predictions
from hdkd.runs.predictions import Predictions
from hdkd.study import plan

Summary = dict[str, Any]
Cell = dict[int, Summary]  # the summaries of a network on a subset, by seed


class Measurements:
    """The runs of a profile that may be compared with the paper's, and what is known of their data.

    Runs made with other ``parameters`` (the content of a parameter file) do not count, and
    ``left_out`` names them with the reason. Nor do runs of the profile ``paper`` whose network or
    images have been made smaller, runs that were split by clusters and so tested on other images
    than the published ones, and controls.
    """

    def __init__(self, profile: str, parameters: dict[str, Any], root: Path) -> None:
        self.profile = profile
        self.facts = evidence.facts(profile, root)
        self._cells: dict[tuple[Network, str, str], Cell] = {}
        self._published_splits: set[str] = set()
        kept: list[Summary] = []
        try:
            settings = config.resolve(parameters | {"profile": profile, "study": None})
        except ParameterError as error:
            self.left_out = [f"everything of the profile {profile} ({error})"]
        else:
            kept, self.left_out = evidence.counting(settings, evidence.known(profile, root), root)
            self._published_splits = {
                name
                for name, dataset in settings.parameters.datasets.items()
                if dataset.split.kind == "published"
            }
        self.predictions = predictions.read(root / plan.report(profile)).belonging(kept)
        for summary in kept:
            if self._is_comparable(summary):
                key = evidence.key_of(summary)
                place = (network_of(summary), key.dataset, key.subset)
                self._cells.setdefault(place, {})[key.seed] = summary

    def _is_comparable(self, summary: Summary) -> bool:
        key = evidence.key_of(summary)
        split = summary.get("hyperparameters", {}).get("split", {})
        if split.get("kind") == "clusters" or key.group == "tuning":
            return False
        # Of controls only teachers of other seeds are the paper's networks, trained as they are.
        if key.point and not (key.role == "teacher" and key.point.startswith("teacher_seed")):
            return False
        return self.profile != COMPARABLE_PROFILE or self._has_paper_size(summary)

    def _has_paper_size(self, summary: Summary) -> bool:
        """Whether a run has the paper's network and image size, which its profile may not have."""
        images = self.facts.get(summary["run"]["dataset"], {"size": IMAGE_SIZE})["size"]
        classes = len(summary["final"]["recall"])
        return images == IMAGE_SIZE and summary["parameters"] == parameters(
            network_of(summary), classes
        )

    def cell(self, network: Network, value: Value, subset: str = "") -> Cell:
        """The summaries of a network by seed, on the value's own subset or on another."""
        found = self._cells.get((network, value.dataset, subset or value.subset), {})
        return {seed: found[seed] for seed in sorted(found)}

    def contrast(self, value: Value) -> "Contrast | None":
        """What a gain or ordering compares; ``None`` without seeds that all of its cells have."""
        parts = [(1, value.network, value.subset), (-1, value.over, value.subset)]
        if value.beside:
            parts += [(-1, value.network, value.beside), (1, value.over, value.beside)]
        cells = [self.cell(network, value, subset) for _, network, subset in parts]
        seeds = sorted(set.intersection(*map(set, cells)))
        if not seeds:
            return None
        rows = tuple([cell[seed] for seed in seeds] for cell in cells)
        return Contrast(tuple(sign for sign, *_ in parts), rows, self.predictions)

    def has_published_split(self, dataset: str) -> bool:
        """Whether its test images are those of the paper."""
        return dataset in self._published_splits

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


def network_of(summary: Summary) -> Network:
    """The network that a run has trained."""
    key = evidence.key_of(summary)
    return Network(key.role, key.block, key.stem_stride)


def best_epoch(summary: Summary) -> float | None:
    """The released protocol: the highest test accuracy of all epochs, in [0, 1].

    ``None`` unless every epoch was tested.
    """
    training = summary.get("hyperparameters", {}).get("training", {})
    every = training.get("evaluate_every", 1) == 1
    return summary["best_epoch"]["accuracy"] if every and summary["best_epoch"] else None


def over_seeds(shares: Sequence[float], images: int) -> Estimate:
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
    cells: tuple[list[Summary], ...]
    predictions: Predictions

    @property
    def summaries(self) -> list[Summary]:
        return [summary for cell in self.cells for summary in cell]

    @property
    def dataset(self) -> str:
        return self.cells[0][0]["run"]["dataset"]

    def accuracy(self) -> Estimate:
        """In points at the last (or kept) epoch.

        Paired by test image where predictions are there; else test images count as if each cell had
        its own, which widens the interval.
        """
        if (scores := self.scores()) is not None:
            return estimate(scores, unit=100.0)
        shares = np.array([[run["final"]["accuracy"] for run in cell] for cell in self.cells])
        values = [
            sum(s * run["final"]["accuracy"] for s, run in zip(self.signs, runs, strict=True))
            for runs in zip(*self.cells, strict=True)
        ]
        images = self.cells[0][0]["test_images"]
        error = math.sqrt(sum(p * (1 - p) for p in shares.mean(axis=1)) / images)
        return Estimate(tuple(100 * value for value in values), 100 * error, 100 / images)

    def balanced(self) -> Estimate | None:
        """The same of balanced accuracy; ``None`` without predictions."""
        scores = self.scores()
        labels = None if scores is None else self.predictions.labels(self.dataset)
        return None if scores is None else estimate(scores, labels, unit=100.0)

    def without_leaks(self) -> Estimate | None:
        """The same on test images that are not leaked; ``None`` without predictions or any."""
        scores = self.scores()
        if scores is None:
            return None
        new = self.predictions.new(self.dataset)
        return estimate(scores[:, new], unit=100.0) if new.any() else None

    def best_epochs(self) -> float:
        """At the best epochs in points, mean over seeds; NaN unless every epoch was tested."""
        found = [[best_epoch(run) for run in cell] for cell in self.cells]
        if any(None in values for values in found):
            return math.nan
        return 100 * float(np.mean(np.array(self.signs) @ np.array(found)))

    def scores(self) -> np.ndarray | None:
        """Right answers, summed with their signs, ``(seeds, images)``.

        ``None`` where a prediction is missing.
        """
        found = [
            self.predictions.cell(evidence.key_of(run).folder.as_posix() for run in cell)
            for cell in self.cells
        ]
        if any(probabilities is None for probabilities in found):
            return None
        labels = self.predictions.labels(self.dataset)
        answers = [correct(probabilities, labels) for probabilities in found]
        return sum(sign * each for sign, each in zip(self.signs, answers, strict=True))
