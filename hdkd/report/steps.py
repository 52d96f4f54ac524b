"""The report's steps, as the commands call them: tables, the figures of a dataset, the page."""

from pathlib import Path

import pandas as pd

from hdkd.config import Settings
from hdkd.report.drawing import write_figures
from hdkd.report.page import write_page
from hdkd.report.tables import results
from hdkd.report.tables.tables import write_tables
from hdkd.runs import evidence, predictions
from hdkd.study import plan
from hdkd.tracking import study as mlflow_study


def tables(settings: Settings, folder: Path) -> list[str]:
    """Write a study's tables and evidence into ``folder``.

    Returns why predictions are left out, a sentence each. Raises ``RunError`` where a run folder is
    missing or was made with other parameters.
    """
    facts = {name: results.facts(settings, name) for name in settings.study}
    summaries = evidence.of_study(settings)
    left_out = predictions.update(summaries, folder)
    write_tables(settings, folder, summaries, facts)
    return left_out


def figures(settings: Settings, dataset: str, folder: Path) -> None:
    """Draw the figures of ``dataset`` into ``folder``. Raises ``RunError`` as :func:`tables`."""
    facts = results.facts(settings, dataset)
    write_figures(settings, dataset, folder, evidence.of_study(settings, [dataset]), facts)


def page(settings: Settings, folder: Path, ledger: Path) -> None:
    """Write the page from ``folder``'s tables and figures and the ``ledger``; MLflow gets all."""
    write_page(settings, folder, ledger)
    mlflow_study.show_report(settings, folder, sweep_metrics(settings, folder))


def deliver(settings: Settings) -> tuple[int, int, int]:
    """Give MLflow what it lacks of finished runs, of models, and of the report where there is one.

    Returns how many runs, reports and models were new or incomplete there. Raises ``RunError``
    where MLflow is out of reach.
    """
    folder = plan.report_folder(settings.profile)
    return mlflow_study.deliver(settings, folder, sweep_metrics(settings, folder))


def sweep_metrics(settings: Settings, folder: Path) -> dict[str, dict[str, float]]:
    """The headline metrics of each dataset in ``folder``'s report; none before it is written.

    Nor of a dataset that the report, which may be of another study, has not.
    """
    if not (folder / "report.html").exists():
        return {}
    shown = set(pd.read_csv(folder / "runs.csv")["dataset"])
    return {name: results.sweep_metrics(folder, name) for name in settings.study if name in shown}


def write_report(settings: Settings, ledger: Path) -> None:
    """Write the tables, figures and page of a study that may lack runs, run folders or images.

    Tables and most figures follow from the summaries in the report's folder (``evidence.refresh``);
    figures of weights and epochs need run folders, and those of images the prepared images, and are
    left out without them.
    """
    folder = plan.report_folder(settings.profile)
    known = evidence.finished_summaries(settings.profile)
    summaries, _ = evidence.with_current_parameters(settings, known)
    facts = evidence.facts(settings.profile)
    write_tables(settings, folder, summaries, facts)
    evidence.write(known, folder / evidence.SUMMARIES)  # also those that the parameters leave out
    for dataset in results.runs(settings, summaries)["dataset"].unique():
        own = [each for each in summaries if each.run.dataset == dataset]
        write_figures(settings, dataset, folder / "figures" / dataset, own, facts[dataset])
    write_page(settings, folder, ledger)
