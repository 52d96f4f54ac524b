# The convolutional teacher, trained on all images, with SMOTE where the dataset asks for it.


rule teacher:
    input:
        summaries(plan.teacher_runs),


rule train_teacher:
    input:
        images=f"{PREPARED}/images.npy",
        split=f"{PREPARED}/split.csv",
        facts=f"{PREPARED}/facts.json",
        recipes=recipes,
        code=code.inputs("train"),
    output:
        **run_files(TEACHER_RUN),
    params:
        folder=lambda wildcards, output: Path(output.summary_json).parent.as_posix(),
        prepared=lambda wildcards, input: Path(input.split).parent.as_posix(),
        options=options,
        settings=hyperparameters("teacher"),
    log:
        f"logs/{TEACHER_RUN}.log",
    benchmark:
        f"logs/benchmarks/{TEACHER_RUN}.tsv"
    conda:
        "../envs/hdkd.yaml"
    threads: 1
    priority: 10
    resources:
        gpu=GPU,
    message:
        "Training the teacher ({wildcards.block}, stem stride {wildcards.stride}) on {wildcards.dataset}"
    shell:
        "hdkd train --dataset {wildcards.dataset} --role teacher"
        " --group {wildcards.group} --block {wildcards.block} --stem-stride {wildcards.stride}"
        " --subset {wildcards.subset} --seed {wildcards.seed} --prepared {params.prepared:q}"
        " {params.options} --threads {threads} --output {params.folder:q} 2>&1 > {log:q} | tee -a {log:q} >&2"
