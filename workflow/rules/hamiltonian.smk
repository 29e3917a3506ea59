"""Data set -> Hamiltonian model (H0 and networks), its errors and its band structure."""


rule train_hamiltonian:
    """Train the model; the working folder keeps the checkpoints of an interrupted run."""
    input:
        dataset="<results>/{material}/{functional}/dataset.h5",
        overlap=overlap_fit,
        densities=lambda w: source(w).density_paths,
    output:
        model="<results>/{material}/{functional}/hamiltonian.pt",
    log:
        "<logs>/{material}/{functional}/train_hamiltonian.log",
    benchmark:
        "<benchmarks>/{material}/{functional}/train_hamiltonian.tsv"
    priority: 1  # on the longest path through the graph, as are the data before and the states behind it
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("train_hamiltonian"),
        runtime=minutes("train_hamiltonian"),
        gpu=gpus("train_hamiltonian"),
    params:
        code=code("commands/hamiltonian.py:train"),
        program=lambda w, resources: several_processes(resources),
        settings=settings("hamiltonian"),
        effect=effect("hamiltonian"),
        overlap=lambda w, input: ["--overlap", *input.overlap] if input.overlap else [],
        densities=lambda w, input: ["--densities", *input.densities] if input.densities else [],
    shell:
        "{params.program} hamiltonian train --dataset {input.dataset:q} {params.overlap:q} {params.densities:q} --settings {params.settings:q} --out {output.model:q}"
        " --workdir {output.model:q}.work --threads {threads} > {log:q} 2>&1"


rule evaluate_hamiltonian:
    """Errors on the held-out frames: elements, states and cells, and what is wrong."""
    input:
        dataset=of_model("dataset.h5"),
        model=of_model("hamiltonian.pt"),
    output:
        report="<results>/{material}/{functional}/hamiltonian.json",
    log:
        "<logs>/{material}/{functional}/evaluate_hamiltonian.log",
    benchmark:
        "<benchmarks>/{material}/{functional}/evaluate_hamiltonian.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("evaluate_hamiltonian"),
        runtime=minutes("evaluate_hamiltonian"),
    params:
        code=code("commands/hamiltonian.py:evaluate"),
    shell:
        "n2amd hamiltonian evaluate --dataset {input.dataset:q} --model {input.model:q}"
        " --out {output.report:q} > {log:q} 2>&1"


rule band_structure:
    """Bands of the network against those of DFT's own matrices, for one held-out frame."""
    input:
        dataset=of_model("dataset.h5"),
        model=of_model("hamiltonian.pt"),
    output:
        bands="<results>/{material}/{functional}/bands.json",
    log:
        "<logs>/{material}/{functional}/band_structure.log",
    benchmark:
        "<benchmarks>/{material}/{functional}/band_structure.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("band_structure"),
        runtime=minutes("band_structure"),
    params:
        code=code("commands/model_bands.py:bands"),
        path=lambda w: ["--path", "-".join(source(w).band_path)] if source(w).band_path else [],
    shell:
        "n2amd hamiltonian bands {input.model:q} --on {input.dataset:q} --out {output.bands:q} {params.path:q}"
        " > {log:q} 2>&1"
