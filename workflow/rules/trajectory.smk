"""Force field -> long classical trajectory of each supercell."""


rule run_trajectory:
    """Equilibrate, then keep every NVE frame; the working folder keeps the restart points."""
    input:
        structure=lambda w: JOB.materials[w.material].structure,
        forcefield=forcefield_of_material,
    output:
        # while more frames are made those that are there stay
        trajectory=update("<results>/{material}/{supercell}/trajectory.h5"),
    log:
        "<logs>/{material}/{supercell}/run_trajectory.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/run_trajectory.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("run_trajectory"),
        runtime=minutes("run_trajectory"),
        gpu=gpus("run_trajectory"),
    params:
        code=code("commands/trajectory.py:run"),
        settings=settings("trajectory"),
        effect=effect("trajectory"),
        accepted=accepted,
    shell:
        "n2amd trajectory run --structure {input.structure:q} --supercell {wildcards.supercell}"
        " --forcefield {input.forcefield:q} --settings {params.settings:q} --out {output.trajectory:q}"
        " --material {wildcards.material} --workdir {output.trajectory:q}.work > {log:q} 2>&1"


rule compare_phonons:
    """Vibrations of the trajectory, and modes of the force field against DFT's where it has forces of this cell."""
    input:
        structure=lambda w: JOB.materials[w.material].structure,
        forcefield=forcefield_of_material,
        trajectory="<results>/{material}/{supercell}/trajectory.h5",
        frames=labelled_frames,
    output:
        report="<results>/{material}/{supercell}/phonons.json",
    log:
        "<logs>/{material}/{supercell}/compare_phonons.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/compare_phonons.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("compare_phonons"),
        runtime=minutes("compare_phonons"),
    params:
        code=code("commands/forcefield.py:phonons"),
        frames=lambda w, input: [part for path in input.frames for part in ("--frames", path)],
    shell:
        "n2amd forcefield phonons --structure {input.structure:q} --supercell {wildcards.supercell}"
        " --forcefield {input.forcefield:q} --trajectory {input.trajectory:q} {params.frames:q}"
        " --out {output.report:q} > {log:q} 2>&1"
