# The rivals of Table 5, trained from scratch like the student on all images.


rule baselines:
    input:
        summaries(plan.baseline_runs),
        f"models/{PROFILE}/baselines/runs.txt",


rule train_baseline:
    input:
        images=f"{PREPARED}/images.npy",
        split=f"{PREPARED}/split.csv",
        facts=f"{PREPARED}/facts.json",
        tuned=tuned("baseline"),
        code=code.inputs("train"),
    output:
        **run_files(BASELINE_RUN),
    params:
        folder=lambda wildcards, output: Path(output.summary_json).parent.as_posix(),
        prepared=lambda wildcards, input: Path(input.split).parent.as_posix(),
        options=options,
        settings=hyperparameters("baseline"),
    log:
        f"logs/{BASELINE_RUN}.log",
    benchmark:
        f"logs/benchmarks/{BASELINE_RUN}.tsv"
    conda:
        "../envs/hdkd.yaml"
    threads: 1
    resources:
        gpu=GPU,
    message:
        "Training {wildcards.baseline} on {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "hdkd train --dataset {wildcards.dataset} --role {wildcards.baseline} --group {wildcards.group}"
        " --subset {wildcards.subset} --seed {wildcards.seed} --prepared {params.prepared:q}"
        " {params.options} --threads {threads} --output {params.folder:q} 2>&1 > {log:q} | tee -a {log:q} >&2"
