"""The tables of the report, as CSV for programs and Markdown for people."""

from pathlib import Path

import pandas as pd

from hdkd.config import Settings
from hdkd.evaluation import published
from hdkd.models import build
from hdkd.models.complexity import complexity
from hdkd.report import results

ROLE_NAMES = {"teacher": "Teacher", "student": "Student alone", "hdkd": "HDKD"}
BLOCK_NAMES = {"mbcsa": "MBCSA", "mbconv": "MBConv"}


def write_tables(settings: Settings, folder: Path) -> None:
    """Write every table of a study into ``folder`` (see ``plan.TABLES``)."""
    folder.mkdir(parents=True, exist_ok=True)
    table = results.runs(settings)
    gains = results.gains(table)
    table.to_csv(folder / "runs.csv", index=False, float_format="%.6g")
    results.cells(table).to_csv(folder / "results.csv", index=False, float_format="%.6g")
    gains.to_csv(folder / "gains.csv", index=False, float_format="%.6g")
    sizes = paper_complexity()
    sizes.to_csv(folder / "complexity.csv", index=False)
    results.write_json(results.metrics_tree(table, gains), folder / "metrics.json")
    results.write_json(
        {d: results.facts(settings, d) for d in settings.study}, folder / "data.json"
    )
    curves = folder / "accuracy"
    curves.mkdir(exist_ok=True)
    for dataset in settings.study:
        chosen = gains[gains["dataset"] == dataset]
        chosen[["training_images", "student", "hdkd"]].to_csv(
            curves / f"{dataset}.csv", index=False, float_format="%.6g"
        )
    (folder / "README.md").write_text(markdown(settings, table, gains, sizes), "utf-8")


def paper_complexity() -> pd.DataFrame:
    """The paper's networks, counted at 224×224 pixels and 7 classes, beside Tables 1, 2, 6 and 7."""
    rows = []
    for entry in published.published()["complexity"]:
        model = build(entry["role"], block=entry["block"], stem_stride=entry["stem_stride"])
        size = complexity(model, 224)
        rows.append(
            {
                "role": entry["role"],
                "block": entry["block"],
                "stem_stride": entry["stem_stride"],
                "parameters": size.parameters,
                "macs": size.macs,
                "published_table": entry["table"],
                "published_parameters_millions": entry["parameters"],
                "published_macs_billions": entry["macs"],
            }
        )
    return pd.DataFrame(rows)


def percent(mean: float, spread: float, digits: int = 2) -> str:
    """``84.31 ± 1.20`` from values in [0, 1]; no spread for a single seed."""
    text = f"{100 * mean:.{digits}f}"
    return text if pd.isna(spread) else f"{text} ± {100 * spread:.{digits}f}"


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
        row["Gain (points)"] = f"{gain.gain:+.2f}" + (
            "" if pd.isna(gain.gain_sd) else f" ± {gain.gain_sd:.2f}"
        )
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
    chosen = table[(table["dataset"] == dataset) & (table["group"] != "ablations")]
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
    chosen = results.cells(pd.concat([reference, own[own["group"] == "ablations"]]))
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
        if settings.profile == published.COMPARABLE_PROFILE:
            value = published.accuracy(dataset, cell.role, cell.block, cell.stem_stride)
            row["Published (%)"] = "–" if value is None else f"{value:.2f}"
        rows.append(row)
    return rows


def complexity_rows(sizes: pd.DataFrame) -> list[dict[str, str]]:
    """Parameters and multiply-accumulates of the paper's networks, measured and published."""
    return [
        {
            "Model": ROLE_NAMES[row.role],
            "Block": BLOCK_NAMES[row.block],
            "Stem stride": f"{row.stem_stride}",
            "Parameters (M)": f"{row.parameters / 1e6:.4f}",
            "Published": f"{row.published_parameters_millions:.2f}",
            "MACs (G)": f"{row.macs / 1e9:.4f}",
            "Published MACs": f"{row.published_macs_billions:g}",
            "Paper's table": row.published_table,
        }
        for row in sizes.itertuples()
    ]


def markdown(
    settings: Settings, table: pd.DataFrame, gains: pd.DataFrame, sizes: pd.DataFrame
) -> str:
    """All tables on one page of Markdown."""
    lines = [
        f"# Results, profile {settings.profile}",
        "",
        "Written by `hdkd tables` from the run folders listed in `runs.csv`. Accuracies are test",
        "accuracies in percent after the last epoch, mean ± sample deviation over seeds. “Best epoch”",
        "is the protocol of the released implementation: it chooses the epoch on the test set.",
    ]
    for dataset in settings.study:
        facts = results.facts(settings, dataset)
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
            "",
            "### Block and stem stride",
            "",
            *_markdown_table(ablation_rows(settings, dataset, table)),
        ]
    lines += ["", "## The paper's networks at 224×224 pixels, 7 classes", ""]
    return "\n".join([*lines, *_markdown_table(complexity_rows(sizes)), ""])


def _markdown_table(rows: list[dict[str, str]]) -> list[str]:
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True).splitlines()
