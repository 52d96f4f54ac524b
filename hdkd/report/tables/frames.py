"""The numbers of each table of the report, one tidy frame per table.

Accuracies are in [0, 1], gains and differences in points, NaN where there is no value. A frame is
empty where a study has nothing for the table, and lacks the columns that say nothing there.
``columns.py`` has the titles and formats.
"""

import re
from collections.abc import Collection, Mapping

import pandas as pd

from hdkd.config import CONTROL, Settings
from hdkd.evaluation.statistics import holm
from hdkd.paper import published
from hdkd.paper.published import PaperNetwork
from hdkd.report.tables import results
from hdkd.report.tables.methods import method_table
from hdkd.report.tables.numbers import Numbers
from hdkd.runs.trials import tried
from hdkd.study import plan
from hdkd.study.names import BASELINES, ROLE_NAMES

# How the ablations' changes are written; equations 6 to 8.
SYMBOLS = {"alpha": "α", "temperature": "t", "feature_weight": "λ", "targets": "teacher's labels"}
CONTROL_NAMES = {
    "subset_teacher": "teacher of the same images",
    "same_steps": "as many steps",
    "same_macs": "as many MACs",
}
EMPTY = pd.DataFrame()


def sweep(numbers: Numbers, dataset: str) -> pd.DataFrame:
    """Accuracy by subset, with and without distillation, and the gain (Tables 3 and 4)."""
    gains = numbers.gains[numbers.gains["dataset"] == dataset]
    if gains.empty:
        return EMPTY
    cells = results.cells(results.pairs(numbers.runs_of(dataset)))
    frame = _with_metric(gains, cells, "accuracy")
    epochs = cells[cells["role"] == "hdkd"].set_index("subset")["epochs"]
    frame["epochs"] = frame["subset"].map(epochs)
    frame = _dropping_same_balanced(frame)
    if cells["best_epoch_accuracy"].notna().any():
        frame = _with_metric(frame, cells, "best_epoch_accuracy", "_best")
    if numbers.are_comparable:
        values = [published.gain(dataset, subset) for subset in frame["subset"]]
        frame["published_gain"] = pd.Series(values, index=frame.index, dtype=float)
    return frame


def _dropping_same_balanced(frame: pd.DataFrame) -> pd.DataFrame:
    """Without balanced gains where each class has as many test images, so that gains are equal."""
    if (frame["gain"] - frame["balanced_gain"]).abs().max() < 1e-3:
        return frame.drop(columns=["balanced_gain", "balanced_low", "balanced_high", "balanced_p"])
    return frame


def without_leaks(numbers: Numbers, dataset: str) -> pd.DataFrame:
    """The sweep on the test images that are not leaked; empty where none are known to be."""
    own = numbers.runs_of(dataset)
    if not has_leaks(own[own["group"] == "students"]):
        return EMPTY
    gains = numbers.gains[numbers.gains["dataset"] == dataset]
    return _with_metric(gains, results.cells(results.pairs(own)), "new_accuracy")


def _with_metric(
    gains: pd.DataFrame, cells: pd.DataFrame, metric: str, suffix: str = ""
) -> pd.DataFrame:
    """Gains beside the means of a metric and deviations, ``student``, ``student_sd`` and so on."""
    frame = gains.copy()
    for role in ("student", "hdkd"):
        own = cells[cells["role"] == role].set_index("subset")
        frame[f"{role}{suffix}"] = frame["subset"].map(own[metric])
        frame[f"{role}{suffix}_sd"] = frame["subset"].map(own[f"{metric}_sd"])
    return frame


def has_leaks(table: pd.DataFrame) -> bool:
    """Whether leaked test images are known of, so that there is an accuracy without them."""
    return bool(
        (table["new_accuracy"].notna() & (table["new_accuracy"] != table["accuracy"])).any()
    )


