"""Force field -> long classical trajectory of each supercell."""


rule run_trajectory:
    """Equilibrate, then keep every NVE frame; the working folder keeps the restart points."""
    input:
        structure=lambda w: JOB.materials[w.material].structure,
        forcefield=lambda w: f"<results>/{w.material}/{JOB.materials[w.material].trajectory_functional}/forcefield.model",
        code=code("forcefield/md.py", "forcefield/health.py", "forcefield/calculator.py"),
    output:
        trajectory="<results>/{material}/{supercell}/trajectory.h5",
    log:
        "<logs>/{material}/{supercell}/run_trajectory.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/run_trajectory.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
        runtime=1440,
        gpu=gpus("forcefield"),
    params:
        settings=settings("trajectory"),
    shell:
        "n2amd trajectory run --structure {input.structure:q} --supercell {wildcards.supercell}"
        " --forcefield {input.forcefield:q} --settings {params.settings:q} --out {output.trajectory:q}"
        " --material {wildcards.material} --workdir {output.trajectory:q}.work > {log:q} 2>&1"
