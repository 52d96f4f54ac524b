"""The tables of the report, as CSV for programs and Markdown for people."""

import textwrap
from pathlib import Path
from typing import Any

import pandas as pd

from hdkd.config import CONTROL, Settings
from hdkd.evaluation.statistics import holm
from hdkd.paper import published
from hdkd.paper.published import Network
from hdkd.report import cost, results
from hdkd.runs import evidence, predictions
from hdkd.runs.predictions import Predictions
from hdkd.study import plan
from hdkd.study.names import BLOCK_NAMES, ROLE_NAMES, family, model_name, network_name
from hdkd.training import tune

INTERVALS = (
    "Intervals are of 95 %. Where predictions.npz has the trainings, they are over seeds and test images, and gains "
    "are paired by both; elsewhere those of gains are Student's t over seeds alone, on the test images as they are. "
    "Brackets behind a metric are its interval; a metric without one has ± its sample deviation over seeds."
)
KEPT = {
    "last": "after the last epoch",
    "best_on_validation": "after the best epoch on the validation images",
}
METRICS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "auroc": "AUROC",
    "calibration_error": "Calibration error",
}
# How the ablations' changes are written; equations 6 to 8.
SYMBOLS = {"alpha": "α", "temperature": "t", "feature_weight": "λ", "targets": "teacher's labels"}


