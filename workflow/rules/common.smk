# The settings, and inputs and parameters that several rules need.
import hashlib
import json
import os
import sys
from pathlib import Path

from hdkd.config import plain, resolve, save
from hdkd.errors import UserError
from hdkd.study import code, plan


try:
    SETTINGS = resolve(config)
except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)

PROFILE = SETTINGS.profile
DATASETS = list(SETTINGS.study)
GPU = 1 if PROFILE == "paper" else 0

# What the jobs read: the parameters with every --config and --configfile. The name follows the content,
# so that two workflows never read each other's; it goes through the environment, because as an input or
# parameter it would rerun everything whenever anything changes.
DIGEST = hashlib.sha256(json.dumps(plain(config), sort_keys=True).encode()).hexdigest()[:12]
PARAMS = f".snakemake/hdkd/{PROFILE}-{DIGEST}.yaml"
if not Path(PARAMS).exists():
    save(config, Path(PARAMS))
os.environ["HDKD_PARAMS"] = PARAMS


envvars:
    "HDKD_PARAMS",


# Steps print errors and warnings to stderr, which goes to the terminal and, with all else, to the log.

PREPARED = f"data/prepared/{PROFILE}/{{dataset}}"
RUN = f"models/{PROFILE}/{{group}}/{{dataset}}/{{role}}-{{block}}-s{{stride}}{{point}}/n{{subset}}/seed{{seed}}"
TEACHER_RUN = RUN.replace("{role}", "teacher")
STUDENT_RUN = RUN.replace("{role}", "student")
HDKD_RUN = RUN.replace("{role}", "hdkd")
BASELINE_RUN = f"models/{PROFILE}/{{group}}/{{dataset}}/{{baseline}}{{point}}/n{{subset}}/seed{{seed}}"
REPORT = f"reports/{PROFILE}"
STORE = f"mlflow/{PROFILE}.uri"


wildcard_constraints:
    dataset="[a-z][a-z0-9_]*",
    group="|".join(plan.GROUPS),
    block="mbcsa|mbconv",
    stride="2|4",
    point="|-[a-z][a-z0-9_]*",
    baseline="|".join(plan.BASELINES),
    subset=r"\d+|all",
    seed=r"\d+",


def run_files(folder):
    """The outputs of a training, by name."""
    return {name.replace(".", "_"): f"{folder}/{name}" for name in plan.RUN_FILES}


def summaries(runs):
    return [f"{run.folder}/summary.json" for dataset in DATASETS for run in runs(SETTINGS, dataset)]


def run_key(wildcards, role):
    """Which training the wildcards of a rule are of."""
    return plan.RunKey(
        profile=PROFILE,
        dataset=wildcards.dataset,
        group=wildcards.group,
        role=wildcards.get("baseline", role),
        subset=wildcards.subset,
        seed=int(wildcards.seed),
        block=wildcards.get("block", ""),
        stem_stride=int(wildcards.get("stride", 0)),
        point=wildcards.point.removeprefix("-"),
    )


def recipes(wildcards):
    """SMOTE's recipes, where the dataset asks for them and the teacher sees all of its images."""
    balanced = SETTINGS.dataset(wildcards.dataset).smote.enabled and wildcards.subset == "all"
    return f"data/prepared/{PROFILE}/{wildcards.dataset}/smote.csv" if balanced else []


def teacher_folder(wildcards):
    return plan.teacher_of(SETTINGS, run_key(wildcards, "hdkd")).folder.as_posix()


def tuned(role):
    """The settings that trials have chosen, where there are any for this training."""

    def of(wildcards):
        chosen = plan.tuned_settings(PROFILE, wildcards.dataset).as_posix()
        # All that could change the choice (grid, data, code) is a reason to train again by itself.
        return ancient(chosen) if plan.is_tuned(SETTINGS, run_key(wildcards, role)) else []

    return of


def options(wildcards, input):
    """Flags of `hdkd train` that not every training has."""
    flags = {
        "--recipes": input.get("recipes"),
        "--tuned": input.get("tuned"),
        "--point": wildcards.point.removeprefix("-"),
    }
    return " ".join(f"{name} {value}" for name, value in flags.items() if value)


def raw_settings(profile):
    """The settings of a profile that is not being built; none where they are not valid."""
    try:
        return plain(resolve(config | {"profile": profile, "study": None}).parameters)
    except UserError:
        return None


def hyperparameters(role):
    """What decides the numbers of a training of ``role``, so that a change of it trains again."""

    def of(wildcards):
        return plan.hyperparameters(SETTINGS, run_key(wildcards, role))

    return of
