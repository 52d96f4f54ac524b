# One rule trains; its kinds differ in the network they train, and in which goes first.


rule teacher:
    input:
        summaries(plan.teacher_runs),


# Settings chosen on the validation images: a few trials for every method, then the best for each.
rule tuning:
    input:
        summaries(plan.tuning_runs),
        [plan.tuned_settings(PROFILE, d).as_posix() for d in DATASETS if SETTINGS.tuning(d)],
        f"models/{PROFILE}/tuning/runs.txt",


# The hybrid student over subset sizes and seeds, without distillation and with it (HDKD).
rule students:
    input:
        summaries(plan.student_runs),


# Tables 6 and 7: another block, another stem stride; HDKD distilled in other ways; controls.
rule ablations:
    input:
        summaries(plan.ablation_runs),
        f"models/{PROFILE}/ablations/runs.txt",


# The networks of Table 5, trained from scratch like the student on all images.
rule baselines:
    input:
        summaries(plan.baseline_runs),
        f"models/{PROFILE}/baselines/runs.txt",


# The hybrid and a plain transformer, taught in other ways on a few images.
rule methods:
    input:
        summaries(plan.method_runs),
        f"models/{PROFILE}/methods/runs.txt",


rule train_student:
    input:
        images=f"{PREPARED}/images.npy",
        split=f"{PREPARED}/split.csv",
        facts=f"{PREPARED}/facts.json",
        recipes=recipes,
        teacher=teacher_files,
        tuned=tuned,
        code=lambda wildcards: training_code(run_key(wildcards).method),
    output:
        **{name.replace(".", "_"): f"{RUN}/{name}" for name in plan.RUN_FILES},
    params:
        folder=lambda wildcards, output: Path(output.summary_json).parent.as_posix(),
        prepared=lambda wildcards, input: Path(input.split).parent.as_posix(),
        options=options,
        settings=hyperparameters,
    log:
        f"logs/{RUN}.log",
    benchmark:
        f"logs/benchmarks/{RUN}.tsv"
    wildcard_constraints:
        role="student",
    conda:
        "../envs/hdkd.yaml"
    threads: 1
    resources:
        gpu=GPU,
    message:
        "Training {wildcards.role}{wildcards.variant} on {wildcards.subset} images of {wildcards.dataset},"
        " seed {wildcards.seed}"
    shell:
        "hdkd --log {log:q} train --dataset {wildcards.dataset} --role {wildcards.role}"
        " --group {wildcards.group} --subset {wildcards.subset} --seed {wildcards.seed} {params.options}"
        " --prepared {params.prepared:q} --threads {threads} --output {params.folder:q}"


use rule train_student as train_teacher with:
    wildcard_constraints:
        role="teacher",
    priority: 10


use rule train_student as train_hdkd with:
    wildcard_constraints:
        role="hdkd",
    priority: 5  # longer than a student alone: short runs fill the end


use rule train_student as train_taught with:
    wildcard_constraints:
        role="|".join(names.NETWORKS),


use rule train_student as train_baseline with:
    wildcard_constraints:
        role="|".join(names.BASELINES),


rule tune:
    input:
        trials=lambda wildcards: [
            f"{run.folder}/summary.json" for run in plan.tuning_runs(SETTINGS, wildcards.dataset)
        ],
        code=code.inputs("tune"),
    output:
        chosen=f"models/{PROFILE}/tuning/{{dataset}}/chosen.json",
    params:
        tuning=lambda wildcards: SETTINGS.tuning(wildcards.dataset),
    log:
        f"logs/{PROFILE}/tune/{{dataset}}.log",
    benchmark:
        f"logs/benchmarks/{PROFILE}/tune/{{dataset}}.tsv"
    conda:
        "../envs/hdkd.yaml"
    priority: 20
    message:
        "Choosing settings on the validation images of {wildcards.dataset}"
    shell:
        "hdkd --log {log:q} tune --dataset {wildcards.dataset} --output {output.chosen:q}"


# So that a group has a folder to version even where the parameters leave it empty.
rule list_runs:
    input:
        lambda wildcards: [
            f"{run.folder}/summary.json" for run in plan.group_runs(SETTINGS, wildcards.group)
        ],
    output:
        f"models/{PROFILE}/{{group}}/runs.txt",
    log:
        f"logs/{PROFILE}/runs/{{group}}.log",
    conda:
        "../envs/hdkd.yaml"
    message:
        "Listing the runs of {wildcards.group}"
    shell:
        "hdkd --log {log:q} runs --group {wildcards.group} --output {output:q}"
