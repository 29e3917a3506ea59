"""Structures -> DFT, where it is to be run; DFT output folders -> checked data sets."""


rule generate_structures:
    """Make the structures of one chunk; structure n depends on the seed and on n alone, so more chunks are just more."""
    input:
        structure=lambda w: JOB.materials[w.material].structure,
    output:
        structures="<results>/{material}/{functional}/dft/{chunk}.extxyz",
    log:
        "<logs>/{material}/{functional}/generate_structures_{chunk}.log",
    benchmark:
        "<benchmarks>/{material}/{functional}/generate_structures_{chunk}.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("generate_structures"),
        runtime=minutes("generate_structures"),
    params:
        code=code("commands/structures.py:generate"),
        settings=lambda w: source(w).structures.model_dump_json(exclude={"chunks", "frames_per_chunk"}),
        frames=chunk_frames,
    shell:
        "n2amd structures generate {input.structure:q} --settings {params.settings:q} {params.frames}"
        " --out {output.structures:q} > {log:q} 2>&1"


rule run_dft:
    """Single points of one chunk; frames that are finished are in the folder beside the report and stay there."""
    input:
        structures=structures_of_chunk,
    output:
        report="<results>/{material}/{functional}/dft/{chunk}.json",
    log:
        "<logs>/{material}/{functional}/run_dft_{chunk}.log",
    benchmark:
        "<benchmarks>/{material}/{functional}/run_dft_{chunk}.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("run_dft"),
        runtime=minutes("run_dft"),
    params:
        code=code("commands/dft.py:run", "dft/engines", "dft/pyscf"),
        engine=lambda w: source(w).engine.program,
        settings=lambda w, output: source(w).engine.model_dump_json(),
        effect=lambda w: json.dumps(effective_options(source(w).engine), sort_keys=True),
        frames=lambda w: chunk_frames(w) if source(w).structures.file else "",
        folder=lambda w: frames_of_chunk(w, w.chunk),
    shell:
        "n2amd dft run --engine {params.engine} --structures {input.structures:q} --settings {params.settings:q}"
        " {params.frames} --jobs {threads} --out {params.folder:q} --json {output.report:q} > {log:q} 2>&1"


rule ingest_dataset:
    """Read independent DFT frames into one data set; the gate refuses what is not consistent."""
    input:
        frames=frames_to_read,
        like=data_set_like,
        computed=dft_reports,
    output:
        dataset="<results>/{material}/{functional}/dataset.h5",
        gate="<results>/{material}/{functional}/dataset.json",
    log:
        "<logs>/{material}/{functional}/ingest_dataset.log",
    benchmark:
        "<benchmarks>/{material}/{functional}/ingest_dataset.tsv"
    priority: 1
    conda:
        "../../envs/learning.yaml"
    threads: lambda w: 1 if source(w).rebuilt else 2
    resources:
        mem_mb=memory("ingest_dataset"),
        runtime=minutes("ingest_dataset"),
    params:
        code=code("commands/dataset.py:ingest"),
        code_of_rebuilding=code_of_rebuilding,
        reader=reader_code,
        how=how_to_read,
        one_thread=one_thread,
    shell:
        "{params.one_thread} n2amd dataset {params.how}"
        " --out {output.dataset:q} --json {output.gate:q} > {log:q} 2>&1"


rule ingest_dft_trajectory:
    """Read consecutive DFT frames: the reference for couplings. One thread: it runs beside the training."""
    input:
        frames=lambda w: source(w).trajectory_paths,
    output:
        dataset="<results>/{material}/{functional}/dft_trajectory.h5",
    log:
        "<logs>/{material}/{functional}/ingest_dft_trajectory.log",
    benchmark:
        "<benchmarks>/{material}/{functional}/ingest_dft_trajectory.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("ingest_dft_trajectory"),
        runtime=minutes("ingest_dft_trajectory"),
    params:
        code=code("commands/dataset.py:ingest"),
        reader=reader_code,
        dft=lambda w: source(w).written_by,
        timestep=lambda w: source(w).trajectory_timestep_fs,
        given=given_to_ingestion,
        one_thread=one_thread,
    shell:
        "{params.one_thread} n2amd dataset ingest --jobs {threads} --code {params.dft} {input.frames:q} --functional {wildcards.functional} {params.given}"
        " --consecutive --timestep-fs {params.timestep} --out {output.dataset:q} > {log:q} 2>&1"


rule fit_overlap:
    """Recover radial functions from overlaps, where the DFT data have none; refuse what couplings would need in vain."""
    input:
        dataset="<results>/{material}/{functional}/dataset.h5",
    output:
        fit="<results>/{material}/{functional}/overlap.json",
    log:
        "<logs>/{material}/{functional}/fit_overlap.log",
    benchmark:
        "<benchmarks>/{material}/{functional}/fit_overlap.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 1
    resources:
        mem_mb=memory("fit_overlap"),
        runtime=minutes("fit_overlap"),
    params:
        code=code("commands/overlap.py:fit"),
        kind=lambda w: section("couplings", w).overlap,
    shell:
        "n2amd overlap fit --dataset {input.dataset:q} --require {params.kind} --out {output.fit:q} > {log:q} 2>&1"
