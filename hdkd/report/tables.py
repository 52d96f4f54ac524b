"""The tables of the report, as CSV for programs and Markdown for people."""

from pathlib import Path
from typing import Any

import pandas as pd

from hdkd import plan
from hdkd.config import Settings
from hdkd.evaluation import evidence, published
from hdkd.evaluation.published import Network
from hdkd.names import BLOCK_NAMES, ROLE_NAMES, family, model_name
from hdkd.report import results

# How the ablations' changes are written; equations 6 to 8.
SYMBOLS = {"alpha": "α", "temperature": "t", "feature_weight": "λ", "targets": "teacher's labels"}


def write_tables(
    settings: Settings,
    folder: Path,
    summaries: list[dict[str, Any]],
    facts: dict[str, dict[str, Any]],
) -> None:
    """Write every table of a study into ``folder`` (see ``plan.TABLES``).

    ``summaries`` are those of its trainings, ``facts`` what is known of each dataset.
    """
    folder.mkdir(parents=True, exist_ok=True)
    evidence.write(summaries, folder / evidence.SUMMARIES)
    table = results.runs(settings, summaries)
    gains = results.gains(table)
    table.to_csv(folder / "runs.csv", index=False, float_format="%.6g")
    results.cells(table).to_csv(folder / "results.csv", index=False, float_format="%.6g")
    gains.to_csv(folder / "gains.csv", index=False, float_format="%.6g")
    results.write_json(results.metrics_tree(table, gains), folder / "metrics.json")
    results.write_json(facts, folder / "data.json")
    curves = folder / "accuracy"
    curves.mkdir(exist_ok=True)
    for dataset in settings.study:
        chosen = gains[gains["dataset"] == dataset]
        chosen[["training_images", "student", "hdkd"]].to_csv(
            curves / f"{dataset}.csv", index=False, float_format="%.6g"
        )
    (folder / "README.md").write_text(markdown(settings, table, facts), "utf-8")


def percent(mean: float, spread: float, digits: int = 2) -> str:
    """``84.31 ± 1.20`` from values in [0, 1]; no spread for a single seed."""
    text = f"{100 * mean:.{digits}f}"
    return text if pd.isna(spread) else f"{text} ± {100 * spread:.{digits}f}"


def signed(mean: float, spread: float) -> str:
    """``+8.35 ± 2.00`` from values in points; no spread for a single seed."""
    return f"{mean:+.2f}" + ("" if pd.isna(spread) else f" ± {spread:.2f}")


def sweep_rows(settings: Settings, dataset: str, table: pd.DataFrame) -> list[dict[str, str]]:
    """Accuracy by subset, with and without distillation, and the gain (Tables 3 and 4)."""
    cells = results.cells(table[(table["dataset"] == dataset) & (table["group"] == "students")])
    gains = results.gains(table[table["dataset"] == dataset])
    rows = []
    for gain in gains.itertuples():
        cell = cells[cells["subset"] == gain.subset].set_index("role")
        row = {"Training images": f"{gain.training_images}", "Epochs": f"{cell.epochs['hdkd']}"}
        for role in ("student", "hdkd"):
            row[ROLE_NAMES[role]] = percent(cell.accuracy[role], cell.accuracy_sd[role])
        row["Gain (points)"] = signed(gain.gain, gain.gain_sd)
        row["Seeds won"] = f"{gain.wins} of {gain.seeds}"
        for role in ("student", "hdkd"):
            row[f"{ROLE_NAMES[role]}, best epoch"] = percent(
                cell.best_epoch_accuracy[role], cell.best_epoch_accuracy_sd[role]
            )
        if settings.profile == published.COMPARABLE_PROFILE:
            value = published.gain(dataset, gain.subset)
            row["Published gain"] = "–" if value is None else f"{value:+.2f}"
        rows.append(row)
    return rows


def metric_rows(dataset: str, table: pd.DataFrame) -> list[dict[str, str]]:
    """Every metric of every cell of the sweep."""
    swept = table["group"].isin(["teacher", "students"])
    chosen = table[(table["dataset"] == dataset) & swept]
    return [
        {
            "Model": ROLE_NAMES[cell.role],
            "Training images": f"{cell.training_images}",
            "Seeds": f"{cell.seeds}",
            "Accuracy (%)": percent(cell.accuracy, cell.accuracy_sd),
            "Balanced accuracy (%)": percent(cell.balanced_accuracy, cell.balanced_accuracy_sd),
            "Macro F1 (%)": percent(cell.macro_f1, cell.macro_f1_sd),
            "AUROC (%)": percent(cell.auroc, cell.auroc_sd),
            "Calibration error (%)": percent(cell.calibration_error, cell.calibration_error_sd),
        }
        for cell in results.cells(chosen).itertuples()
    ]


def published_accuracy(settings: Settings, dataset: str, cell: Any) -> dict[str, str]:
    """The paper's column beside a cell, in the one profile that may be compared with it."""
    if settings.profile != published.COMPARABLE_PROFILE:
        return {}
    value = published.accuracy(dataset, Network(cell.role, cell.block, cell.stem_stride))
    return {"Published (%)": "–" if value is None else f"{value:.2f}"}


