"""The whole report of a study, from what is there of it."""

from pathlib import Path

from hdkd.config import Settings
from hdkd.report import results
from hdkd.report.drawing import write_figures
from hdkd.report.page import write_page
from hdkd.report.tables import write_tables
from hdkd.runs import evidence
from hdkd.study import plan


def write_report(settings: Settings, ledger: Path) -> None:
    """Write the tables, figures and page of a study that may lack trainings, run folders or images.

    Tables follow from the summaries in the report's folder (``evidence.refresh``); figures need run
    folders, and those of images the prepared images, and are left out without them.
    """
    folder = plan.report(settings.profile)
    known = evidence.known(settings.profile)
    summaries, _ = evidence.counting(settings, known)
    facts = evidence.facts(settings.profile)
    write_tables(settings, folder, summaries, facts)
    evidence.write(known, folder / evidence.SUMMARIES)  # also those that the parameters leave out
    here = [s for s in summaries if plan.is_finished(evidence.key_of(s).folder)]
    if here:
        for dataset in results.runs(settings, here)["dataset"].unique():
            figures = folder / "figures" / dataset
            write_figures(settings, dataset, figures, here, facts[dataset])
    write_page(settings, folder, ledger)