def write_tables(
    settings: Settings,
    folder: Path,
    summaries: list[dict[str, Any]],
    facts: dict[str, dict[str, Any]],
) -> None:
    """Write every table of a study into ``folder`` (see ``plan.TABLES``).

    ``summaries`` are those of its finished trainings, ``facts`` what is known of each dataset. Predictions are
    those that are there (``predictions.update``): without them intervals are over seeds alone, or there are none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    evidence.write(summaries, folder / evidence.SUMMARIES)
    known = predictions.read(folder).belonging(summaries)
    table = results.runs(settings, summaries)
    cells = results.cells(table, known)
    gains = results.gains(table, known)
    table.to_csv(folder / "runs.csv", index=False, float_format="%.6g")
    cells.to_csv(folder / "results.csv", index=False, float_format="%.6g")
    recalls = results.recalls(table, summaries, known)
    recalls.to_csv(folder / "recalls.csv", index=False, float_format="%.6g")
    gains.to_csv(folder / "gains.csv", index=False, float_format="%.6g")
    results.write_json(results.metrics_tree(table, gains), folder / "metrics.json")
    results.write_json(facts, folder / "data.json")
    costs = cost.table(settings, summaries, facts)
    costs.to_csv(folder / "cost.csv", index=False, float_format="%.6g")
    curves = folder / "accuracy"
    curves.mkdir(exist_ok=True)
    for dataset in settings.study:
        chosen = gains[gains["dataset"] == dataset]
        chosen[["training_images", "student", "hdkd"]].to_csv(
            curves / f"{dataset}.csv", index=False, float_format="%.6g"
        )
    cost_text = cost_lines(table, summaries, costs)
    text = markdown(
        settings,
        table,
        cells,
        gains,
        facts,
        cost_text,
        cost_rows(settings, costs),
        summaries,
        known,
    )
    (folder / "README.md").write_text(text, "utf-8")


def percent(mean: float, spread: float, digits: int = 2) -> str:
    """``84.31 ± 1.20`` from values in [0, 1]; no spread for a single seed, a dash where there is no value."""
    if pd.isna(mean):
        return "–"
    text = f"{100 * mean:.{digits}f}"
    return text if pd.isna(spread) else f"{text} ± {100 * spread:.{digits}f}"


def ranged(mean: float, low: float, high: float, spread: float) -> str:
    """``84.31 (81.2–87.4)`` from values in [0, 1]; where there is no interval, as :func:`percent` has it."""
    if pd.isna(low):
        return percent(mean, spread)
    return f"{100 * mean:.2f} ({100 * low:.1f}–{100 * high:.1f})"


def has_leaks(table: pd.DataFrame) -> bool:
    """Whether leaked test images are known of, so that there is an accuracy without them."""
    return bool(
        (table["new_accuracy"].notna() & (table["new_accuracy"] != table["accuracy"])).any()
    )


def accuracy(cell: Any, leaks: bool) -> dict[str, str]:
    """The accuracy of a cell, and where there are ``leaks`` that without leaked test images."""
    shown = {"Accuracy (%)": percent(cell.accuracy, cell.accuracy_sd)}
    return shown | (
        {"Without leaks (%)": percent(cell.new_accuracy, cell.new_accuracy_sd)} if leaks else {}
    )


def shown_p(value: float) -> str:
    """``0.013``, or a dash for a single seed, which has none."""
    return "–" if pd.isna(value) else f"{value:.2g}"


def signed(mean: float, spread: float) -> str:
    """``+8.35 ± 2.00`` from values in points; no spread for a single seed."""
    return f"{mean:+.2f}" + ("" if pd.isna(spread) else f" ± {spread:.2f}")


def between(low: float, high: float) -> str:
    """``+4.41 to +11.77`` from values in points; a dash for a single seed, which has no interval."""
    return "–" if pd.isna(low) else f"{low:+.2f} to {high:+.2f}"


def is_unbalanced(facts: dict[str, Any]) -> bool:
    """Whether one class has more than half of the test images, so that accuracy is mostly about that class."""
    tests = [count["test"] for count in facts["counts"].values()]
    return max(tests) > sum(tests) / 2


def disagreement(gain: dict[str, Any]) -> str:
    """What a gain in accuracy and one in balanced accuracy say differently, in a sentence; empty if nothing.

    They differ where the interval of their difference, seed by seed, excludes zero. A single seed has none.
    """
    opposite = gain["gain"] * gain["balanced_gain"] < 0
    if pd.isna(gain["apart_low"]):
        return "One of the two rises and the other falls, with this seed." if opposite else ""
    if gain["apart_low"] <= 0 <= gain["apart_high"]:
        return ""
    if opposite:
        return "Accuracy and balanced accuracy disagree: what is gained depends on the class."
    return f"The two differ by {abs(gain['apart']):.1f} points: how much is gained depends on the class."


def sweep_rows(
    settings: Settings, dataset: str, table: pd.DataFrame, gains: pd.DataFrame
) -> list[dict[str, str]]:
    """Accuracy by subset, with and without distillation, and the gain (Tables 3 and 4).

    ``table`` is that of all trainings, ``gains`` that of all gains.
    """
    students = table[(table["dataset"] == dataset) & (table["group"] == "students")]
    both = students.groupby(["subset", "seed"])["role"].transform("nunique") == 2
    cells = results.cells(students[both])
    gains = gains[gains["dataset"] == dataset]
    # Where every class has as many test images, both accuracies are the same.
    equal_classes = (gains["gain"] - gains["balanced_gain"]).abs().max() < 1e-3
    rows = []
    for gain in gains.itertuples():
        cell = cells[cells["subset"] == gain.subset].set_index("role")
        row = {"Training images": f"{gain.training_images}", "Epochs": f"{cell.epochs['hdkd']}"}
        for role in ("student", "hdkd"):
            row[ROLE_NAMES[role]] = percent(cell.accuracy[role], cell.accuracy_sd[role])
        row["Gain (points)"] = signed(gain.gain, gain.gain_sd)
        row["95 % interval"] = between(gain.gain_low, gain.gain_high)
        row["p (Holm)"] = shown_p(gain.p_value)
        row["Smallest to be seen"] = "–" if pd.isna(gain.smallest) else f"{gain.smallest:.2f}"
        if not equal_classes:
            row["Balanced gain (points)"] = f"{gain.balanced_gain:+.2f}"
            row["Its 95 % interval"] = between(gain.balanced_low, gain.balanced_high)
        row["Seeds"] = f"{gain.seeds}"
        for role in ("student", "hdkd"):
            row[f"{ROLE_NAMES[role]}, best epoch"] = percent(
                cell.best_epoch_accuracy[role], cell.best_epoch_accuracy_sd[role]
            )
        if settings.profile == published.COMPARABLE_PROFILE:
            value = published.gain(dataset, gain.subset)
            row["Published gain"] = "–" if value is None else f"{value:+.2f}"
        rows.append(row)
    tested = any(row[name] != "–" for row in rows for name in row if name.endswith("best epoch"))
    return [
        {name: text for name, text in row.items() if tested or not name.endswith("best epoch")}
        for row in rows
    ]


def metric_rows(dataset: str, cells: pd.DataFrame) -> list[dict[str, str]]:
    """Every metric of every cell of the sweep; ``cells`` are those of all trainings."""
    swept = cells["group"].isin(["teacher", "students"])
    chosen = cells[(cells["dataset"] == dataset) & swept]
    leaks = not (
        chosen["new_accuracy"].isna() | (chosen["new_accuracy"] == chosen["accuracy"])
    ).all()
    return [
        {
            "Model": ROLE_NAMES[cell["role"]],
            "Training images": f"{cell['training_images']}",
            "Seeds": f"{cell['seeds']}",
        }
        | {
            f"{title} (%)": ranged(
                cell[name], cell[f"{name}_low"], cell[f"{name}_high"], cell[f"{name}_sd"]
            )
            for name, title in METRICS.items()
        }
        | new_column(cell, leaks)
        for cell in chosen.to_dict("records")
    ]


def new_column(cell: dict[str, Any], leaks: bool) -> dict[str, str]:
    """Accuracies without leaked test images, where there are ``leaks``."""
    if not leaks:
        return {}
    return {
        f"{title} without leaks (%)": ranged(
            *(cell[name + end] for end in ("", "_low", "_high", "_sd"))
        )
        for name, title in (("new_accuracy", "Accuracy"), ("new_balanced", "Balanced accuracy"))
    }


def new_rows(dataset: str, table: pd.DataFrame, gains: pd.DataFrame) -> list[dict[str, str]]:
    """The sweep on the test images that are not leaked; empty where all are new, or nothing is known of that."""
    students = table[(table["dataset"] == dataset) & (table["group"] == "students")]
    if not has_leaks(students):
        return []
    cells = results.cells(students)
    rows = []
    for gain in gains[gains["dataset"] == dataset].itertuples():
        cell = cells[cells["subset"] == gain.subset].set_index("role")
        row = {"Training images": f"{gain.training_images}"}
        for role in ("student", "hdkd"):
            row[ROLE_NAMES[role]] = percent(cell.new_accuracy[role], cell.new_accuracy_sd[role])
        row["Gain (points)"] = f"{gain.new_gain:+.2f}"
        row["95 % interval"] = between(gain.new_low, gain.new_high)
        row["Balanced gain (points)"] = f"{gain.new_balanced_gain:+.2f}"
        row["Its 95 % interval"] = between(gain.new_balanced_low, gain.new_balanced_high)
        rows.append(row | {"Seeds": f"{gain.seeds}"})
    return rows


def published_accuracy(settings: Settings, dataset: str, cell: Any) -> dict[str, str]:
    """The paper's column beside a cell, in the one profile that may be compared with it."""
    if settings.profile != published.COMPARABLE_PROFILE:
        return {}
    value = published.accuracy(dataset, Network(cell.role, cell.block, cell.stem_stride))
    return {"Published (%)": "–" if value is None else f"{value:.2f}"}


