"""Shards of states -> one tracked file of energies, overlaps and couplings."""

# options of the states that DFT's own frames know nothing of
NOT_OF_PARITY = ["frames_per_shard", "projections", "partition", "doubt_stride"]
# what columns are made of, and which of them are levels of a defect
OF_COLUMNS = ["valence", "conduction", "kpoint", "spin", "spin_orbit", "defect"]
# and of the couplings: they have no derivatives, so that both Hamiltonians are compared by differences
NOT_OF_DFT = ["scheme"]


rule assemble_couplings:
    """Join the shards, track the states, cut the margin."""
    input:
        shards=shards,
        trajectory="<results>/{material}/{supercell}/trajectory.h5",
    output:
        couplings="<results>/{material}/{supercell}/{functional}/couplings.h5",
    log:
        "<logs>/{material}/{supercell}/{functional}/assemble_couplings.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/{functional}/assemble_couplings.tsv"
    priority: 1
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("assemble_couplings"),
        runtime=minutes("assemble_couplings"),
    params:
        code=code("commands/couplings.py:assemble"),
        settings=settings("couplings"),
        effect=effect("couplings"),
        states=settings("states", only=OF_COLUMNS),
        states_effect=effect("states", only=OF_COLUMNS),
    shell:
        "n2amd couplings assemble {input.shards:q} --trajectory {input.trajectory:q} --settings {params.settings:q}"
        " --states-settings {params.states:q} --out {output.couplings:q} > {log:q} 2>&1"


rule coupling_parity:
    """Couplings and populations of the network against those of DFT's own matrices, on the same frames."""
    input:
        dataset="<results>/{material}/{functional}/dft_trajectory.h5",
        model=of_model("hamiltonian.pt"),
    output:
        parity="<results>/{material}/{functional}/nac_parity.json",
    log:
        "<logs>/{material}/{functional}/coupling_parity.log",
    benchmark:
        "<benchmarks>/{material}/{functional}/coupling_parity.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("coupling_parity"),
        runtime=minutes("coupling_parity"),
    params:
        code=code("commands/couplings.py:parity"),
        settings=settings("couplings", omit=NOT_OF_DFT),
        effect=effect("couplings", omit=NOT_OF_DFT),
        states=settings("states", omit=NOT_OF_PARITY),
        states_effect=effect("states", omit=NOT_OF_PARITY),
        temperature=lambda w: section("trajectory", w).temperature_K,
    shell:
        "n2amd couplings parity --dataset {input.dataset:q} --model {input.model:q} --settings {params.settings:q}"
        " --states-settings {params.states:q} --temperature {params.temperature} --out {output.parity:q}"
        " > {log:q} 2>&1"
