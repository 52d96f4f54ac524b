# The settings, and inputs and parameters that several rules need.
import hashlib
import json
import os
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path

from hdkd.config import plain, resolve, save
from hdkd.errors import UserError
from hdkd.files import sha256
from hdkd.study import code, key, names, plan


try:
    SETTINGS = resolve(config)
except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

PROFILE = SETTINGS.profile
DATASETS = list(SETTINGS.study)
GPU = 1 if PROFILE == "paper" else 0

# What the jobs read: the parameters with every --config and --configfile. The name follows the
# content, so that two workflows never read each other's; it goes through the environment, because as
# an input or parameter it would rerun everything whenever anything changes.
DIGEST = hashlib.sha256(json.dumps(plain(config), sort_keys=True).encode()).hexdigest()[:12]
PARAMS = Path(f".snakemake/hdkd/{PROFILE}-{DIGEST}.yaml")
os.environ["HDKD_PARAMS"] = PARAMS.as_posix()


# How many runs share this machine's GPU (`--resources gpu=4`), so that each takes its share of the
# memory only. A job that a cluster starts has a GPU for itself.
runs_on_gpu = 1 if workflow.remote_exec else dict(workflow.global_resources).get("gpu", 1)
os.environ["HDKD_RUNS_ON_GPU"] = str(getattr(runs_on_gpu, "value", runs_on_gpu))


envvars:
    "HDKD_PARAMS",
    "HDKD_RUNS_ON_GPU",


def write_params():
    if not PARAMS.exists():
        save(config, PARAMS)


onstart:
    write_params()


if workflow.remote_exec:  # a job on another machine, where nothing starts
    write_params()


PREPARED = f"data/prepared/{PROFILE}/{{dataset}}"
RUN = f"models/{PROFILE}/{{group}}/{{dataset}}/{{role}}{{variant}}/n{{subset}}/seed{{seed}}"
REPORT = f"reports/{PROFILE}"


wildcard_constraints:
    dataset="[a-z][a-z0-9_]*",
    group="|".join(names.GROUPS),
    role="|".join([*names.ROLES, *names.BASELINES]),
    variant=key.VARIANT.pattern,
    subset=r"\d+|all",
    seed=r"\d+",


def summaries(runs, datasets=DATASETS):
    return [f"{run.folder}/summary.json" for dataset in datasets for run in runs(SETTINGS, dataset)]


def run_folders(runs, datasets=DATASETS):
    """What a step that reads run folders needs of them: where no folder is shared, each file."""
    found = summaries(runs, datasets)
    if not STORED:
        return found
    return [f"{Path(path).parent}/{name}" for path in found for name in plan.RUN_FILES]


def run_key(wildcards):
    """Which run the wildcards of a rule are of."""
    return key.RunKey.of_folder(Path(RUN.format(**dict(wildcards.items()))))


@cache
def source_of(dataset):
    """Where images come from; of one's own, what they are now, so that a change is acquired."""
    source = SETTINGS.dataset(dataset).source
    if STORED or source.kind != "local":
        return plain(source)
    from hdkd.data import local  # slow to import, and seldom needed

    raw, noted = plan.raw_folder(dataset), PARAMS.with_name(f"{dataset}.json")
    return {"kind": "local", "content": local.content(dataset, source, raw, noted)}


def smote_of(dataset):
    """SMOTE's recipes, where the dataset asks for them."""
    return f"data/prepared/{PROFILE}/{dataset}/smote.csv" if SETTINGS.dataset(dataset).smote.enabled else []


def recipes(wildcards):
    """SMOTE's recipes, where a teacher sees all images."""
    run = run_key(wildcards)
    return smote_of(run.dataset) if (run.role, run.subset) == ("teacher", "all") else []


def teacher_files(wildcards):
    """What a taught run reads of its teacher."""
    run = run_key(wildcards)
    if not run.is_taught:
        return []
    folder = plan.teacher_of(SETTINGS, run).folder.as_posix()
    return [f"{folder}/model.safetensors", f"{folder}/params.json"]


def tuned(wildcards):
    """The settings that trials have chosen, where there are any for this run."""
    run = run_key(wildcards)
    chosen = plan.tuned_settings(PROFILE, run.dataset).as_posix()
    # All that could change the choice (grid, data, code) is a reason to train again by itself.
    return ancient(chosen) if plan.is_tuned(SETTINGS, run) else []


def options(wildcards, input):
    """Flags of `hdkd train` that not every run has."""
    run = run_key(wildcards)
    flags = {
        "--block": run.block,
        "--stem-stride": run.stem_stride,
        "--method": run.method,
        "--point": run.point,
        "--teacher": Path(input.teacher[0]).parent.as_posix() if input.teacher else None,
        "--recipes": input.recipes,
        "--tuned": input.tuned,
    }
    return " ".join(f"{name} {value}" for name, value in flags.items() if value)


def launcher(wildcards, resources):
    """What starts the processes of a run that has several (`--set-resources train_teacher:processes=2`)."""
    processes = int(resources.processes)
    if processes == 1:
        return ""
    return f"torchrun --standalone --nproc-per-node {processes} --no-python -- "


@cache  # for each kind of run, not for each of thousands of jobs
def hyperparameters_of(run):
    return plan.hyperparameters(SETTINGS, run)


def hyperparameters(wildcards):
    """What decides the numbers of a run, so that a change of it trains again; no seed does."""
    return hyperparameters_of(replace(run_key(wildcards), seed=0))


def raw_settings(profile):
    """The settings of a profile that is not being built; none where they are not valid."""
    try:
        return plain(resolve(config | {"profile": profile, "study": None}).parameters)
    except UserError:
        return None


def evidence(profile):
    """The results of a profile that the ledger is made from."""
    files = ("summaries.jsonl", "predictions.npz", "data.json")
    return [f"reports/{profile}/{name}" for name in files]


def checksums(profile):
    """The checksums by name of what results there are of a profile that is not being built."""
    return {name: sha256(Path(name)) for name in evidence(profile) if Path(name).exists()}


def notes():
    """What people have written about the runs, where they have."""
    return [path for path in [f"{REPORT}/notes.md"] if Path(path).exists()]