def ablation_rows(settings: Settings, dataset: str, table: pd.DataFrame) -> list[dict[str, str]]:
    """Block and stem stride (Tables 6 and 7), the default first, on the same seeds and subset."""
    ablations = settings.parameters.ablations
    own = table[table["dataset"] == dataset]
    reference = own[
        (own["group"] == "teacher")
        | (
            (own["group"] == "students")
            & (own["subset"] == str(ablations.subset))
            & own["seed"].isin(ablations.seeds)
        )
    ]
    variants = own[(own["group"] == "ablations") & (own["point"] == "")]
    if variants.empty:
        return []
    chosen = results.cells(pd.concat([reference, variants]))
    order = {role: k for k, role in enumerate(ROLE_NAMES)}
    chosen = chosen.sort_values("role", key=lambda roles: roles.map(order), kind="stable")
    rows = []
    for cell in chosen.itertuples():
        row = {
            "Model": ROLE_NAMES[cell.role],
            "Block": BLOCK_NAMES[cell.block],
            "Stem stride": f"{cell.stem_stride}",
            "Training images": f"{cell.training_images}",
            "Parameters": f"{cell.parameters:,}",
            "MACs (M)": f"{cell.macs / 1e6:.2f}",
            **accuracy(cell, has_leaks(chosen)),
            "Seeds": f"{cell.seeds}",
        }
        rows.append(row | published_accuracy(settings, dataset, cell))
    return rows


