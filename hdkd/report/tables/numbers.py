"""The numbers that a report shows: computed from summaries, written as CSV and JSON, read again."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hdkd.config import Settings
from hdkd.files import write_json
from hdkd.paper import published
from hdkd.report.tables import cost, results
from hdkd.runs import evidence, predictions
from hdkd.runs.predictions import Predictions
from hdkd.runs.records import RunSummary
from hdkd.study.key import RunKey


@dataclass(frozen=True)
class Numbers:
    """What is known of a study.

    ``summaries`` are those of its finished runs, ``predictions`` the ones that belong to them, and
    ``facts`` what is known of each dataset. ``runs``, ``cells`` and ``gains`` are the tables of the
    functions of these names in ``results.py``, ``costs`` that of ``cost.table``.
    """

    settings: Settings
    summaries: list[RunSummary]
    predictions: Predictions
    facts: dict[str, dict[str, Any]]
    runs: pd.DataFrame
    cells: pd.DataFrame
    gains: pd.DataFrame
    costs: pd.DataFrame

    @classmethod
    def compute(
        cls,
        settings: Settings,
        summaries: list[RunSummary],
        facts: dict[str, dict[str, Any]],
        known: Predictions,
    ) -> "Numbers":
        """The numbers of these runs; predictions ``known`` of others are left out."""
        known = known.of_summaries(summaries)
        runs = results.runs(settings, summaries)
        cells, gains = results.cells(runs, known), results.gains(runs, known)
        costs = cost.table(settings, summaries, facts)
        return cls(settings, summaries, known, facts, runs, cells, gains, costs)

    @classmethod
    def read(cls, settings: Settings, folder: Path) -> "Numbers":
        """The numbers that :meth:`write` wrote into ``folder``.

        Summaries of runs with other parameters, which may be there since, do not count.
        """
        known = evidence.read(folder / evidence.SUMMARIES)
        summaries, _ = evidence.with_current_parameters(settings, known)
        return cls(
            settings,
            summaries,
            predictions.read(folder).of_summaries(summaries),
            json.loads((folder / "data.json").read_text("utf-8")),
            *(_read(folder / f"{name}.csv") for name in ("runs", "results", "gains", "cost")),
        )

    def write(self, folder: Path) -> None:
        """Write summaries, tables and metrics into ``folder``; predictions are there already."""
        (folder / "accuracy").mkdir(parents=True, exist_ok=True)
        evidence.write(self.summaries, folder / evidence.SUMMARIES)
        tables = {
            "runs": self.runs,
            "results": self.cells,
            "recalls": results.recalls(self.runs, self.summaries, self.predictions),
            "gains": self.gains,
            "cost": self.costs,
        }
        for dataset in self.settings.study:
            chosen = self.gains[self.gains["dataset"] == dataset]
            tables[f"accuracy/{dataset}"] = chosen[["training_images", "student", "hdkd"]]
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g")
        contents = {"metrics": self.headline_metrics(), "data": self.facts}
        for name, content in contents.items():
            write_json(folder / f"{name}.json", content)

    @property
    def are_comparable(self) -> bool:
        """Whether accuracies of this profile may be compared with the paper's."""
        return self.settings.profile == published.COMPARABLE_PROFILE

    @property
    def datasets(self) -> list[str]:
        """The datasets that have a finished run."""
        return [dataset for dataset in self.settings.study if not self.runs_of(dataset).empty]

    def runs_of(self, dataset: str) -> pd.DataFrame:
        """The runs of a dataset."""
        return self.runs[self.runs["dataset"] == dataset]

    def headline_metrics(self) -> dict[str, Any]:
        """Accuracies in [0, 1] and gains in points, nested as ``dvc metrics`` compares them."""
        tree: dict[str, Any] = {}
        for cell in self.cells.to_dict("records"):
            key = RunKey(profile="", seed=0, **{name: cell[name] for name in results.CELL})
            subset = tree.setdefault(key.dataset, {}).setdefault(key.model, {})
            subset[f"n{key.subset}"] = {
                name: round(cell[name], 6) for name in ("accuracy", "balanced_accuracy")
            }
        for row in self.gains.itertuples():
            tree[row.dataset].setdefault("gain", {})[f"n{row.subset}"] = round(row.gain, 4)
        return tree


def _read(path: Path) -> pd.DataFrame:
    """A table in which a text is empty where the file has nothing."""
    texts = ("subset", "block", "method", "point", "control", "device", "git_commit")
    table = pd.read_csv(path, dtype=dict.fromkeys(texts, str))
    return table.fillna({name: "" for name in texts if name in table})
