# Tables 6 and 7: another block, another stem stride; and HDKD distilled in other ways. The trainings are
# the rules of teacher.smk and students.smk, with other wildcards.


rule ablations:
    input:
        summaries(plan.ablation_runs),
        f"models/{PROFILE}/ablations/runs.txt",