def distillation_rows(
    settings: Settings, dataset: str, table: pd.DataFrame
) -> list[dict[str, str]]:
    """HDKD with one part of its distillation changed, on the same seeds and subset.

    Differences are to HDKD as it is, in points of accuracy, paired by seed.
    """
    points = distillation_points(settings, dataset, table)
    if points.empty:
        return []
    rows = []
    for name, runs in points.groupby("name", sort=False):
        row = {"Distillation": name, "Changed": runs["change"].iloc[0]}
        row["Accuracy (%)"] = percent(runs["accuracy"].mean(), runs["accuracy"].std())
        gap = runs["difference"]
        row["To HDKD (points)"] = (
            "–" if name == ROLE_NAMES["hdkd"] else signed(gap.mean(), gap.std())
        )
        row["Seeds"] = f"{len(runs)}"
        rows.append(row)
    return rows


def distillation_points(settings: Settings, dataset: str, table: pd.DataFrame) -> pd.DataFrame:
    """The trainings behind :func:`distillation_rows`: name, change, seed, accuracy, difference.

    Empty where no distillation was changed.
    """
    points = settings.points(dataset)
    if not points:
        return pd.DataFrame()
    chosen, default = settings.parameters.ablations.distillation, settings.distillation()
    same = (table["subset"] == str(chosen.subset)) & table["seed"].isin(chosen.seeds)
    own = table[(table["dataset"] == dataset) & same]
    students = own[own["group"] == "students"]
    hdkd = students[students["role"] == "hdkd"]
    if hdkd.empty or (own["point"] == "").all():
        return pd.DataFrame()
    reference = hdkd.set_index("seed")["accuracy"]
    as_it_is = ", ".join(f"{symbol} = {getattr(default, key)}" for key, symbol in SYMBOLS.items())
    parts = [(ROLE_NAMES["student"], "no teacher", students[students["role"] == "student"])]
    parts.append((ROLE_NAMES["hdkd"], as_it_is, hdkd))
    for point, changes in points.items():
        change = ", ".join(f"{SYMBOLS.get(key, key)} = {value}" for key, value in changes.items())
        parts.append((point.replace("_", " "), change, own[own["point"] == point]))
    frames = []
    for name, change, runs in parts:
        frame = runs[["seed", "accuracy"]].assign(name=name, change=change)
        frame["difference"] = 100 * (frame["accuracy"] - frame["seed"].map(reference))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


CONTROLS = {
    "subset_teacher": "teacher of the same images",
    "same_steps": "as many steps",
    "same_macs": "as many MACs",
}


