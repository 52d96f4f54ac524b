# Images: acquired, decoded once, split, balanced.


rule data:
    input:
        stamps(),
        expand("data/raw/{dataset}/manifest.csv", dataset=DATASETS),
        expand(
            f"{PREPARED}/{{file}}",
            dataset=DATASETS,
            file=["images.npy", "index.csv", "facts.json", "split.csv", "split.json", "copies.csv", "SHA256SUMS"],
        ),
        [smote_of(dataset) for dataset in DATASETS],


rule acquire:
    input:
        code=code_of("acquire"),
    output:
        manifest="data/raw/{dataset}/manifest.csv",
        **({"files": "data/raw/{dataset}/files.tar"} if STORED else {}),
    params:
        folder=lambda wildcards, output: Path(output.manifest).parent.as_posix(),
        source=lambda wildcards: source_of(wildcards.dataset),
        generated=lambda wildcards: (
            plain(SETTINGS.dataset(wildcards.dataset).classes)
            if SETTINGS.dataset(wildcards.dataset).source.kind == "generated"
            else None
        ),
    log:
        "logs/acquire/{dataset}.log",
    benchmark:
        "logs/benchmarks/acquire/{dataset}.tsv"
    conda:
        "../envs/hdkd.yaml"
    priority: 20
    message:
        "Acquiring the images of {wildcards.dataset}"
    shell:
        " && ".join(
            [
                "hdkd --log {log:q} acquire --dataset {wildcards.dataset} --output {params.folder:q}",
                *stored([PACK]),
            ]
        )


rule prepare:
    input:
        manifest="data/raw/{dataset}/manifest.csv",
        files=stored("data/raw/{dataset}/files.tar"),
        code=code_of("prepare"),
    output:
        images=f"{PREPARED}/images.npy",
        index=f"{PREPARED}/index.csv",
        facts=f"{PREPARED}/facts.json",
    params:
        folder=lambda wildcards, output: Path(output.index).parent.as_posix(),
        images=lambda wildcards: vars(SETTINGS.images(wildcards.dataset)),
        dataset=lambda wildcards: {
            key: plain(getattr(SETTINGS.dataset(wildcards.dataset), key))
            for key in ("title", "synthetic", "layout", "classes", "unreadable")
        },
    log:
        f"logs/{PROFILE}/prepare/{{dataset}}.log",
    benchmark:
        f"logs/benchmarks/{PROFILE}/prepare/{{dataset}}.tsv"
    conda:
        "../envs/hdkd.yaml"
    priority: 20
    threads: lambda wildcards: 1 if SETTINGS.dataset(wildcards.dataset).synthetic else 2
    resources:
        mem_mb=8000,
    message:
        "Decoding and resizing the images of {wildcards.dataset}"
    shell:
        " && ".join(
            [
                *stored([UNPACK]),
                "hdkd --log {log:q} prepare --dataset {wildcards.dataset} --manifest {input.manifest:q}"
                " --threads {threads} --output {params.folder:q}",
            ]
        )


rule split:
    input:
        images=f"{PREPARED}/images.npy",
        index=f"{PREPARED}/index.csv",
        listed=stored(f"{PREPARED}/facts.json"),
        code=code_of("split"),
    output:
        split=f"{PREPARED}/split.csv",
        facts=f"{PREPARED}/split.json",
        copies=f"{PREPARED}/copies.csv",
        sums=f"{PREPARED}/SHA256SUMS",
    params:
        folder=lambda wildcards, output: Path(output.split).parent.as_posix(),
        split=lambda wildcards: plain(SETTINGS.dataset(wildcards.dataset).split),
        validation=plain(SETTINGS.parameters.split),
    log:
        f"logs/{PROFILE}/split/{{dataset}}.log",
    benchmark:
        f"logs/benchmarks/{PROFILE}/split/{{dataset}}.tsv"
    conda:
        "../envs/hdkd.yaml"
    priority: 20
    message:
        "Splitting {wildcards.dataset} into training, validation and test images"
    shell:
        "hdkd --log {log:q} split --dataset {wildcards.dataset} --prepared {params.folder:q}"


rule smote:
    input:
        images=f"{PREPARED}/images.npy",
        split=f"{PREPARED}/split.csv",
        code=code_of("smote"),
    output:
        recipes=f"{PREPARED}/smote.csv",
    params:
        folder=lambda wildcards, output: Path(output.recipes).parent.as_posix(),
        smote=lambda wildcards: plain(SETTINGS.dataset(wildcards.dataset).smote),
    log:
        f"logs/{PROFILE}/smote/{{dataset}}.log",
    benchmark:
        f"logs/benchmarks/{PROFILE}/smote/{{dataset}}.tsv"
    conda:
        "../envs/hdkd.yaml"
    priority: 20
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
    message:
        "Choosing the images that SMOTE interpolates for {wildcards.dataset}"
    shell:
        "hdkd --log {log:q} smote --dataset {wildcards.dataset} --prepared {params.folder:q}"
        " --output {output.recipes:q}"
