"""Active learning: the model chooses frames of a trajectory, they are labelled, the next model learns from them too.

Everything of a round is in `active_learning/round_N`. The data and the model before the first round are those of a
job without rounds, so that more rounds repeat none.
"""


rule select_frames:
    """Choose frames that the last model knows least, unlike each other and all that are labelled."""
    input:
        model=of_last_round("hamiltonian.pt"),
        known=of_last_round("dataset.h5"),
        trajectory=lambda w: expand(
            "<results>/{material}/{supercell}/trajectory.h5",
            material=w.material,
            supercell=source(w).active_learning.supercell or JOB.supercells[0],
        ),
    output:
        structures=f"<results>/{ROUND}/compute_these/structures.extxyz",
    log:
        f"<logs>/{ROUND}/select_frames.log",
    benchmark:
        f"<benchmarks>/{ROUND}/select_frames.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("select_frames"),
        runtime=minutes("select_frames"),
    params:
        code=code("commands/hamiltonian.py:select"),
        frames=lambda w: source(w).active_learning.frames,
        candidates=lambda w: source(w).active_learning.candidates,
    shell:
        "n2amd hamiltonian select --model {input.model:q} --structures {input.trajectory:q} --known {input.known:q}"
        " --count {params.frames} --candidates {params.candidates} --out {output.structures:q} > {log:q} 2>&1"


rule label_by_scf:
    """Compute the chosen frames self-consistently with what the data hold of their DFT code."""
    input:
        structures=f"<results>/{ROUND}/compute_these/structures.extxyz",
        dataset="<results>/{material}/{functional}/dataset.h5",
        model=of_last_round("hamiltonian.pt"),
    output:
        dataset=f"<results>/{ROUND}/scf.h5",
    log:
        f"<logs>/{ROUND}/label_by_scf.log",
    benchmark:
        f"<benchmarks>/{ROUND}/label_by_scf.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("label_by_scf"),
        runtime=minutes("label_by_scf"),
    params:
        code=code("commands/dft.py:scf"),
        forces=grid_cell_sampling,
        one_thread=one_thread,
    shell:
        "{params.one_thread} n2amd dft scf --dataset {input.dataset:q} --structures {input.structures:q}"
        " --model {input.model:q} {params.forces} --jobs {threads} --out {output.dataset:q} > {log:q} 2>&1"


use rule run_dft as label_by_engine with:
    input:
        structures=f"<results>/{ROUND}/compute_these/structures.extxyz",
    output:
        report=f"<results>/{ROUND}/dft.json",
    log:
        f"<logs>/{ROUND}/label_by_engine.log",
    benchmark:
        f"<benchmarks>/{ROUND}/label_by_engine.tsv"
    params:
        code=code("commands/dft.py:run", "dft/engines", "dft/pyscf"),
        engine=lambda w: source(w).engine.program,
        settings=lambda w, output: source(w).engine.model_dump_json(),
        effect=lambda w: json.dumps(effective_options(source(w).engine), sort_keys=True),
        frames="",
        folder=lambda w: folder_of_labels(w),


use rule ingest_dataset as ingest_labels with:
    input:
        structures=f"<results>/{ROUND}/compute_these/structures.extxyz",
        computed=lambda w: f"<results>/{ROUND}/dft.json" if source(w).labelled_by == "engine" else [],
    output:
        dataset=f"<results>/{ROUND}/ingested.h5",
        gate=f"<results>/{ROUND}/ingested.json",
    log:
        f"<logs>/{ROUND}/ingest_labels.log",
    benchmark:
        f"<benchmarks>/{ROUND}/ingest_labels.tsv"
    params:
        code=code("commands/dataset.py:ingest"),
        reader=reader_code,
        how=how_to_read_labels,
        one_thread=one_thread,


rule add_labels:
    """Put the labels to what was learned from before."""
    input:
        before=of_last_round("dataset.h5"),
        labels=lambda w: after_rounds(labels_name(w), w, int(w.round)),
    output:
        dataset=f"<results>/{ROUND}/dataset.h5",
    log:
        f"<logs>/{ROUND}/add_labels.log",
    benchmark:
        f"<benchmarks>/{ROUND}/add_labels.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("add_labels"),
        runtime=minutes("add_labels"),
    params:
        code=code("commands/dataset.py:merge"),
    shell:
        "n2amd dataset merge {input.before:q} {input.labels:q} --out {output.dataset:q} > {log:q} 2>&1"


use rule train_hamiltonian as train_round with:
    input:
        dataset=f"<results>/{ROUND}/dataset.h5",
        overlap=overlap_fit,
        densities=lambda w: source(w).density_paths,
    output:
        model=f"<results>/{ROUND}/hamiltonian.pt",
    log:
        f"<logs>/{ROUND}/train_round.log",
    benchmark:
        f"<benchmarks>/{ROUND}/train_round.tsv"


rule judge_choice:
    """Errors of the model that chose the frames on these frames, beside what it doubted."""
    input:
        dataset=of_last_round("dataset.h5"),
        model=of_last_round("hamiltonian.pt"),
        labels=lambda w: after_rounds(labels_name(w), w, int(w.round)),
    output:
        report=f"<results>/{ROUND}/judged.json",
    log:
        f"<logs>/{ROUND}/judge_choice.log",
    benchmark:
        f"<benchmarks>/{ROUND}/judge_choice.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("judge_choice"),
        runtime=minutes("judge_choice"),
    params:
        code=code("commands/hamiltonian.py:evaluate"),
    shell:
        "n2amd hamiltonian evaluate --dataset {input.dataset:q} --model {input.model:q} --on {input.labels:q}"
        " --out {output.report:q} > {log:q} 2>&1"
