"""Couplings and populations -> dephasing, lifetimes, the summary of all cases."""

# options of the dynamics that rates without trajectories depend on
OF_RATES = ["carrier", "scheme", "substeps", "dephasing_time_fs"]


rule dephasing:
    """Pure-dephasing time of the gap, by every definition."""
    input:
        couplings="<results>/{material}/{supercell}/{functional}/couplings.h5",
    output:
        dephasing="<results>/{material}/{supercell}/{functional}/dephasing.json",
    log:
        "<logs>/{material}/{supercell}/{functional}/dephasing.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/{functional}/dephasing.tsv"
    conda:
        "../../envs/dynamics.yaml"
    threads: 1
    resources:
        mem_mb=memory("dephasing"),
        runtime=minutes("dephasing"),
    params:
        code=code("commands/analysis.py:dephasing"),
        settings=settings("analysis", only=["confidence"]),
        effect=effect("analysis", only=["confidence"]),
    shell:
        "n2amd analysis dephasing --couplings {input.couplings:q} --settings {params.settings:q}"
        " --out {output.dephasing:q} > {log:q} 2>&1"


rule spectral_density:
    """Which vibrations drive the gap and the coupling: Fourier transforms of their autocorrelations."""
    input:
        couplings="<results>/{material}/{supercell}/{functional}/couplings.h5",
    output:
        spectrum="<results>/{material}/{supercell}/{functional}/spectrum.json",
        table="<results>/{material}/{supercell}/{functional}/spectrum.csv",
        libra="<results>/{material}/{supercell}/{functional}/spectrum_libra.csv",
    log:
        "<logs>/{material}/{supercell}/{functional}/spectral_density.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/{functional}/spectral_density.tsv"
    conda:
        "../../envs/dynamics.yaml"
    threads: 1
    resources:
        mem_mb=memory("spectral_density"),
        runtime=minutes("spectral_density"),
    params:
        code=code("commands/spectra.py:spectrum"),
        settings=settings("analysis", only=["spectrum_lag_fs"]),
        effect=effect("analysis", only=["spectrum_lag_fs"]),
    shell:
        "n2amd analysis spectrum --couplings {input.couplings:q} --settings {params.settings:q}"
        " --out {output.spectrum:q} --table {output.table:q} --libra {output.libra:q} > {log:q} 2>&1"


rule character:
    """Where the states around the gap live; asked for by states.projections."""
    input:
        couplings="<results>/{material}/{supercell}/{functional}/couplings.h5",
    output:
        character="<results>/{material}/{supercell}/{functional}/character.json",
    log:
        "<logs>/{material}/{supercell}/{functional}/character.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/{functional}/character.tsv"
    conda:
        "../../envs/dynamics.yaml"
    threads: 1
    resources:
        mem_mb=memory("character"),
        runtime=minutes("character"),
    params:
        code=code("commands/spectra.py:character"),
    shell:
        "n2amd analysis character --couplings {input.couplings:q} --out {output.character:q} > {log:q} 2>&1"


rule lifetime:
    """Carrier lifetime with its error bar and the verdict whether the run was long enough."""
    input:
        couplings=of_parent("<results>/{material}/{supercell}/{functional}/couplings.h5"),
        dephasing=of_parent("<results>/{material}/{supercell}/{functional}/dephasing.json"),
        dynamics=dynamics_of_variant,
    output:
        lifetime="<results>/{material}/{supercell}/{variant}/analysis/lifetime.json",
    log:
        "<logs>/{material}/{supercell}/{variant}/lifetime.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/{variant}/lifetime.tsv"
    conda:
        "../../envs/dynamics.yaml"
    threads: 1
    resources:
        mem_mb=memory("lifetime"),
        runtime=minutes("lifetime"),
    params:
        code=code("commands/analysis.py:lifetime"),
        settings=settings("analysis", omit=["spectrum_lag_fs", "layers"]),
        effect=effect("analysis", omit=["spectrum_lag_fs", "layers"]),
        scissor=scissor_option,
        scheme=lambda w: section("dynamics", w).scheme,
        substeps=lambda w: section("dynamics", w).substeps,
    shell:
        "n2amd analysis lifetime --couplings {input.couplings:q} --dephasing {input.dephasing:q}"
        " --dynamics {input.dynamics:q} --settings {params.settings:q} {params.scissor:q}"
        " --scheme {params.scheme} --substeps {params.substeps}"
        " --out {output.lifetime:q} > {log:q} 2>&1"


