# One rule trains; its kinds differ in the network they train, and in which goes first.


rule teacher:
    input:
        stamps(),
        summaries(plan.teacher_runs),


# Settings chosen on the validation images: a few trials for every method, then the best for each.
rule tuning:
    input:
        stamps(),
        summaries(plan.tuning_runs),
        [plan.tuned_settings(PROFILE, d).as_posix() for d in DATASETS if SETTINGS.tuning(d)],
        f"models/{PROFILE}/tuning/runs.txt",


# The hybrid student over subset sizes and seeds, without distillation and with it (HDKD).
rule students:
    input:
        stamps(),
        summaries(plan.student_runs),


# Tables 6 and 7: another block, another stem stride; HDKD distilled in other ways; controls.
rule ablations:
    input:
        stamps(),
        summaries(plan.ablation_runs),
        f"models/{PROFILE}/ablations/runs.txt",


# The networks of Table 5, trained from scratch like the student on all images.
rule baselines:
    input:
        stamps(),
        summaries(plan.baseline_runs),
        f"models/{PROFILE}/baselines/runs.txt",


# The hybrid and a plain transformer, taught in other ways on a few images.
rule methods:
    input:
        stamps(),
        summaries(plan.method_runs),
        f"models/{PROFILE}/methods/runs.txt",


rule train_student:
    input:
        images=f"{PREPARED}/images.npy",
        split=f"{PREPARED}/split.csv",
        facts=f"{PREPARED}/facts.json",
        checked=stored(CHECKED),
        recipes=recipes,
        teacher=teacher_files,
        tuned=tuned,
        code=lambda wildcards: code_of("train", run_key(wildcards).method),
    output:
        **{name.replace(".", "_"): f"{RUN}/{name}" for name in plan.RUN_FILES},
    params:
        folder=lambda wildcards, output: Path(output.summary_json).parent.as_posix(),
        prepared=lambda wildcards, input: Path(input.split).parent.as_posix(),
        options=options,
        settings=hyperparameters,
        launcher=launcher,
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
        processes=1,
        run=1,  # `hdkd borrow --parallel` limits how many there are at once
    message:
        "Training {wildcards.role}{wildcards.variant} on {wildcards.subset} images of {wildcards.dataset},"
        " seed {wildcards.seed}"
    shell:
        "{params.launcher}hdkd --log {log:q} train --dataset {wildcards.dataset} --role {wildcards.role}"
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
        trials=lambda wildcards: run_folders(plan.tuning_runs, [wildcards.dataset]),
        code=code_of("tune"),
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
