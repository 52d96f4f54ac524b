# What is built: `snakemake --cores 4 all`, or one group of targets by its name.
from snakemake.utils import min_version


min_version("9.0")


configfile: "params.yaml"


report: "workflow/report/study.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/storage.smk"
include: "workflow/rules/stamp.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/report.smk"


# On a cluster, too short for a job of their own.
localrules:
    list_runs,


if not STORED:  # else it reads runs where these are

    localrules:
        tune,



rule all:
    default_target: True
    input:
        rules.data.input,
        rules.teacher.input,
        rules.tuning.input,
        rules.students.input,
        rules.ablations.input,
        rules.baselines.input,
        rules.methods.input,
        rules.report.input,
