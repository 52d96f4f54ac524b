# Settings chosen on the validation images: a few trials for every method, then the best for each. The trials are
# the rules of students.smk and baselines.smk, in the group tuning.


rule tuning:
    input:
        summaries(plan.tuning_runs),
        [plan.tuned_settings(PROFILE, d).as_posix() for d in DATASETS if SETTINGS.tuning(d)],
        f"models/{PROFILE}/tuning/runs.txt",


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
        "hdkd tune --dataset {wildcards.dataset} --output {output.chosen:q}"
        " 2>&1 > {log:q} | tee -a {log:q} >&2"
