"""The other methods beside the student alone and HDKD: gains, costs and ranks."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

import pandas as pd

from hdkd.config import STRENGTH, Methods, Settings, methods
from hdkd.evaluation.statistics import LEVEL, Estimate
from hdkd.report.additions import parameters
from hdkd.report.tables import results
from hdkd.runs.predictions import NO_PREDICTIONS, Predictions
from hdkd.runs.records import RunSummary
from hdkd.runs.trials import best
from hdkd.study.plan import point_of

PUBLISHED = "published"
AS_PUBLISHED = "chosen: × 1"
SHOWN = ("accuracy", "balanced_accuracy", "new_accuracy", "new_balanced")
EMPTY = pd.DataFrame()


@dataclass(frozen=True)
class Row:
    """Runs of a method on a subset, one a seed, and which ``weights`` they have."""

    method: str
    weights: str
    runs: pd.DataFrame


def rows_of(cell: pd.DataFrame, summaries: list[RunSummary], section: Methods) -> Iterator[Row]:
    """The methods of one student on one subset: with published weights, and with chosen ones.

    Those with the best validation metrics over seeds are chosen (``trials.best``), once every seed
    of the ``section`` has been trained with every strength.
    """
    found = {summary.run.folder.as_posix(): summary for summary in summaries}
    points = [point_of(strength) for strength in section.strengths]
    for method, own in cell.groupby("method", sort=False):
        by_point = {point: own[own["point"] == point] for point in points}
        published = by_point[""]
        if not published.empty:
            yield Row(method, PUBLISHED, published)
        if method == "alone" or len(points) == 1:
            continue
        if all(set(runs["seed"]) == set(section.seeds) for runs in by_point.values()):
            trials = [[found[run] for run in runs["run"]] for runs in by_point.values()]
            strength = section.strengths[best(trials)[1]]
            yield Row(method, f"chosen: × {strength:g}", by_point[point_of(strength)])


def method_table(
    settings: Settings,
    dataset: str,
    runs: pd.DataFrame,
    summaries: list[RunSummary],
    known: Predictions = NO_PREDICTIONS,
) -> pd.DataFrame:
    """A row for each subset, student, method and kind of weights; empty without methods.

    ``gain``, ``balanced_gain`` and those without leaks (``new_``) are over the same student alone,
    with ``hdkd_`` in front over HDKD with weights of the same kind, in points, paired by seed, and
    by image where predictions are ``known``. Their p values (``results.P_OF``) are corrected within
    the dataset (Holm), each kind by itself, where a comparison of runs that were chosen as they are
    published counts once.
    ``ratio`` is how long a run took after starting beside one of the student alone on the same kind
    of device, ``added`` how many parameters more it has trained.
    """
    own = runs[(runs["dataset"] == dataset) & (runs["group"] == "methods")]
    pairs = {*zip(own["role"], own["method"], strict=True)}
    pairs |= {(role, "alone") for role, _ in pairs}
    found_of = {summary.run.folder.as_posix(): summary for summary in summaries}
    classes = len(found_of[own["run"].iloc[0]].final.recall) if len(own) else 0
    trained = {pair: parameters(settings, dataset, *pair, classes).trained for pair in pairs}
    table = []
    images_of = results.number_of_images(own)
    cells = dict([*own.groupby(["subset", "role"])])
    for subset, role in sorted(cells, key=lambda cell: (images_of[cell[0]], *cell)):
        cell, images = cells[subset, role], images_of[subset]
        rows = list(rows_of(cell, summaries, settings.parameters.methods))
        found = {(row.method, row.weights.partition(":")[0]): row.runs for row in rows}
        alone = found.get(("alone", PUBLISHED))
        hdkd_weights = {
            row.weights.partition(":")[0]: row.weights for row in rows if row.method == "hdkd"
        }
        for row in rows:
            kind = row.weights.partition(":")[0]
            gains = _paired(alone, row.runs, known, own=row.method == "alone")
            hdkd = found.get(("hdkd", kind))
            over_hdkd = _paired(hdkd, row.runs, known, own=row.method == "hdkd")
            about = methods()[row.method]
            table.append(
                {
                    "training_images": images,
                    "subset": subset,
                    "role": role,
                    "method": row.method,
                    "weights": row.weights if about.published else "",
                    **results.cells(row.runs).iloc[0][
                        [name for metric in SHOWN for name in (metric, f"{metric}_sd")]
                    ],
                    **results.with_intervals(gains),
                    **{
                        f"hdkd_{name}": value
                        for name, value in results.with_intervals(over_hdkd).items()
                    },
                    "logits": about.logits,
                    "ratio": time_ratio(row.runs, alone, found_of),
                    "again": row.weights == AS_PUBLISHED,
                    "hdkd_again": {row.weights, hdkd_weights.get(kind)} == {AS_PUBLISHED},
                    "added": trained[role, row.method] - trained[role, "alone"],
                    "seeds": len(row.runs),
                }
            )
    if not table:
        return EMPTY
    frame = pd.DataFrame(table)
    for prefix, again in (("", "again"), ("hdkd_", "hdkd_again")):
        for name in results.P_OF.values():
            frame[prefix + name] = frame[prefix + name].mask(frame[again])
        frame = results.corrected(frame, prefix)
    return frame.drop(columns=["again", "hdkd_again"])


def time_ratio(
    runs: pd.DataFrame, alone: pd.DataFrame | None, found: dict[str, RunSummary]
) -> float:
    """Mean seconds of training of ``runs`` beside those ``alone``; NaN on different devices."""
    if alone is None or {*runs["device"]} != {*alone["device"]} or runs["device"].nunique() > 1:
        return math.nan

    def seconds(cell: pd.DataFrame) -> float:
        made = [found[run].provenance for run in cell["run"]]
        return fmean(each.duration_seconds - (each.startup_seconds or 0.0) for each in made)

    return seconds(runs) / seconds(alone)


def _paired(
    base: pd.DataFrame | None, better: pd.DataFrame, known: Predictions, own: bool
) -> dict[str, Estimate]:
    """Gains over ``base``; unknown where there is none, or it is the ``own`` row."""
    if own or base is None:
        return dict.fromkeys(results.ENDS, results.UNKNOWN)
    return results.paired(base, better, known)


@dataclass(frozen=True)
class Ranks:
    """Mean ranks by method, 1 for the highest, over ``blocks``: pairs of dataset and subset.

    Ranks of methods that are closer than ``difference`` may be equal (Nemenyi's test at 5 %);
    ``p_value`` is Friedman's of all being equal.
    """

    means: dict[str, float]
    blocks: int
    difference: float
    p_value: float


def ranks(runs: pd.DataFrame, role: str = "hybrid") -> Ranks | None:
    """Ranks of the methods of a student by balanced accuracy, with published weights.

    Of methods that are in every block; ``None`` for fewer than three, or in a single block.
    """
    from scipy.stats import friedmanchisquare, studentized_range  # slow to import

    own = runs[(runs["group"] == "methods") & (runs["role"] == role)]
    own = own[~own["point"].str.fullmatch(STRENGTH.pattern)]
    table = own.pivot_table("balanced_accuracy", ["dataset", "subset"], "method").dropna(axis=1)
    blocks, count = table.shape
    if blocks < 2 or count < 3:
        return None
    means = table.rank(axis=1, ascending=False).mean().sort_values()
    deviation = math.sqrt(count * (count + 1) / (6 * blocks))
    reach = float(studentized_range.ppf(LEVEL, count, math.inf)) / math.sqrt(2)
    p_value = float(friedmanchisquare(*table.to_numpy().T).pvalue)
    return Ranks(means.to_dict(), blocks, reach * deviation, p_value)
