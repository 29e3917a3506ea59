"""DFT output folders -> checked data sets."""

INGESTION = (
    "dft",
    "blocks",
    *(
        f"dataset/{name}.py"
        for name in ("checks", "frame", "gate", "growing", "ingest", "series", "spectrum", "store", "work")
    ),
)
# two codes that write the same files share a reader
READER_FOLDERS = {"honpas": "dft/siesta"}


rule ingest_dataset:
    """Read independent DFT frames into one data set; the gate refuses what is not consistent."""
    input:
        frames=lambda w: source(w).paths,
        code=code(*INGESTION),
        reader=lambda w: code(READER_FOLDERS.get(source(w).code, f"dft/{source(w).code}")),
    output:
        dataset="<results>/{material}/{functional}/dataset.h5",
        gate="<results>/{material}/{functional}/dataset.json",
    log:
        "<logs>/{material}/{functional}/ingest_dataset.log",
    benchmark:
        "<benchmarks>/{material}/{functional}/ingest_dataset.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        dft=lambda w: source(w).code,
    shell:
        "OMP_NUM_THREADS=1 n2amd dataset ingest --jobs {threads} --code {params.dft} {input.frames:q} --functional {wildcards.functional}"
        " --out {output.dataset:q} --json {output.gate:q} > {log:q} 2>&1"


rule ingest_dft_trajectory:
    """Read consecutive DFT frames: the reference for couplings."""
    input:
        frames=lambda w: source(w).trajectory_paths,
        code=code(*INGESTION),
        reader=lambda w: code(READER_FOLDERS.get(source(w).code, f"dft/{source(w).code}")),
    output:
        dataset="<results>/{material}/{functional}/dft_trajectory.h5",
    log:
        "<logs>/{material}/{functional}/ingest_dft_trajectory.log",
    benchmark:
        "<benchmarks>/{material}/{functional}/ingest_dft_trajectory.tsv"
    conda:
        "../../envs/learning.yaml"
    threads: 2
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=60,
    params:
        dft=lambda w: source(w).code,
        timestep=lambda w: source(w).trajectory_timestep_fs,
    shell:
        "OMP_NUM_THREADS=1 n2amd dataset ingest --jobs {threads} --code {params.dft} {input.frames:q} --functional {wildcards.functional}"
        " --consecutive --timestep-fs {params.timestep} --out {output.dataset:q} > {log:q} 2>&1"
