# Tables, figures and the page, from run folders.

rule report:
    input:
        f"{REPORT}/report.html",


rule tables:
    input:
        summaries=summaries(plan.all_runs),
        facts=expand(f"{PREPARED}/{{file}}", dataset=DATASETS, file=["facts.json", "split.json"]),
        code=code.inputs("report"),
    output:
        [f"{REPORT}/{name}" for name in plan.TABLES],
        expand(f"{REPORT}/accuracy/{{dataset}}.csv", dataset=DATASETS),
    params:
        folder=lambda wildcards, output: Path(output[0]).parent.as_posix(),
    log:
        f"logs/{PROFILE}/tables.log",
    benchmark:
        f"logs/benchmarks/{PROFILE}/tables.tsv"
    conda:
        "../envs/hdkd.yaml"
    message:
        "Computing the tables"
    shell:
        "hdkd tables --output {params.folder:q} 2>&1 > {log:q} | tee -a {log:q} >&2"


# One rule per dataset: which figures there are depends on the dataset.
for DATASET in DATASETS:

    rule:
        name:
            f"figures_{DATASET}"
        input:
            summaries=[f"{run.folder}/summary.json" for run in plan.all_runs(SETTINGS, DATASET)],
            images=f"data/prepared/{PROFILE}/{DATASET}/images.npy",
            split=f"data/prepared/{PROFILE}/{DATASET}/split.csv",
            code=code.inputs("report"),
        output:
            light=[
                report(
                    f"{REPORT}/figures/{DATASET}/{name}.svg",
                    caption=f"../../hdkd/report/captions/{name}.rst",
                    category=SETTINGS.dataset(DATASET).title,
                    labels={"figure": name.replace("_", " ")},
                )
                for name in plan.figures(SETTINGS, DATASET)
            ],
            dark=[
                f"{REPORT}/figures/{DATASET}/{name}.dark.svg"
                for name in plan.figures(SETTINGS, DATASET)
            ],
        params:
            folder=lambda wildcards, output: Path(output.light[0]).parent.as_posix(),
            dataset=DATASET,
        log:
            f"logs/{PROFILE}/figures/{DATASET}.log",
        benchmark:
            f"logs/benchmarks/{PROFILE}/figures/{DATASET}.tsv"
        conda:
            "../envs/hdkd.yaml"
        message:
            "Drawing the figures of {params.dataset}"
        shell:
            "hdkd figures --dataset {params.dataset} --output {params.folder:q}"
            " 2>&1 > {log:q} | tee -a {log:q} >&2"


rule compare:
    input:
        # Of this study, where it is of the paper's data, and of what was committed of others.
        evidence=[
            f"reports/{profile}/{name}"
            for profile in plan.LEDGER_PROFILES
            for name in ("summaries.jsonl", "predictions.npz", "data.json")
            if profile == PROFILE or Path(f"reports/{profile}/{name}").exists()
        ],
        code=code.inputs("compare"),
    output:
        [path.as_posix() for path in plan.LEDGER],
    params:
        folder=lambda wildcards, output: Path(output[0]).parent.as_posix(),
        settings=[raw_settings(profile) for profile in plan.LEDGER_PROFILES],
    log:
        f"logs/{PROFILE}/compare.log",
    benchmark:
        f"logs/benchmarks/{PROFILE}/compare.tsv"
    conda:
        "../envs/hdkd.yaml"
    message:
        "Comparing with the paper's numbers"
    shell:
        "hdkd compare --output {params.folder:q} 2>&1 > {log:q} | tee -a {log:q} >&2"


rule page:
    input:
        ledger=rules.compare.output[0],
        tables=rules.tables.output,
        figures=[
            f"{REPORT}/figures/{dataset}/{name}{suffix}"
            for dataset in DATASETS
            for name in plan.figures(SETTINGS, dataset)
            for suffix in (".svg", ".dark.svg")
        ],
        code=code.inputs("report"),
    output:
        report(
            f"{REPORT}/report.html",
            caption="../../hdkd/report/captions/page.rst",
            category="Report",
        ),
    params:
        folder=lambda wildcards, output: Path(output[0]).parent.as_posix(),
    log:
        f"logs/{PROFILE}/page.log",
    benchmark:
        f"logs/benchmarks/{PROFILE}/page.tsv"
    conda:
        "../envs/hdkd.yaml"
    message:
        "Writing the report"
    shell:
        "hdkd page --output {params.folder:q} --ledger {input.ledger:q} 2>&1 > {log:q} | tee -a {log:q} >&2"


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
        "Listing the trainings of {wildcards.group}"
    shell:
        "hdkd runs --group {wildcards.group} 2> {log:q} > {output:q}"
