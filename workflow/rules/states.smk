"""Trajectory and network -> states around the gap, in static shards."""


rule solve_states:
    """Predict H, solve for the window and overlap neighbouring frames, for one part of the trajectory."""
    input:
        trajectory="<results>/{material}/{supercell}/trajectory.h5",
        model=of_model("hamiltonian.pt"),
    output:
        states="<results>/{material}/{supercell}/{functional}/states/shard_{shard}.h5",
    log:
        "<logs>/{material}/{supercell}/{functional}/solve_states_{shard}.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/{functional}/solve_states_{shard}.tsv"
    priority: 1
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("solve_states"),
        runtime=minutes("solve_states"),
        gpu=gpus("solve_states"),
    params:
        code=code("commands/states.py:solve"),
        settings=settings("states"),
        couplings=settings("couplings", omit=["degeneracy_meV", "order"]),
        number=lambda w: int(w.shard),
    shell:
        "n2amd states solve --trajectory {input.trajectory:q} --model {input.model:q}"
        " --settings {params.settings:q} --couplings-settings {params.couplings:q} --shard {params.number}"
        " --out {output.states:q} > {log:q} 2>&1"
