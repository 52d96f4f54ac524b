"""The command line: one subcommand per rule of the workflow, and prediction.

Modules are imported where they are used, so that ``hdkd --help`` answers at once.
"""

import argparse
import atexit
import contextlib
import gc
import json
import logging
import math
import os
import signal
import sys
import time
from pathlib import Path

from hdkd.config import default_params
from hdkd.errors import (
    ParameterError,
    RunError,
    UnfinishedError,
    UserError,
    is_of_the_machine,
    sentence,
)
from hdkd.study.plan import BASELINES, DEADLINE, GROUPS, ROLES

# What the extra `pipeline` brings, as Python imports it; networks, training and prediction do without.
PIPELINE = {
    "dvc", "imblearn", "jinja2", "kagglehub", "matplotlib", "mlflow", "packaging", "ptflops", "snakemake",
}  # fmt: skip
SUBSET_HELP = "number of training images, balanced over classes, or all"


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; user errors are one sentence and exit code 2."""
    options = build_parser().parse_args(arguments)
    try:
        options.command(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in PIPELINE:
            raise
        print(f"error: this needs {error.name}: pip install 'hdkd[pipeline]'", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has had enough
        pass
    except OSError as error:
        if not is_of_the_machine(error):
            raise
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 2
    except UnfinishedError as stopped:
        print(f"{stopped}; the same command continues it", file=sys.stderr)
        return 75
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def console() -> None:
    """The command ``hdkd``: ``main``, without a second or two of looking after what was imported.

    The collector would go through a million objects that stay, again and again; and to take them apart
    at the end frees what the system frees anyway.
    """
    gc.set_threshold(200_000, 50, 50)
    status = main()
    logging.shutdown()
    atexit._run_exitfuncs()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hdkd",
        description="Hybrid data-efficient knowledge distillation for small sets of medical images. "
        "`snakemake --cores 4 all` runs these commands in their order; each can be typed by hand.",
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(
        name: str, function, text: str, dataset: bool = True, profile: bool = True
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=function)
        sub.add_argument(
            "--params",
            type=Path,
            default=Path(os.environ.get("HDKD_PARAMS") or default_params()),
            help="parameter file (the variable HDKD_PARAMS, params.yaml, or the package's own)",
        )
        if profile:
            sub.add_argument("--profile", help="profile instead of the parameter file's own")
        if dataset:
            sub.add_argument(
                "--dataset", required=True, help="name below datasets in the parameters"
            )
        return sub

    command("profile", profile, "print the profile that the parameters choose", False)

    sub = command("runs", runs, "print the run folder of every training of the study", False)
    sub.add_argument("--group", choices=GROUPS, help="only those of one group")

    sub = command("acquire", acquire, "bring a dataset's files into data/raw and list them")
    sub.add_argument("--output", type=Path, help="folder (data/raw/DATASET)")

    sub = command("prepare", prepare, "decode and resize every image once, into one array")
    sub.add_argument("--manifest", type=Path, help="manifest.csv of the acquired files")
    sub.add_argument("--output", type=Path, help="folder (data/prepared/PROFILE/DATASET)")

    sub = command(
        "split", split, "decide which images train, validate and test, and find copies among them"
    )
    sub.add_argument("--prepared", type=Path, help="folder of the prepared data")

    sub = command("smote", smote, "recipes of the synthetic images that balance the training set")
    sub.add_argument("--prepared", type=Path, help="folder of the prepared data")
    sub.add_argument("--output", type=Path, help="recipes (smote.csv in the prepared data)")

    sub = command("track", track, "create the MLflow store, its experiments and sweeps", False)
    sub.add_argument("--output", type=Path, help="file to note the tracking URI in")

    sub = command("train", train, "train a teacher, a student or HDKD and leave a run folder")
    sub.add_argument(
        "--role", required=True, choices=[*ROLES, *BASELINES], metavar="ROLE",
        help=f"{', '.join(ROLES)}, or a rival: {', '.join(BASELINES)}",
    )  # fmt: skip
    sub.add_argument("--subset", default="all", help=SUBSET_HELP)
    sub.add_argument("--seed", type=int, default=0, help="of subset, initial weights and batches")
    sub.add_argument(
        "--block", choices=["mbcsa", "mbconv"], help="instead of the parameters' block"
    )
    sub.add_argument(
        "--stem-stride", type=int, choices=[2, 4], help="instead of the parameters' stride"
    )
    sub.add_argument(
        "--point", default="", help="distillation, control or trial, by its name in the parameters"
    )
    sub.add_argument("--group", default="students", choices=GROUPS)
    sub.add_argument("--prepared", type=Path, help="folder of the prepared data")
    sub.add_argument("--recipes", type=Path, help="SMOTE recipes to add to the training images")
    sub.add_argument("--teacher", type=Path, help="run folder of the teacher, for hdkd")
    sub.add_argument("--tuned", type=Path, help="settings that `hdkd tune` has chosen")
    sub.add_argument("--output", type=Path, help="run folder (below models/)")
    sub.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    sub.add_argument("--threads", type=int, help="CPU threads (torch's own choice)")
    sub.add_argument(
        "--time-budget", type=float, metavar="MINUTES",
        help="stop cleanly after the last epoch that fits; the same command continues later",
    )  # fmt: skip
    sub.add_argument("--restart", action="store_true", help="begin anew, whatever is unfinished")
    sub.add_argument("--no-tracking", action="store_true", help="do not log to MLflow")

    sub = command("tune", tune, "choose settings by the trials on the validation images")
    sub.add_argument("--output", type=Path, help="file (models/PROFILE/tuning/DATASET/chosen.json)")

    sub = command(
        "compare", compare, "the ledger: every number of the paper beside what was measured",
        dataset=False, profile=False,
    )  # fmt: skip
    sub.add_argument("--output", type=Path, default=Path("reports"), help="folder (reports)")

    sub = command("tables", tables, "tables of a profile's results, from its run folders", False)
    sub.add_argument("--output", type=Path, help="folder (reports/PROFILE)")

    sub = command("figures", figures, "the figures of one dataset, from its run folders")
    sub.add_argument("--output", type=Path, help="folder (reports/PROFILE/figures/DATASET)")

    sub = command("page", page, "the report, one self-contained HTML page", False)
    sub.add_argument("--output", type=Path, help="folder of tables and figures (reports/PROFILE)")
    sub.add_argument("--ledger", type=Path, help="what `hdkd compare` wrote (reports/ledger.csv)")

    command("deliver", deliver, "give MLflow what it missed of finished trainings", False)

    sub = command(
        "borrow", borrow, "train the most valuable missing runs in a piece of time", False
    )
    sub.add_argument("--minutes", type=float, default=0, help="of the borrowed machine")
    sub.add_argument(
        "--parallel", type=int, help="trainings at once (1 on a GPU, else one per core)"
    )
    sub.add_argument("--cores", type=int, default=os.cpu_count(), help="CPU cores (all)")
    sub.add_argument("--list", action="store_true", help="print what would be trained, and stop")
    sub.add_argument("--state", action="store_true", help="print the last line of that, and stop")
    sub.add_argument(
        "--bundle", type=Path, help="folder to leave the run folders in, to carry home"
    )
    sub.add_argument(
        "--part-mebibytes", type=float, default=16, help="size of the bundle's parts (16)"
    )
    sub.add_argument(
        "--bundle-mebibytes", type=float, default=math.inf,
        help="of all parts (no limit): what is too much stays behind, unfinished trainings first",
    )  # fmt: skip

    sub = command("pack", pack, "what has to travel to a machine without a network", False)
    sub.add_argument("--datasets", nargs="+", help="only these (the study's)")
    sub.add_argument("--output", type=Path, default=Path("carried"), help="folder (carried)")
    sub.add_argument(
        "--transfer-mebibytes", type=float, default=60, help="largest folder to carry (60)"
    )
    sub.add_argument("--machine", type=Path, help="`pip freeze` of that machine: wheels come along")
    sub.add_argument("--python", default="3.12", help="that machine's Python (3.12)")

    sub = command("import-runs", import_runs, "take over the run folders of bundles", False)
    sub.add_argument(
        "sources",
        type=Path,
        nargs="+",
        help="folders that `hdkd borrow --bundle` left, or other checkouts of the project",
    )
    sub.add_argument(
        "--files-only", action="store_true", help="put run folders in place, and leave all else"
    )
    sub.add_argument("--commit", action="store_true", help="commit what the reports have then")

    sub = command("export", export, "a trained model as a small folder, with a model card")
    sub.add_argument("--run", type=Path, help="run folder (HDKD on all images, first seed)")
    sub.add_argument("--output", type=Path, help="folder (pretrained/DATASET, here)")

    sub = commands.add_parser("predict", help="classify image files with a trained model")
    sub.set_defaults(command=predict)
    sub.add_argument(
        "--model", default="brain_tumor",
        help="run folder of the trained model, or the name of one in pretrained/ (brain_tumor)",
    )  # fmt: skip
    sub.add_argument(
        "--json", action="store_true", help="one JSON object per image instead of a table"
    )
    sub.add_argument("images", type=Path, nargs="+", help="image files")
    return parser


def _settings(options: argparse.Namespace):
    from hdkd import config

    return config.load(options.params, options.profile)


def profile(options: argparse.Namespace) -> None:
    print(_settings(options).profile)


def runs(options: argparse.Namespace) -> None:
    from hdkd.study import plan

    settings = _settings(options)
    for group in [options.group] if options.group else GROUPS:
        for run in plan.group_runs(settings, group):
            print(run.folder.as_posix())


def acquire(options: argparse.Namespace) -> None:
    from hdkd.data.acquire import sources
    from hdkd.study import plan

    dataset = _settings(options).dataset(options.dataset)
    sources.acquire(options.dataset, dataset, options.output or plan.raw(options.dataset))


def _prepared(options: argparse.Namespace, settings, given: Path | None) -> Path:
    from hdkd.study import plan

    return given or plan.prepared(settings.profile, options.dataset)


def _require(path: Path, command: str) -> Path:
    from hdkd.errors import DataError

    if not path.exists():
        raise DataError(f"{path} is missing: run `hdkd {command}` first")
    return path


def prepare(options: argparse.Namespace) -> None:
    from hdkd.data.prepare import prepare as prepare_images
    from hdkd.study import plan

    settings = _settings(options)
    manifest = options.manifest or plan.raw(options.dataset) / "manifest.csv"
    prepare_images(
        options.dataset,
        settings.dataset(options.dataset),
        settings.images(options.dataset),
        _require(manifest, "acquire"),
        _prepared(options, settings, options.output),
    )


def split(options: argparse.Namespace) -> None:
    from hdkd.data.split import split as split_images

    settings = _settings(options)
    folder = _prepared(options, settings, options.prepared)
    index = _require(folder / "index.csv", "prepare")
    dataset, validation = settings.dataset(options.dataset), settings.parameters.split
    split_images(options.dataset, dataset, validation, index, folder)


def smote(options: argparse.Namespace) -> None:
    from hdkd.data.smote import balance

    settings = _settings(options)
    folder = _prepared(options, settings, options.prepared)
    _require(folder / "split.csv", "split")
    output = options.output or folder / "smote.csv"
    balance(options.dataset, settings.dataset(options.dataset).smote, folder, output)


def track(options: argparse.Namespace) -> None:
    from hdkd.tracking import tracking

    settings = _settings(options)
    titles = {name: settings.dataset(name).title for name in settings.study}
    try:
        tracking.create_store(settings.profile, titles)
    except Exception as error:  # a study never depends on its tracking server
        tracking.warn(error)
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(tracking.shown_uri() + "\n")


def train(options: argparse.Namespace) -> None:
    deadline = None
    if options.time_budget is not None:
        deadline = time.monotonic() + 60 * options.time_budget
    elif DEADLINE in os.environ:
        deadline = time.monotonic() + float(os.environ[DEADLINE]) - time.time()
    signal.signal(signal.SIGTERM, stop)
    from hdkd.study.plan import RunKey
    from hdkd.training.train import run

    settings = _settings(options)
    settings.dataset(options.dataset)
    network = settings.network(options.block, options.stem_stride)
    architecture = {"block": network.block, "stem_stride": network.stem_stride}
    if options.role in BASELINES:
        architecture = {}
    key = RunKey(
        profile=settings.profile,
        dataset=options.dataset,
        group=options.group,
        role=options.role,
        subset=options.subset,
        seed=options.seed,
        **architecture,
        point=options.point,
    )
    folder = _prepared(options, settings, options.prepared)
    _require(folder / "split.csv", "split")
    run(
        settings,
        key,
        folder,
        options.output or key.folder,
        recipes=options.recipes and _require(options.recipes, "smote"),
        teacher=options.teacher,
        tuned=options.tuned and _require(options.tuned, "tune"),
        device=options.device,
        threads=options.threads,
        tracked=not options.no_tracking,
        deadline=deadline,
        restart=options.restart,
    )


def tune(options: argparse.Namespace) -> None:
    from hdkd.study import plan
    from hdkd.training.tune import choose

    settings = _settings(options)
    settings.dataset(options.dataset)
    output = options.output or plan.tuned_settings(settings.profile, options.dataset)
    choose(settings, options.dataset, output)


def stop(*_) -> None:
    """Answer to SIGTERM, which clusters send: what is saved is enough to continue, so leave."""
    raise UnfinishedError("stopped by SIGTERM")


def compare(options: argparse.Namespace) -> None:
    from hdkd import config
    from hdkd.paper import ledger

    table, left_out = ledger.write_ledger(config.read(options.params), options.output)
    print(ledger.markdown(table, left_out))


def tables(options: argparse.Namespace) -> None:
    from hdkd.report import results
    from hdkd.report.tables import write_tables
    from hdkd.runs import evidence, predictions
    from hdkd.study import plan

    settings = _settings(options)
    facts = {name: results.facts(settings, name) for name in settings.study}
    folder = options.output or plan.report(settings.profile)
    summaries = evidence.of_study(settings)
    _warn(predictions.update(summaries, folder))
    write_tables(settings, folder, summaries, facts)


def _warn(reasons: list[str]) -> None:
    for reason in reasons:
        print(f"warning: {reason}", file=sys.stderr)


def figures(options: argparse.Namespace) -> None:
    from hdkd.report import results
    from hdkd.report.figures import write_figures
    from hdkd.runs import evidence
    from hdkd.study import plan

    settings = _settings(options)
    dataset = options.dataset
    folder = options.output or plan.report(settings.profile) / "figures" / dataset
    facts = results.facts(settings, dataset)
    write_figures(settings, dataset, folder, evidence.of_study(settings), facts)


def page(options: argparse.Namespace) -> None:
    from hdkd.report.page import write_page
    from hdkd.report.results import sweep_metrics
    from hdkd.study import plan
    from hdkd.tracking.tracking import log_report, warn

    settings = _settings(options)
    folder = options.output or plan.report(settings.profile)
    write_page(settings, folder, _require(options.ledger or plan.LEDGER[0], "compare"))
    try:
        _deliver(settings)
    except Exception as error:  # the report is written, whatever MLflow raises
        return warn(error)
    for dataset in settings.study:
        metrics = sweep_metrics(folder, dataset)
        log_report(settings.profile, dataset, folder, metrics, plan.LEDGER)


def deliver(options: argparse.Namespace) -> None:
    from hdkd.tracking import tracking

    try:
        lacking = _deliver(_settings(options))
    except UserError:
        raise
    except Exception as error:
        raise RunError(
            f"MLflow at {tracking.shown_uri()} is out of reach ({type(error).__name__}): nothing is lost, "
            "run this command again when it is there"
        ) from None
    print(f"{lacking} runs were new to MLflow or not whole")


def _deliver(settings) -> int:
    from hdkd.study import plan
    from hdkd.tracking import tracking

    runs = [run.folder for name in settings.study for run in plan.all_runs(settings, name)]
    titles = {name: settings.dataset(name).title for name in settings.study}
    return tracking.deliver(settings.profile, titles, [f for f in runs if plan.is_finished(f)])


def borrow(options: argparse.Namespace) -> None:
    from tabulate import tabulate

    from hdkd.remote import borrow, bundle, handover
    from hdkd.study import plan
    from hdkd.training.train import choose_device

    settings = _settings(options)
    if not (options.list or options.state):
        if not options.minutes:
            raise ParameterError(
                "--minutes is missing: name how long to train, or --list or --state"
            )
        for name in handover.restore(settings):
            print(f"{name}: from the committed evidence")
    device = choose_device("auto")
    jobs = borrow.missing(settings, device)
    state = borrow.state(settings.profile, jobs, len(borrow.value_order(settings)))
    if options.state:
        return print(state)
    parallel = options.parallel or (1 if device == "cuda" else options.cores)
    chosen = borrow.choose(jobs, 60 * options.minutes, parallel)
    rows = [
        [
            job.run.folder.as_posix(),
            f"{job.seconds / 60:.1f}",
            "chosen" if job in chosen else "later",
            "running" if job.running else "begun" if job.begun else "",
        ]
        for job in jobs
    ]
    print(tabulate(rows, headers=["run", "minutes", "", ""], disable_numparse=True), flush=True)
    print(state)
    if options.list or not chosen:
        return
    failed = None
    try:
        left = borrow.train(chosen, settings.profile, 60 * options.minutes, parallel, options.cores)
    except RunError as error:  # what the others have made is bundled all the same
        failed, left = error, [j for j in chosen if not plan.is_finished(j.run.folder)]
    print(f"{len(chosen) - len(left)} of {len(chosen)} chosen trainings are finished")
    runs = [job.run for job in chosen]
    if options.bundle and any(run.folder.exists() for run in runs):
        manifest = bundle.write_bundle(
            settings.profile,
            runs,
            options.bundle,
            options.part_mebibytes,
            mebibytes=options.bundle_mebibytes,
        )
        print(
            f"{options.bundle}: {len(manifest['finished'])} finished and "
            f"{len(manifest['unfinished'])} unfinished runs in {len(manifest['parts'])} parts"
        )
        for name in manifest["left"]:
            print(f"{name} stays behind: the bundle would be larger than it may be")
    if failed:
        raise failed


def pack(options: argparse.Namespace) -> None:
    from hdkd.remote import pack

    settings = _settings(options)
    sizes = pack.pack(
        options.params,
        settings.profile,
        options.datasets or settings.study,
        options.output,
        options.transfer_mebibytes,
        options.machine,
        options.python,
    )
    for number, size in enumerate(sizes, start=1):
        print(f"{options.output / str(number)}: {size / 2**20:.1f} MiB")
    print(f"carry these and {options.output}/offline.sh; there: bash offline.sh MINUTES")


def import_runs(options: argparse.Namespace) -> None:
    from hdkd import config
    from hdkd.paper import ledger
    from hdkd.remote import bundle, handover
    from hdkd.runs import evidence
    from hdkd.study import plan
    from hdkd.tracking import tracking

    profiles, placed, finished = set(), [], []
    for folder in options.sources:
        if (folder / "models").is_dir():
            profiles |= {path.name for path in (folder / "models").glob("*/")}
            names = handover.gather(folder)
            finished += names
        else:
            manifest, names = bundle.unpack_bundle(folder)
            profiles.add(manifest["profile"])
            finished += [name for name in names if name in manifest["finished"]]
            if not options.files_only and (advice := bundle.keep(folder, manifest["profile"])):
                print(advice)
        placed += names
    for name in placed:
        print(f"{name}: {'finished' if name in finished else 'to be continued'}")
    if options.files_only:
        print(f"{len(placed)} new run folders")
        return
    from hdkd.report.study import write_report

    registered = 0
    titles = {n: d.title for n, d in _settings(options).parameters.datasets.items()}
    profiles = sorted(profile for profile in profiles if evidence.known(profile))
    states = []
    for profile in profiles:
        here = [plan.RunKey(**s["run"]).folder for s in evidence.known(profile)]
        try:
            registered += tracking.deliver(
                profile, titles, [f for f in here if plan.is_finished(f)]
            )
        except Exception as error:  # MLflow may be out of reach, or not even installed
            tracking.warn(error)
        settings = _study_of(options.params, profile)
        _warn(evidence.refresh(profile))
        handover.keep(settings)
        every = [run for name in settings.study for run in plan.all_runs(settings, name)]
        states.append(f"{profile}: {len(handover.finished(settings))} of {len(every)} trainings")
    table, _ = ledger.write_ledger(config.read(options.params), plan.LEDGER[0].parent)
    for profile in profiles:
        write_report(_study_of(options.params, profile), plan.LEDGER[0])
    print(f"{len(placed)} new run folders, {registered} new runs in MLflow")
    print("\n".join([*states, ledger.headline(table)]))
    if options.commit:
        new = handover.commit(profiles, f"Evidence of {'; '.join(states)}")
        print("committed" if new else "nothing new to commit")


def _study_of(params: Path, profile: str):
    """The settings of a profile's study, with every dataset that it has results of."""
    from hdkd import config
    from hdkd.runs import evidence

    parameters = config.read(params) | {"profile": profile}
    study = config.resolve(parameters).study
    known = [summary["run"]["dataset"] for summary in evidence.known(profile)]
    return config.resolve(parameters | {"study": list(dict.fromkeys([*study, *known]))})