rule rates:
    """Capture and recombination through levels of a defect; asked for by states.defect."""
    input:
        couplings=of_parent("<results>/{material}/{supercell}/{functional}/couplings.h5"),
        dynamics=dynamics_of_variant,
        pristine=pristine_couplings,
    output:
        rates="<results>/{material}/{supercell}/{variant}/analysis/rates.json",
    log:
        "<logs>/{material}/{supercell}/{variant}/rates.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/{variant}/rates.tsv"
    conda:
        "../../envs/dynamics.yaml"
    threads: 1
    resources:
        mem_mb=memory("rates"),
        runtime=minutes("rates"),
    params:
        code=code("commands/rates.py"),
        settings=settings("analysis", omit=["spectrum_lag_fs", "layers"]),
        effect=effect("analysis", omit=["spectrum_lag_fs", "layers"]),
        hopping=settings("dynamics", only=OF_RATES),
        hopping_effect=effect("dynamics", only=OF_RATES),
        temperature=lambda w: section("trajectory", w).temperature_K,
        scissor=scissor_option,
        runs=lambda wildcards, input: [word for file in input.dynamics for word in ("--dynamics", file)],
        pristine=lambda wildcards, input: [word for file in input.pristine for word in ("--pristine", file)],
    shell:
        "n2amd analysis rates --couplings {input.couplings:q} {params.runs:q} {params.pristine:q}"
        " --settings {params.settings:q} --dynamics-settings {params.hopping:q}"
        " --temperature {params.temperature} {params.scissor:q} --out {output.rates:q} > {log:q} 2>&1"


rule spin_flips:
    """How fast spin-orbit coupling flips spins; asked for by states.spin_orbit."""
    input:
        couplings=of_parent("<results>/{material}/{supercell}/{functional}/couplings.h5"),
    output:
        flips="<results>/{material}/{supercell}/{variant}/analysis/spin_flips.json",
    log:
        "<logs>/{material}/{supercell}/{variant}/spin_flips.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/{variant}/spin_flips.tsv"
    conda:
        "../../envs/dynamics.yaml"
    threads: 1
    resources:
        mem_mb=memory("spin_flips"),
        runtime=minutes("spin_flips"),
    params:
        code=code("commands/rates.py"),
        settings=settings("analysis", omit=["spectrum_lag_fs", "layers"]),
        effect=effect("analysis", omit=["spectrum_lag_fs", "layers"]),
        hopping=settings("dynamics", only=OF_RATES),
        hopping_effect=effect("dynamics", only=OF_RATES),
        temperature=lambda w: section("trajectory", w).temperature_K,
        scissor=scissor_option,
    shell:
        "n2amd analysis spin-flips --couplings {input.couplings:q} --settings {params.settings:q}"
        " --dynamics-settings {params.hopping:q} --temperature {params.temperature} {params.scissor:q}"
        " --out {output.flips:q} > {log:q} 2>&1"


rule case:
    """Everything that one material, supercell and variant gave, in one document."""
    input:
        unpack(files_of_case),
    output:
        case="<results>/{material}/{supercell}/{variant}/analysis/case.json",
    log:
        "<logs>/{material}/{supercell}/{variant}/case.log",
    benchmark:
        "<benchmarks>/{material}/{supercell}/{variant}/case.tsv"
    conda:
        "../../envs/dynamics.yaml"
    threads: 1
    resources:
        mem_mb=memory("case"),
        runtime=minutes("case"),
    params:
        code=code("commands/analysis.py:case"),
        parity=lambda wildcards, input: (["--nac-parity", input.parity] if "parity" in input.keys() else []),
        rates=lambda wildcards, input: (["--rates", input.rates] if "rates" in input.keys() else []),
        flips=lambda wildcards, input: (
            ["--spin-flips", input.spin_flips] if "spin_flips" in input.keys() else []
        ),
        parts=parts_of_case,
    shell:
        "n2amd analysis case --couplings {input.couplings:q} --trajectory {input.trajectory:q}"
        " --dephasing {input.dephasing:q} --lifetime {input.lifetime:q} --forcefield {input.forcefield:q}"
        " --hamiltonian {input.hamiltonian:q} {params.parity:q} {params.rates:q} {params.flips:q} --material {wildcards.material}"
        " --supercell {wildcards.supercell} --functional {wildcards.variant} --out {output.case:q}"
        " {input.datasets:q} {params.parts:q} > {log:q} 2>&1"


rule summary:
    """All cases as one document and one table; the first case is the headline."""
    input:
        cases=every_case("<results>/{material}/{supercell}/{variant}/analysis/case.json"),
    output:
        summary="<results>/summary.json",
        table="<results>/summary.csv",
        tables=multiext(
            "<results>/tables/",
            *(
                "functionals.csv",
                "functionals.md",
                "supercells.csv",
                "supercells.md",
                "scaling.csv",
                "scaling.md",
            ),
        ),
        page="<results>/tables/tables.html",
        parquet="<results>/summary.parquet",
    log:
        "<logs>/summary.log",
    benchmark:
        "<benchmarks>/summary.tsv"
    conda:
        "../../envs/dynamics.yaml"
    threads: 1
    resources:
        mem_mb=memory("summary"),
        runtime=minutes("summary"),
    params:
        code=code("commands/analysis.py:summary"),
        folder=subpath(output.page, parent=True),
    shell:
        "n2amd analysis summary --out {output.summary:q} --table {output.table:q} --tables {params.folder:q}"
        " --case {input.cases:q} > {log:q} 2>&1"