def _dropping_leaks(table: pd.DataFrame) -> pd.DataFrame:
    """The table; its columns about leaks only where leaks are known of."""
    return table if has_leaks(table) else table.drop(columns=["new_accuracy", "new_balanced"])


def metrics(cells: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Every metric of every cell of the sweep; ``cells`` are those of all runs."""
    swept = cells["group"].isin(["teacher", "students"])
    return _dropping_leaks(cells[(cells["dataset"] == dataset) & swept])


def variant_cells(settings: Settings, dataset: str, runs: pd.DataFrame) -> pd.DataFrame:
    """Block and stem stride (Tables 6 and 7), the default first, on the same seeds and subset.

    Empty without variants.
    """
    own = runs[runs["dataset"] == dataset]
    variants = own[(own["group"] == "ablations") & (own["point"] == "")]
    if variants.empty:
        return EMPTY
    ablations = settings.parameters.ablations
    students = _matching(own, ablations.subset, ablations.seeds) & (own["group"] == "students")
    default = own[(own["group"] == "teacher") | students]
    return _in_order(results.cells(pd.concat([default, variants])), [*ROLE_NAMES])


def variants(numbers: Numbers, dataset: str) -> pd.DataFrame:
    """The counterpart of Tables 6 and 7."""
    cells = variant_cells(numbers.settings, dataset, numbers.runs)
    return EMPTY if cells.empty else _with_published(numbers, dataset, cells)


def baseline_cells(dataset: str, runs: pd.DataFrame) -> pd.DataFrame:
    """Teacher, student, HDKD and the baselines after training on all images (Table 5).

    Empty without baselines.
    """
    own = runs[(runs["dataset"] == dataset) & (runs["subset"] == "all")]
    if not (own["group"] == "baselines").any():
        return EMPTY
    cells = results.cells(own[own["group"].isin(["teacher", "students", "baselines"])])
    return _in_order(cells, [*BASELINES, *ROLE_NAMES])


def baselines(numbers: Numbers, dataset: str) -> pd.DataFrame:
    """The counterpart of Table 5: each model trained from scratch on all images.

    ``gain`` is that of HDKD over each baseline (:func:`_gains_of_hdkd`).
    """
    cells = baseline_cells(dataset, numbers.runs)
    if cells.empty:
        return EMPTY
    own = numbers.runs_of(dataset)
    own = own[own["subset"] == "all"]
    hdkd = own[(own["group"] == "students") & (own["role"] == "hdkd")]
    if hdkd.empty:
        return _with_published(numbers, dataset, cells)
    found = dict(list(own[own["group"] == "baselines"].groupby("role")))
    gains = _gains_of_hdkd(numbers, hdkd, found).reindex(cells["role"])
    cells = _with_published(numbers, dataset, cells)
    return _dropping_same_balanced(cells.assign(**gains.reset_index(drop=True)))


def _in_order(cells: pd.DataFrame, roles: list[str]) -> pd.DataFrame:
    return cells.sort_values(
        "role", key=lambda found: found.map(roles.index), kind="stable", ignore_index=True
    )


def _with_published(numbers: Numbers, dataset: str, cells: pd.DataFrame) -> pd.DataFrame:
    """The paper's accuracies in percent beside cells, where they may be compared."""
    cells = _dropping_leaks(cells)
    if not numbers.are_comparable:
        return cells
    values = [
        published.accuracy(dataset, PaperNetwork(cell.role, cell.block, cell.stem_stride))
        for cell in cells.itertuples()
    ]
    return cells.assign(published=pd.Series(values, index=cells.index, dtype=float))


def distillation(numbers: Numbers, dataset: str) -> pd.DataFrame:
    """HDKD with one part of its distillation changed, on the same seeds and subset.

    ``difference`` is that to HDKD as it is, in points of accuracy, paired by seed, and by test
    image where predictions are known; p values are corrected within the table (Holm).
    """
    parts = _distillation_parts(numbers.settings, dataset, numbers.runs)
    rows = []
    for name, (change, found) in parts.items():
        hdkd = parts[ROLE_NAMES["hdkd"]][1]
        accuracy, gain = found["accuracy"], results.UNKNOWN
        if found is not hdkd:
            gain = results.paired(hdkd, found, numbers.predictions)["gain"]
        rows.append(
            {
                "name": name,
                "change": change,
                "accuracy": accuracy.mean(),
                "accuracy_sd": accuracy.std(),
                "difference": gain.mean,
                "difference_sd": pd.Series(gain.values).std(),
                "difference_low": gain.interval[0],
                "difference_high": gain.interval[1],
                "p_value": gain.p_value,
                "seeds": len(found),
            }
        )
    p_values = holm([row["p_value"] for row in rows])
    return pd.DataFrame(row | {"p_value": p} for row, p in zip(rows, p_values, strict=True))


def distillation_points(settings: Settings, dataset: str, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs behind :func:`distillation`: name, change, seed, accuracy, difference.

    Empty where no distillation was changed.
    """
    parts = _distillation_parts(settings, dataset, runs)
    if not parts:
        return EMPTY
    reference = parts[ROLE_NAMES["hdkd"]][1].set_index("seed")["accuracy"]
    frames = []
    for name, (change, found) in parts.items():
        frame = found[["seed", "accuracy"]].assign(name=name, change=change)
        frame["difference"] = 100 * (frame["accuracy"] - frame["seed"].map(reference))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _distillation_parts(
    settings: Settings, dataset: str, runs: pd.DataFrame
) -> dict[str, tuple[str, pd.DataFrame]]:
    """What was changed and the runs of it, by name; empty where no distillation was changed."""
    points = settings.points(dataset)
    if not points:
        return {}
    own = runs[runs["dataset"] == dataset]
    own = own[_matching(own, points.subset, points.seeds)]
    students = own[own["group"] == "students"]
    hdkd = students[students["role"] == "hdkd"]
    if (own["point"] == "").all() or hdkd.empty:
        return {}
    default = vars(settings.distillation())
    as_it_is = ", ".join(f"{symbol} = {default[key]}" for key, symbol in SYMBOLS.items())
    alone = students[students["role"] == "student"]
    parts = {
        ROLE_NAMES["student"]: ("no teacher", alone),
        ROLE_NAMES["hdkd"]: (as_it_is, hdkd),
    }
    for point, changes in points.points.items():
        change = ", ".join(f"{SYMBOLS.get(key, key)} = {value}" for key, value in changes.items())
        parts[point.replace("_", " ")] = (change, own[own["point"] == point])
    return {name: part for name, part in parts.items() if not part[1].empty}


def _matching(runs: pd.DataFrame, subset: int | str, seeds: Collection[int]) -> pd.Series:
    """Which runs are on an ablation's subset and of its seeds."""
    return (runs["subset"] == str(subset)) & runs["seed"].isin(seeds)


def controls(numbers: Numbers, dataset: str) -> pd.DataFrame:
    """The controls (``plan.control_runs``) beside student and HDKD on the same seeds and subset.

    ``gain`` is that of HDKD over each of them (:func:`_gains_of_hdkd`).
    """
    return _beside_hdkd(numbers, "HDKD", _controls(numbers, dataset))


def same_images(numbers: Numbers, dataset: str) -> pd.DataFrame:
    """HDKD whose teacher has seen the student's images only, beside what else these could train.

    ``gain`` is that of this HDKD over each of them (:func:`_gains_of_hdkd`).
    """
    parts = _controls(numbers, dataset)
    hdkd = f"HDKD, {CONTROL_NAMES['subset_teacher']}"
    others = [name for name in parts if not name.startswith("HDKD")]
    return _beside_hdkd(
        numbers, hdkd, {name: parts[name] for name in (hdkd, *others) if name in parts}
    )


def _controls(numbers: Numbers, dataset: str) -> dict[str, pd.DataFrame]:
    """The runs of HDKD, the student alone and every control, by name; empty without controls."""
    chosen = numbers.settings.controls(dataset)
    own = numbers.runs_of(dataset)
    if not chosen:
        return {}
    same = own[_matching(own, chosen.subset, chosen.seeds) & (own["group"] == "students")]
    hdkd = same[same["role"] == "hdkd"]
    found = own[(own["group"] == "ablations") & own["point"].str.fullmatch(CONTROL.pattern)]
    if found.empty or hdkd.empty:
        return {}
    parts = {"HDKD": hdkd, "Student alone": same[same["role"] == "student"]}
    for (role, point), runs in found.groupby(["role", "point"], sort=False):
        if role == "teacher" and point.startswith("teacher_seed"):
            continue
        what = CONTROL_NAMES.get(point, f"teacher of seed {point[12:]}")
        parts[f"{ROLE_NAMES[role]}, {'same images' if role == 'teacher' else what}"] = runs
    return {name: runs for name, runs in parts.items() if not runs.empty}


def _beside_hdkd(numbers: Numbers, hdkd: str, parts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row for each part, with the gain over it of the part that is named ``hdkd``."""
    compared = {name: runs for name, runs in parts.items() if name != hdkd}
    if hdkd not in parts or not compared:
        return EMPTY
    gains = _gains_of_hdkd(numbers, parts[hdkd], compared).reindex(parts)
    rows = [{"name": name, **results.cells(runs).iloc[0]} for name, runs in parts.items()]
    cells = _dropping_leaks(pd.DataFrame(rows))
    return _dropping_same_balanced(cells.assign(**gains.reset_index(drop=True)))


def _gains_of_hdkd(
    numbers: Numbers, hdkd: pd.DataFrame, over: Mapping[str, pd.DataFrame]
) -> pd.DataFrame:
    """HDKD's gains over other runs, a row for each name: ``results.with_intervals``.

    Paired by seed, and by test image where predictions are known; p values are corrected within the
    table (Holm). Unknown where no seed is shared.
    """
    rows = {
        name: results.with_intervals(results.paired(runs, hdkd, numbers.predictions))
        for name, runs in over.items()
    }
    frame = results.corrected(pd.DataFrame.from_dict(rows, orient="index"))
    if not has_leaks(pd.concat([hdkd, *over.values()])):
        frame = frame.drop(columns=[name for name in frame if name.startswith("new_")])
    return frame


def methods(numbers: Numbers, dataset: str) -> pd.DataFrame:
    """Other ways to teach the hybrid student and a plain transformer, on small subsets."""
    frame = method_table(
        numbers.settings, dataset, numbers.runs, numbers.summaries, numbers.predictions
    )
    if frame.empty or has_leaks(frame):
        return frame
    return frame.drop(columns=[name for name in frame if re.match("(hdkd_)?new_", name)])


def trials(numbers: Numbers, dataset: str) -> pd.DataFrame:
    """The settings tried on the validation images, method by method, and which are ``chosen``."""
    runs = {summary.run: summary for summary in numbers.summaries}
    planned = plan.tuning_runs(numbers.settings, dataset)
    if not all(run in runs for run in planned):
        return EMPTY
    seeds = len({run.seed for run in planned})
    rows = [
        {"role": role, "changes": changes, **means, "seeds": seeds, "chosen": k == own.best}
        for role, own in tried(numbers.settings, dataset, runs).items()
        for k, (changes, means) in enumerate(zip(own.grid, own.means, strict=True))
    ]
    return pd.DataFrame(rows)


def costs(numbers: Numbers) -> pd.DataFrame:
    """What a run of each network and subset costs; peak memory where it is known of any."""
    titles = numbers.costs["dataset"].map(lambda name: numbers.settings.dataset(name).title)
    frame = numbers.costs.assign(title=titles)
    unknown = frame["peak_memory_gib"].isna().all()
    return frame.drop(columns="peak_memory_gib") if unknown else frame