def export(options: argparse.Namespace) -> None:
    from hdkd.deploy.export import default_run
    from hdkd.deploy.export import export as export_run
    from hdkd.deploy.predict import about

    settings = _settings(options)
    run = options.run or default_run(settings, options.dataset).folder
    output = options.output or Path("pretrained") / options.dataset
    chosen = "by hand" if options.run else "before any result: HDKD, most images, first seed"
    export_run(settings, run, output, chosen)
    print(about(output))


def predict(options: argparse.Namespace) -> None:
    from hdkd.deploy.predict import Classifier, about, find

    folder = find(options.model)
    classifier = Classifier.load(folder)
    if note := about(folder):
        print(note, file=sys.stderr)
    probabilities = classifier.probabilities(options.images)
    names = classifier.classes
    if options.json:
        for path, row in zip(options.images, probabilities, strict=True):
            content = {
                "image": str(path),
                "class": names[row.argmax()],
                "probabilities": {n: round(float(p), 6) for n, p in zip(names, row, strict=True)},
            }
            print(json.dumps(content, ensure_ascii=False))
        return
    from tabulate import tabulate

    rows = [
        [str(path), names[row.argmax()], *(f"{value:.4f}" for value in row)]
        for path, row in zip(options.images, probabilities, strict=True)
    ]
    print(tabulate(rows, headers=["image", "class", *names], disable_numparse=True))
