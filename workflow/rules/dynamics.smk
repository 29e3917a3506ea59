"""Couplings -> surface hopping."""


rule run_dynamics:
    """Hop on the classical path; any number of MPI ranks gives the same numbers.

    `mpi` is what starts the `tasks` ranks, mpiexec or srun; where it is empty there is one process and no MPI.
    """
    input:
        couplings=of_parent("<results>/{material}/{supercell}/{functional}/couplings.h5"),
    output:
        populations="<results>/{material}/{supercell}/{variant}/dynamics/{method}_seed{seed}.h5",
    log:
        "<logs>/{material}/{supercell}/{variant}/run_dynamics_{method}_seed{seed}.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/{variant}/run_dynamics_{method}_seed{seed}.tsv"
    priority: 1
    conda:
        "../../envs/dynamics.yaml"
    threads: 1
    resources:
        mpi="",
        tasks=1,
        mem_mb_per_cpu=memory("run_dynamics"),
        runtime=minutes("run_dynamics"),
    params:
        code=code("commands/dynamics.py:run"),
        settings=settings("dynamics", omit=["methods", "seeds"]),
        effect=effect("dynamics", omit=["methods", "seeds"]),
        temperature=lambda w: section("trajectory", w).temperature_K,
        scissor=scissor_option,
    shell:
        "mpi={resources.mpi:q}; ${{mpi:+$mpi -n {resources.tasks}}}"
        " n2amd dynamics run --couplings {input.couplings:q} --settings {params.settings:q}"
        " --method {wildcards.method} --seed {wildcards.seed} --temperature {params.temperature}"
        " {params.scissor:q} --out {output.populations:q} > {log:q} 2>&1"
