"""Trajectory and network -> states around the gap, in shards of the same frames always."""


rule describe_states:
    """Say what states are of, their frames apart: what is other here solves all shards again.

    A job of its own, because Snakemake looks for no reason of a job's own behind a file that is `ancient` to it.
    """
    input:
        structure=lambda w: JOB.materials[w.material].structure,
        forcefield=forcefield_of_material,
        model=of_model("hamiltonian.pt"),
    output:
        description="<results>/{material}/{supercell}/{functional}/states/description.json",
    log:
        "<logs>/{material}/{supercell}/{functional}/describe_states.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/{functional}/describe_states.tsv"
    localrule: True
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=100,
        runtime=1,
    params:
        code=code("commands/states.py:solve"),
        code_of_trajectory=code("commands/trajectory.py:run"),
        description=description_of_states,
    shell:
        "printf '%s\\n' {params.description:q} > {output.description:q} 2> {log:q}"


rule solve_states:
    """Predict H, solve for the window and overlap neighbouring frames, for one part of the trajectory.

    A trajectory that has only got more frames is a newer file, but no news for its shards (`ancient`): what moves its
    atoms is in the description. That shards are of its frames is checked where they are joined. The model is no input
    of its own, because the description is of it: a sweep has thousands of shards, and Snakemake looks at each input.

    `mpi` is what starts the `tasks` processes that share factors of MUMPS, mpirun or srun; where it is empty there is
    one process and no MPI.
    """
    input:
        trajectory=ancient("<results>/{material}/{supercell}/trajectory.h5"),
        description="<results>/{material}/{supercell}/{functional}/states/description.json",
    output:
        states="<results>/{material}/{supercell}/{functional}/states/frames_{shard}.h5",
    log:
        "<logs>/{material}/{supercell}/{functional}/solve_states_{shard}.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/{functional}/solve_states_{shard}.tsv"
    priority: 1
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        **gpu_of_shard(),
        mpi="",
        tasks=1,
        mem_mb=memory("solve_states"),
        runtime=minutes("solve_states"),
    params:
        code=code("commands/states.py:solve"),
        settings=settings("states"),
        couplings=settings("couplings", only=["overlap", "scheme"]),
        model=model_of_states,
    shell:
        "mpi={resources.mpi:q}; ${{mpi:+$mpi -n {resources.tasks}}}"
        " n2amd states solve --trajectory {input.trajectory:q} --model {params.model:q}"
        " --settings {params.settings:q} --couplings-settings {params.couplings:q} --frames {wildcards.shard}"
        " --out {output.states:q} > {log:q} 2>&1"
