# What is built: `snakemake --cores 4 all`, or one group of targets by its name.
configfile: "params.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/teacher.smk"
include: "workflow/rules/tuning.smk"
include: "workflow/rules/students.smk"
include: "workflow/rules/ablations.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        rules.data.input,
        rules.teacher.input,
        rules.tuning.input,
        rules.students.input,
        rules.ablations.input,
        rules.baselines.input,
        rules.report.input,
