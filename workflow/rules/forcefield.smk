"""Data set -> Allegro force field."""


rule train_forcefield:
    """Train through nequip's own command line; the working folder keeps the checkpoints of an interrupted run."""
    input:
        dataset="<results>/{material}/{functional}/dataset.h5",
        further=lambda w: source(w).forcefield_paths,
        judges=lambda w: source(w).forcefield_test_paths,
    output:
        model="<results>/{material}/{functional}/forcefield.model",
        report="<results>/{material}/{functional}/forcefield.json",
    log:
        "<logs>/{material}/{functional}/train_forcefield.log",
    benchmark:
        "<benchmarks>/{material}/{functional}/train_forcefield.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("train_forcefield"),
        runtime=minutes("train_forcefield"),
        gpu=gpus("train_forcefield"),
    params:
        code=code("commands/forcefield.py:train", "forcefield/monitor.py", "soap.py"),
        settings=settings("forcefield"),
        effect=effect("forcefield"),
        frames=lambda w: "".join(
            f" --frames {shlex.quote(str(path))}" for path in source(w).forcefield_paths
        )
        + "".join(f" --judge-on {shlex.quote(str(path))}" for path in source(w).forcefield_test_paths),
    shell:
        "n2amd forcefield train --dataset {input.dataset:q} --settings {params.settings:q}{params.frames} --out {output.model:q}"
        " --report {output.report:q} --workdir {output.model:q}.work > {log:q} 2>&1"