def ablation_rows(settings: Settings, dataset: str, table: pd.DataFrame) -> list[dict[str, str]]:
    """Block and stem stride (Tables 6 and 7), the default first, on the same seeds and subset."""
    ablations = settings.raw["ablations"]
    own = table[table["dataset"] == dataset]
    reference = own[
        (own["group"] == "teacher")
        | (
            (own["group"] == "students")
            & (own["subset"] == str(ablations["subset"]))
            & own["seed"].isin(ablations["seeds"])
        )
    ]
    variants = own[(own["group"] == "ablations") & (own["point"] == "")]
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
            "Accuracy (%)": percent(cell.accuracy, cell.accuracy_sd),
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
    """The trainings behind :func:`distillation_rows`: name, change, seed, accuracy, difference."""
    points = settings.points(dataset)
    if not points:
        return pd.DataFrame()
    chosen = settings.raw["ablations"]["distillation"]
    default = settings.raw["distillation"]
    same = (table["subset"] == str(chosen["subset"])) & table["seed"].isin(chosen["seeds"])
    own = table[(table["dataset"] == dataset) & same]
    students = own[own["group"] == "students"]
    hdkd = students[students["role"] == "hdkd"]
    reference = hdkd.set_index("seed")["accuracy"]
    as_it_is = ", ".join(f"{symbol} = {default[key]}" for key, symbol in SYMBOLS.items())
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


def rival_cells(settings: Settings, dataset: str, table: pd.DataFrame) -> pd.DataFrame:
    """Teacher, student, HDKD and the rivals after training on all images (Table 5)."""
    if not settings.raw["baselines"]["models"]:
        return pd.DataFrame()
    own = table[(table["dataset"] == dataset) & (table["subset"] == "all")]
    cells = results.cells(own[own["group"] != "ablations"])
    order = [*plan.BASELINES, *ROLE_NAMES]
    return cells.sort_values("role", key=lambda roles: roles.map(order.index), ignore_index=True)


def guessing(facts: dict[str, Any]) -> str:
    """What a model reaches that has learned nothing but the most frequent class."""
    tests = {name: count["test"] for name, count in facts["counts"].items()}
    name = max(tests, key=tests.get)
    share = 100 * tests[name] / sum(tests.values())
    return f"Always answering {name} is right for {share:.2f} % of the test images."


def rival_rows(settings: Settings, dataset: str, table: pd.DataFrame) -> list[dict[str, str]]:
    """The counterpart of Table 5: each model trained from scratch on all images."""
    rows = []
    for cell in rival_cells(settings, dataset, table).itertuples():
        row = {
            "Model": model_name(cell.role),
            "Family": family(cell.role),
            "Parameters": f"{cell.parameters:,}",
            "MACs (M)": f"{cell.macs / 1e6:.2f}",
            "Epochs": f"{cell.epochs}",
            "Accuracy (%)": percent(cell.accuracy, cell.accuracy_sd),
            "Best epoch (%)": percent(cell.best_epoch_accuracy, cell.best_epoch_accuracy_sd),
            "Balanced (%)": percent(cell.balanced_accuracy, cell.balanced_accuracy_sd),
            "Seeds": f"{cell.seeds}",
            "Minutes": f"{cell.duration_seconds / 60:.1f}",
        }
        rows.append(row | published_accuracy(settings, dataset, cell))
    return rows


def markdown(settings: Settings, table: pd.DataFrame, datasets: dict[str, dict[str, Any]]) -> str:
    """All tables on one page of Markdown."""
    lines = [
        f"# Results, profile {settings.profile}",
        "",
        "Written by `hdkd tables` from the run folders listed in `runs.csv`. Accuracies are test",
        "accuracies in percent after the last epoch, mean ± sample deviation over seeds. “Best epoch”",
        "is the protocol of the released implementation: it chooses the epoch on the test set.",
    ]
    for dataset in settings.study:
        facts = datasets[dataset]
        lines += ["", f"## {facts['title']}", ""]
        if facts["synthetic"]:
            lines += ["**Generated images: these numbers say nothing about medicine.**", ""]
        lines += [
            f"{facts['images']} images at {facts['size']}×{facts['size']} pixels ({facts['colour']}).",
            "",
            *_markdown_table(sweep_rows(settings, dataset, table)),
            "",
            "### All metrics",
            "",
            *_markdown_table(metric_rows(dataset, table)),
        ]
        for title, rows in {
            "Block and stem stride": ablation_rows(settings, dataset, table),
            "Distillation, part by part": distillation_rows(settings, dataset, table),
            "Rivals": rival_rows(settings, dataset, table),
        }.items():
            if rows:
                lines += ["", f"### {title}", "", *_markdown_table(rows)]
            if rows and title == "Rivals":
                lines += ["", guessing(facts)]
    return "\n".join([*lines, ""])


def _markdown_table(rows: list[dict[str, str]]) -> list[str]:
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True).splitlines()
