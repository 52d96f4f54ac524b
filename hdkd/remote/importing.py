"""Runs brought home: their folders put in place; MLflow, evidence, ledger and reports refreshed."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hdkd import config
from hdkd.config import Settings
from hdkd.paper import ledger
from hdkd.remote import bundle, handover
from hdkd.report.steps import write_report
from hdkd.runs import evidence
from hdkd.study import plan
from hdkd.tracking import mirror
from hdkd.tracking.store import warn


@dataclass
class Imported:
    """The run folders that were not here before, and the finished ones among them."""

    placed: list[str] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    profiles: set[str] = field(default_factory=set)
    advice: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Refreshed:
    """Runs new to MLflow, each profile's state in a line, the ledger's headline, warnings."""

    profiles: list[str]
    registered: int
    states: list[str]
    headline: str
    warnings: list[str]


def import_runs(sources: Iterable[Path], keep: bool) -> Imported:
    """Put the run folders of ``sources``, bundles or other checkouts, in their places.

    With ``keep`` DVC versions the bundles, and the advice says what to do then. Raises ``RunError``
    where a bundle is damaged, or a run is here with other results.
    """
    imported, now = Imported(), time.time()
    for folder in sources:
        if (folder / "models").is_dir():
            imported.profiles |= {path.name for path in (folder / "models").glob("*/")}
            names = handover.gather(folder, now)
            imported.finished |= set(names)
        else:
            manifest, names = bundle.unpack_bundle(folder, now)
            imported.profiles.add(manifest["profile"])
            imported.finished |= set(names) & set(manifest["finished"])
            if keep and (advice := bundle.add_to_dvc(folder, manifest["profile"])):
                imported.advice.append(advice)
        imported.placed += names
    return imported


def refresh(params: Path, imported: Iterable[str]) -> Refreshed:
    """Refresh what follows from run folders, for those ``imported`` profiles that have results.

    ``params`` is the parameter file.
    """
    registered, warnings, states = 0, [], []
    profiles = sorted(name for name in imported if evidence.finished_summaries(name))
    for name in profiles:
        known = [summary.run.folder for summary in evidence.finished_summaries(name)]
        try:
            registered += mirror.deliver(filter(plan.is_finished, known))
        except Exception as error:  # MLflow may be out of reach, or not even installed
            warn(error)
        settings = study_of(params, name)
        warnings += evidence.refresh(name)
        handover.keep(settings)
        every = [run for dataset in settings.study for run in plan.all_runs(settings, dataset)]
        states.append(f"{name}: {len(handover.finished(settings))} of {len(every)} runs")
    table, _ = ledger.write_ledger(config.read(params), plan.LEDGER[0].parent)
    for name in profiles:
        write_report(study_of(params, name), plan.LEDGER[0])
    return Refreshed(profiles, registered, states, ledger.headline(table), warnings)


def study_of(params: Path, profile: str) -> Settings:
    """The settings of a profile's study, with every dataset that it has results of."""
    parameters = config.read(params) | {"profile": profile}
    study = config.resolve(parameters).study
    known = [summary.run.dataset for summary in evidence.finished_summaries(profile)]
    return config.resolve(parameters | {"study": list(dict.fromkeys([*study, *known]))})