def control_rows(
    settings: Settings, dataset: str, table: pd.DataFrame, known: Predictions
) -> list[dict[str, str]]:
    """The control experiments beside student and HDKD on the same seeds and subset (``plan.control_runs``).

    HDKD's gain is that of HDKD over each of them, paired by seed, and by test image where predictions are
    ``known``; p values are corrected within the table (Holm).
    """
    controls = settings.controls(dataset)
    if not controls:
        return []
    own = table[table["dataset"] == dataset]
    same = (own["subset"] == str(controls.subset)) & own["seed"].isin(controls.seeds)
    sweep = own[same & (own["group"] == "students")]
    beside = own[
        (own["group"] == "ablations") & own["point"].map(lambda p: bool(CONTROL.fullmatch(p)))
    ]
    hdkd = sweep[sweep["role"] == "hdkd"]
    if beside.empty or hdkd.empty:
        return []
    parts = [("HDKD", hdkd), ("Student alone", sweep[sweep["role"] == "student"])]
    for (role, point), runs in beside.groupby(["role", "point"], sort=False):
        if role == "teacher" and point.startswith("teacher_seed"):
            continue
        what = CONTROLS.get(point, f"teacher of seed {point[12:]}")
        if role == "teacher":
            what = "same images"
        parts.append((f"{ROLE_NAMES[role]}, {what}", runs))
    found = {
        name: results.paired(runs, hdkd, known)
        for name, runs in parts[1:]
        if set(runs["seed"]) & set(hdkd["seed"])
    }
    p_values = holm([each["gain"].p_value for each in found.values()])
    corrected = dict(zip(found, p_values, strict=True))
    leaks = has_leaks(pd.concat([runs for _, runs in parts]))
    rows = []
    for name, runs in parts:
        if runs.empty:
            continue
        cell = results.cells(runs).iloc[0]
        row = {"Model": name, "Epochs": f"{cell.epochs}", **accuracy(cell, leaks)}
        gain = found.get(name)
        row["HDKD's gain"] = f"{gain['gain'].mean:+.2f}" if gain else "–"
        row["95 % interval"] = between(*gain["gain"].interval) if gain else "–"
        row["p (Holm)"] = shown_p(corrected[name]) if gain else "–"
        if leaks:
            row["Gain without leaks"] = f"{gain['new_gain'].mean:+.2f}" if gain else "–"
            row["Its 95 % interval"] = between(*gain["new_gain"].interval) if gain else "–"
        rows.append(row | {"Seeds": f"{len(runs)}"})
    return rows


CONTROLS_EXPLAINED = (
    "What the paper's comparison leaves open, on the same images and seeds: whether HDKD gains because its teacher has "
    "seen more images (“same images”: a teacher that has not), or because it and its teacher were trained longer "
    "(“as many steps”, “as many MACs”: the student alone, given as many steps or multiply-accumulates as HDKD and its "
    "share of the teacher, whose cost the HDKDs of the sweep share), and how much it matters which teacher it has. "
    "“HDKD's gain” is over the row's model, in points."
)


def trial_rows(
    settings: Settings, dataset: str, summaries: list[dict[str, Any]]
) -> list[dict[str, str]]:
    """The settings that were tried on the validation images, method by method; the chosen ones are marked."""
    tuning = settings.tuning(dataset)
    runs = {evidence.key_of(summary): summary for summary in summaries}
    planned = plan.tuning_runs(settings, dataset)
    if not tuning or not all(run in runs for run in planned):
        return []
    rows = []
    for role in dict.fromkeys(run.role for run in planned):
        validations = [
            [
                runs[run]["validation"]
                for run in planned
                if (run.role, run.point) == (role, f"trial{k}")
            ]
            for k in range(len(tuning.grid))
        ]
        means, best = tune.best(validations)
        for k, changes in enumerate(tuning.grid):
            rows.append(
                {
                    "Method": model_name(role),
                    "Settings": ", ".join(f"{name} {value}" for name, value in changes.items()),
                    "Validation balanced accuracy (%)": f"{100 * means[k]['balanced_accuracy']:.2f}",
                    "Validation loss": f"{means[k]['loss']:.4f}",
                    "Seeds": f"{len(validations[k])}",
                    "Chosen": "yes" if k == best else "",
                }
            )
    return rows


def rival_cells(dataset: str, table: pd.DataFrame) -> pd.DataFrame:
    """Teacher, student, HDKD and the rivals after training on all images (Table 5).

    Empty without rivals.
    """
    own = table[(table["dataset"] == dataset) & (table["subset"] == "all")]
    if not (own["group"] == "baselines").any():
        return pd.DataFrame()
    cells = results.cells(own[own["group"] != "ablations"])
    order = [*plan.BASELINES, *ROLE_NAMES]
    return cells.sort_values("role", key=lambda roles: roles.map(order.index), ignore_index=True)


