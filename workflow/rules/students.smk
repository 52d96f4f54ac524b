# The hybrid student over subset sizes and seeds, without distillation and with it (HDKD).


rule students:
    input:
        summaries(plan.student_runs),


rule train_student:
    input:
        images=f"{PREPARED}/images.npy",
        split=f"{PREPARED}/split.csv",
        facts=f"{PREPARED}/facts.json",
        tuned=tuned("student"),
        code=code.inputs("train"),
    output:
        **run_files(STUDENT_RUN),
    params:
        folder=lambda wildcards, output: Path(output.summary_json).parent.as_posix(),
        prepared=lambda wildcards, input: Path(input.split).parent.as_posix(),
        options=options,
        settings=hyperparameters("student"),
    log:
        f"logs/{STUDENT_RUN}.log",
    benchmark:
        f"logs/benchmarks/{STUDENT_RUN}.tsv"
    conda:
        "../envs/hdkd.yaml"
    threads: 1
    resources:
        gpu=GPU,
    message:
        "Training the student alone on {wildcards.subset} images of {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "hdkd train --dataset {wildcards.dataset} --role student"
        " --group {wildcards.group} --block {wildcards.block} --stem-stride {wildcards.stride}"
        " --subset {wildcards.subset} --seed {wildcards.seed} --prepared {params.prepared:q}"
        " {params.options} --threads {threads} --output {params.folder:q} 2>&1 > {log:q} | tee -a {log:q} >&2"


rule train_hdkd:
    input:
        images=f"{PREPARED}/images.npy",
        split=f"{PREPARED}/split.csv",
        facts=f"{PREPARED}/facts.json",
        teacher=lambda wildcards: f"{teacher_folder(wildcards)}/model.safetensors",
        teacher_params=lambda wildcards: f"{teacher_folder(wildcards)}/params.json",
        tuned=tuned("hdkd"),
        code=code.inputs("train"),
    output:
        **run_files(HDKD_RUN),
    params:
        folder=lambda wildcards, output: Path(output.summary_json).parent.as_posix(),
        prepared=lambda wildcards, input: Path(input.split).parent.as_posix(),
        teacher=teacher_folder,
        options=options,
        settings=hyperparameters("hdkd"),
    log:
        f"logs/{HDKD_RUN}.log",
    benchmark:
        f"logs/benchmarks/{HDKD_RUN}.tsv"
    conda:
        "../envs/hdkd.yaml"
    threads: 1
    priority: 5  # longer than a student alone: short trainings fill the end
    resources:
        gpu=GPU,
    message:
        "Distilling into HDKD on {wildcards.subset} images of {wildcards.dataset}, seed {wildcards.seed}"
    shell:
        "hdkd train --dataset {wildcards.dataset} --role hdkd"
        " --group {wildcards.group} --block {wildcards.block} --stem-stride {wildcards.stride}"
        " --subset {wildcards.subset} --seed {wildcards.seed} --prepared {params.prepared:q}"
        " --teacher {params.teacher:q} {params.options} --threads {threads} --output {params.folder:q} 2>&1 > {log:q} | tee -a {log:q} >&2"
