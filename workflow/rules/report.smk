# Tables, figures and the page, from run folders.
from hdkd.report import figures


rule report:
    input:
        stamps(),
        f"{REPORT}/report.html",


rule tables:
    input:
        summaries=run_folders(plan.all_runs),
        facts=expand(f"{PREPARED}/{{file}}", dataset=DATASETS, file=["facts.json", "split.json"]),
        notes=notes(),
        code=code_of("tables"),
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
        "hdkd --log {log:q} tables --output {params.folder:q}"


# One rule per dataset: which figures there are depends on the dataset.
for DATASET in DATASETS:

    rule:
        name:
            f"figures_{DATASET}"
        input:
            summaries=run_folders(plan.all_runs, [DATASET]),
            images=f"data/prepared/{PROFILE}/{DATASET}/images.npy",
            split=f"data/prepared/{PROFILE}/{DATASET}/split.csv",
            checked=stored(expand(CHECKED, dataset=DATASET)),
            smote=stored(smote_of(DATASET)),
            predictions=(
                f"{REPORT}/predictions.npz" if plan.method_runs(SETTINGS, DATASET) else []
            ),
            code=code_of("figures"),
        output:
            light=[
                report(
                    f"{REPORT}/figures/{DATASET}/{figure.name}.svg",
                    caption=figure.caption.as_posix(),
                    category=SETTINGS.dataset(DATASET).title,
                    labels={"figure": figure.name.replace("_", " ")},
                )
                for figure in figures.of_study(SETTINGS, DATASET)
            ],
            dark=[
                f"{REPORT}/figures/{DATASET}/{figure.name}.dark.svg"
                for figure in figures.of_study(SETTINGS, DATASET)
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
            "hdkd --log {log:q} figures --dataset {params.dataset} --output {params.folder:q}"


rule compare:
    input:
        # Of other studies it takes what is there; that is a parameter, so that the graph does not depend on it.
        evidence=evidence(PROFILE) if PROFILE in plan.LEDGER_PROFILES else [],
        code=code_of("compare"),
    output:
        [path.as_posix() for path in plan.LEDGER],
    params:
        folder=lambda wildcards, output: Path(output[0]).parent.as_posix(),
        others={
            profile: checksums(profile)
            for profile in plan.LEDGER_PROFILES
            if profile != PROFILE
        },
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
        "hdkd --log {log:q} compare --output {params.folder:q}"


rule page:
    input:
        ledger=rules.compare.output[0],
        # What MLflow lacks of the ledger and the runs, it gets at the end.
        delivered=stored([rules.compare.output[1], *run_folders(plan.all_runs)]),
        tables=rules.tables.output,
        figures=[
            f"{REPORT}/figures/{dataset}/{figure.name}{suffix}"
            for dataset in DATASETS
            for figure in figures.of_study(SETTINGS, dataset)
            for suffix in (".svg", ".dark.svg")
        ],
        notes=notes(),
        code=code_of("page"),
    output:
        report(
            f"{REPORT}/report.html",
            caption="../../hdkd/report/page.rst",
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
        "hdkd --log {log:q} page --output {params.folder:q} --ledger {input.ledger:q}"