def leaks_sentence(facts: dict[str, Any]) -> str:
    """How many test images are leaked, and what the others are of; empty where none is, or it is not known."""
    leaked = facts.get("leaked_test_images")
    if not leaked:
        return ""
    tests = sum(count["test"] for count in facts["counts"].values())
    left = ", ".join(f"{count} {name}" for name, count in facts["new_test_images"].items())
    return (
        f"{leaked} of the {tests} test images have a copy, a near-copy (mirrored or turned, too) or another image of "
        f"their lesion in another part, which flatters accuracies. The others: {left}."
    )


def guessing(facts: dict[str, Any]) -> str:
    """What a model reaches that has learned nothing but the most frequent class, on all test images and on new ones."""
    tests = {name: count["test"] for name, count in facts["counts"].items()}
    name, share = _largest(tests)
    text = f"Always answering {name} is right for {share:.2f} % of the test images, balanced {100 / len(tests):.2f} %"
    if facts.get("leaked_test_images") and sum(facts["new_test_images"].values()):
        name, share = _largest(facts["new_test_images"])
        text += f"; always answering {name} for {share:.2f} % of those without leaks"
    return f"{text}."


def _largest(counts: dict[str, int]) -> tuple[str, float]:
    """The largest class, and its share in percent."""
    name = max(counts, key=counts.get)
    return name, 100 * counts[name] / sum(counts.values())


def rival_rows(settings: Settings, dataset: str, table: pd.DataFrame) -> list[dict[str, str]]:
    """The counterpart of Table 5: each model trained from scratch on all images."""
    rows = []
    cells = rival_cells(dataset, table)
    for cell in cells.itertuples():
        row = {
            "Model": model_name(cell.role),
            "Family": family(cell.role),
            "Parameters": f"{cell.parameters:,}",
            "MACs (M)": f"{cell.macs / 1e6:.2f}",
            "Epochs": f"{cell.epochs}",
            **accuracy(cell, has_leaks(cells)),
            "Best epoch (%)": percent(cell.best_epoch_accuracy, cell.best_epoch_accuracy_sd),
            "Balanced (%)": percent(cell.balanced_accuracy, cell.balanced_accuracy_sd),
            "Seeds": f"{cell.seeds}",
            "Minutes": f"{cell.duration_seconds / 60:.1f}",
        }
        rows.append(row | published_accuracy(settings, dataset, cell))
    return rows


def begun(settings: Settings, table: pd.DataFrame) -> list[str]:
    """The datasets of a study that have a finished training."""
    return [dataset for dataset in settings.study if (table["dataset"] == dataset).any()]


def unfinished(settings: Settings, table: pd.DataFrame) -> str:
    """What a study that is not whole lacks, in a sentence; empty for a whole one."""
    planned = sum(
        run.group != "tuning" for name in settings.study for run in plan.all_runs(settings, name)
    )
    if len(table) == planned:
        return ""
    return f"This study is not finished: {len(table)} of its {planned} trainings are here."


def span(hours: float) -> str:
    """``6.1 hours``, or minutes where that is less than one."""
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"


def cost_lines(
    table: pd.DataFrame, summaries: list[dict[str, Any]], costs: pd.DataFrame
) -> list[str]:
    """What the study has cost so far, and what is left of it, one sentence each."""
    keys = {evidence.key_of(summary): summary for summary in summaries}
    trials = [key for key in keys if key.group == "tuning"]
    of_study = [
        s
        for k, s in keys.items()
        if k.group == "tuning" or k.folder.as_posix() in set(table["run"])
    ]
    hours = sum(s["provenance"]["duration_seconds"] for s in of_study) / 3600
    among = f", {len(trials)} of them to choose settings," if trials else ""
    lines = [f"{len(of_study)} trainings{among} took {span(hours)}, each counted by itself."]
    for device, busy in cost.device_hours(of_study).items():
        name = "the CPU" if device == "cpu" else f"one {device}"
        lines.append(f"Those side by side counted once, {name} was busy for {span(busy)}.")
    missing = (costs["trainings"] - costs["finished"]).sum()
    if missing:
        left = cost.hours_left(costs)
        about = "nobody knows yet how long they take" if pd.isna(left) else f"about {span(left)}"
        lines.append(
            f"{missing} trainings are missing: {about}, by their work and the rates so far."
        )
    lines.append("Images per second are training images, over all of a training with its tests.")
    return lines


