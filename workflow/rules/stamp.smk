# The code of the steps, where files lie in a store.
if STORED:

    rule stamp:
        output:
            "code/{step}-{digest}.txt",
        wildcard_constraints:
            step="[a-z]+",
            digest="[0-9a-f]{12}",
        log:
            "logs/code/{step}-{digest}.log",
        message:
            "The code of {wildcards.step} is new to the store"
        shell:
            "echo {wildcards.digest} > {output:q} 2> {log:q}"

    localrules:
        stamp,
