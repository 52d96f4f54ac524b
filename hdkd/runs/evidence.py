"""Run summaries as evidence: collected from run folders, kept as text beside their tables.

``reports/<profile>/summaries.jsonl`` has the summary of every run of a study, one per line. It
is small enough to be committed, so that every clone can check the tables without the weights.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from hdkd.config import Settings, methods
from hdkd.errors import ParameterError, RunError, first_few
from hdkd.files import replacing, write_atomic, write_json
from hdkd.runs import predictions, records
from hdkd.runs.folder import RunFolder, flatten
from hdkd.runs.records import RunSummary
from hdkd.runs.trials import tried
from hdkd.study import plan
from hdkd.study.key import RunKey

SUMMARIES = "summaries.jsonl"
EPOCHS = "epochs.csv"
# What runs did before it could be chosen and was recorded.
UNRECORDED = {"deterministic": False, "layout": "channels_last", "compile": False}


def of_study(settings: Settings, datasets: Collection[str] | None = None) -> list[RunSummary]:
    """The summaries of every run of a study, or of some of its datasets, from its run folders.

    Raises ``RunError`` where one is missing, or was made with other parameters.
    """
    keys = [
        key for dataset in datasets or settings.study for key in plan.all_runs(settings, dataset)
    ]
    summaries = [RunFolder(key.folder).summary for key in keys]
    _, left_out = with_current_parameters(settings, summaries)
    if left_out:
        raise RunError(
            f"made with other parameters than these: {first_few(left_out)}: train again "
            "(`snakemake` does), or take the parameters back"
        )
    return summaries


def with_current_parameters(
    settings: Settings, summaries: Iterable[RunSummary]
) -> tuple[list[RunSummary], list[str]]:
    """The summaries of runs with their profile's parameters, and why others do not count.

    How often a run was evaluated in between changes nothing about its last epoch, so a run that
    keeps this one counts however often that was. Where all trials of its network are among the
    ``summaries``, a run counts with the settings that they choose, however many there were then.
    """
    summaries = list(summaries)
    wanted_of = cache(lambda key: flatten(plan.hyperparameters(settings, key)))
    changed_of = [_changed(summary, wanted_of) for summary in summaries]
    pairs = list(zip(summaries, changed_of, strict=True))
    made = {each.run: each for each, changed in pairs if each.run.group == "tuning" and not changed}
    choices = {dataset: tried(settings, dataset, made) for dataset in settings.study}
    kept, left_out = [], []
    for summary, changed in pairs:
        key = summary.run
        tuning = settings.tuning(key.dataset) if plan.is_tuned(settings, key) else None
        if tuning and (choice := choices.get(key.dataset, {}).get(key.role)):
            changed.pop("tuning.grid", None)
            if summary.tuned != choice.chosen:
                changed["tuned"] = f"settings {summary.tuned} instead of {choice.chosen}"
        elif tuning and summary.tuned not in tuning.grid_of(key.role, key.dataset):
            changed["tuned"] = f"settings {summary.tuned}, which tuning.grid lacks"
        if changed:
            left_out.append(f"{key.folder.as_posix()} ({', '.join(changed.values())})")
        else:
            kept.append(summary)
    return kept, left_out


def changed_parameters(settings: Settings, summary: RunSummary) -> dict[str, str]:
    """What a run was made with instead of the parameters, a clause by the name of each."""
    return _changed(summary, lambda key: flatten(plan.hyperparameters(settings, key)))


def _changed(summary: RunSummary, wanted_of: Callable[[RunKey], dict[str, Any]]) -> dict[str, str]:
    if (method := summary.run.method) and method not in methods():
        return {"run": f"there is no method {method}"}
    try:
        wanted = wanted_of(replace(summary.run, seed=0))  # no seed changes them
    except ParameterError as error:
        return {"run": str(error)}
    used = {n: UNRECORDED[k] for n in wanted if (k := n.rpartition(".")[2]) in UNRECORDED}
    used |= flatten(summary.hyperparameters)
    compared = {**used, **wanted}
    compared.pop("as_long_as.tuning.grid", None)  # HDKD takes as long with any settings
    for name in [name for name in wanted if name.endswith("training.keep")]:
        if wanted[name] == "last":
            compared.pop(f"{name.removesuffix('keep')}evaluate_every", None)
    return {
        name: f"{name} {used.get(name)} instead of {wanted.get(name)}"
        for name in compared
        if used.get(name) != wanted.get(name)  # what did not exist then was off, as null is
    }


def write(summaries: Iterable[RunSummary], path: Path) -> None:
    """Write one summary per line, ordered by run folder."""
    ordered = sorted(summaries, key=lambda summary: summary.run.folder.as_posix())
    lines = (f"{json.dumps(summary.content(), ensure_ascii=False)}\n" for summary in ordered)
    write_atomic(path, "".join(lines))


def read(path: Path) -> list[RunSummary]:
    """Summaries that :func:`write` wrote. Raises ``RunError`` naming a damaged line."""
    summaries = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        try:
            content = json.loads(line)
        except ValueError:
            raise RunError(f"{path}: line {number} is damaged") from None
        summaries.append(records.read_summary(content, path))
    return summaries


def finished_summaries(profile: str) -> list[RunSummary]:
    """Every finished run of a profile: committed summaries, and run folders where they exist.

    A run folder below ``models`` takes the place of the committed summary of the same run, unless
    it has only been restored to build on.
    """
    path = plan.report_folder(profile) / SUMMARIES
    found = {summary.run: summary for summary in (read(path) if path.exists() else [])}
    for folder, summary in finished_folders(profile):
        if not (folder.is_restored and summary.run in found):
            found[summary.run] = summary
    return list(found.values())


def finished_folders(
    profile: str, project: Path = Path()
) -> Iterator[tuple[RunFolder, RunSummary]]:
    """The finished run folders of a profile in a ``project``, in their own places.

    One that was moved or copied elsewhere below ``models`` does not count.
    """
    for path in sorted((project / "models" / profile).rglob(plan.RUN_FILES[-1])):
        folder = RunFolder(path.parent)
        summary = folder.summary
        if folder.path == project / summary.run.folder:
            yield folder, summary


def refresh(profile: str) -> list[str]:
    """Write summaries, predictions, epochs and facts of the data of a profile into its reports.

    For a study that is made piece by piece. Returns why predictions are left out, a sentence each.
    """
    folder = plan.report_folder(profile)
    folder.mkdir(parents=True, exist_ok=True)
    summaries = finished_summaries(profile)
    write(summaries, folder / SUMMARIES)
    left_out = predictions.update(summaries, folder)
    write_epochs(summaries, folder / EPOCHS)
    gathered = facts(profile)
    for path in sorted((Path("data") / "prepared" / profile).glob("*/split.json")):
        prepared = json.loads(path.with_name("facts.json").read_text("utf-8"))
        gathered[path.parent.name] = prepared | json.loads(path.read_text("utf-8"))
    write_json(folder / "data.json", gathered)
    return left_out


def write_epochs(summaries: Iterable[RunSummary], path: Path) -> None:
    """Write the metrics of every epoch, from run folders or else from what ``path`` has."""
    before = dict([*pd.read_csv(path).groupby("run")]) if path.exists() else {}
    epochs = []
    for run in sorted(summary.run.folder.as_posix() for summary in summaries):
        folder = RunFolder(Path(run))
        if plan.is_finished(folder.path) and not (folder.is_restored and run in before):
            epochs.append(folder.metrics.assign(run=run))
        elif run in before:
            epochs.append(before[run].dropna(axis="columns", how="all"))
    if epochs:
        with replacing(path) as partial:
            pd.concat(epochs).to_csv(partial, index=False, float_format="%.6g")


def facts(profile: str) -> dict[str, dict[str, Any]]:
    """What is known of the datasets of a profile (``data.json``), empty where nothing is.

    Raises ``RunError`` where the file is damaged.
    """
    path = plan.report_folder(profile) / "data.json"
    try:
        return json.loads(path.read_text("utf-8")) if path.exists() else {}
    except ValueError:
        raise RunError(f"{path} is damaged: take it from git again") from None