def cost_rows(settings: Settings, costs: pd.DataFrame) -> list[dict[str, str]]:
    """Images per second, minutes and memory of a training of each network and subset; ≈ is an estimate."""
    rows = []
    for cell in costs.itertuples():
        about = "≈ " if cell.estimated else ""
        unknown = pd.isna(cell.minutes)
        row = {
            "Dataset": settings.dataset(cell.dataset).title,
            "Model": ", ".join(
                filter(None, [network_name(cell.role, cell.block, cell.stem_stride), cell.control])
            ),
            "Training images": cell.subset,
            "Trainings": f"{cell.finished} of {cell.trainings}",
            "Images per second": "–" if unknown else f"{about}{cell.images_per_second:.0f}",
            "Minutes each": "–" if unknown else f"{about}{cell.minutes:.1f}",
        }
        if costs["peak_memory_gib"].notna().any():
            known = pd.notna(cell.peak_memory_gib)
            row["Peak memory (GiB)"] = f"{cell.peak_memory_gib:.1f}" if known else "–"
        rows.append(row | {"Device": cell.device or "–"})
    return rows


def markdown(
    settings: Settings,
    table: pd.DataFrame,
    cells: pd.DataFrame,
    gains: pd.DataFrame,
    datasets: dict[str, dict[str, Any]],
    cost_text: list[str],
    cost_table: list[dict[str, str]],
    summaries: list[dict[str, Any]],
    known: Predictions,
) -> str:
    """All tables on one page of Markdown."""
    lines = [
        f"# Results, profile {settings.profile}",
        "",
        "Written by `hdkd tables` from the run folders listed in `runs.csv`. Accuracies are test",
        f"accuracies in percent {KEPT[settings.parameters.student.keep]}, mean ± sample deviation over seeds. In balanced",
        "accuracy every class weighs the same. “Best epoch” is the protocol of the released implementation: it",
        "chooses the epoch on the test set, and has a value only where every epoch was tested.",
        "",
        "Gains are paired by seed; p is corrected within a table (Holm). “Smallest to be seen” is the true gain",
        "that the design would tell from zero in 80 % of cases, before correction.",
        "",
        *textwrap.wrap(INTERVALS, 110),
    ]
    if lack := unfinished(settings, table):
        lines += ["", f"**{lack}**"]
    for dataset in begun(settings, table):
        facts = datasets[dataset]
        lines += ["", f"## {facts['title']}", ""]
        if facts["synthetic"]:
            lines += ["**Generated images: these numbers say nothing about medicine.**", ""]
        lines.append(
            f"{facts['images']} images at {facts['size']}×{facts['size']} pixels ({facts['colour']})."
        )
        if sentence := leaks_sentence(facts):
            lines += ["", f"**{sentence}**"]
            if not has_leaks(table[table["dataset"] == dataset]):
                lines += ["What is reached without them is not known: predictions were not kept."]
        if rows := sweep_rows(settings, dataset, table, gains):
            lines += ["", *_markdown_table(rows), "", guessing(facts)]
        for title, rows in {
            "Without leaked test images": new_rows(dataset, table, gains),
            "All metrics": metric_rows(dataset, cells),
            "Block and stem stride": ablation_rows(settings, dataset, table),
            "Distillation, part by part": distillation_rows(settings, dataset, table),
            "Controls": control_rows(settings, dataset, table, known),
            "Settings tried on the validation images": trial_rows(settings, dataset, summaries),
            "Rivals": rival_rows(settings, dataset, table),
        }.items():
            if rows:
                lines += ["", f"### {title}", ""]
                if title == "Controls":
                    lines += [*textwrap.wrap(CONTROLS_EXPLAINED, 110), ""]
                lines += _markdown_table(rows)
    lines += ["", "## What it cost", "", *cost_text, "", *_markdown_table(cost_table)]
    return "\n".join([*lines, ""])


def _markdown_table(rows: list[dict[str, str]]) -> list[str]:
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True).splitlines()
