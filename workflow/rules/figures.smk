"""One figure for everything that a person would rather look at; `n2amd analysis report` puts them on a page."""

MODEL = "<results>/{material}/{functional}"
SUPERCELL = "<results>/{material}/{supercell}"
CASE = "<results>/{material}/{supercell}/{variant}"
PARENT = "<results>/{material}/{supercell}/{functional}"

# what: the files it is drawn from, the folder it goes into
FIGURES = {
    "forcefield-energy": (f"{MODEL}/forcefield.json", MODEL),
    "forcefield-force": (f"{MODEL}/forcefield.json", MODEL),
    "phonons": (f"{SUPERCELL}/phonons.json", SUPERCELL),
    "hamiltonian": (f"{MODEL}/hamiltonian.json", MODEL),
    "doubt": (lambda w: every_round("judged.json", w), MODEL),
    "bands": (f"{MODEL}/bands.json", MODEL),
    "nac-parity": (f"{MODEL}/nac_parity.json", MODEL),
    "population-parity": (f"{MODEL}/nac_parity.json", MODEL),
    "gap-and-coupling": (of_parent(f"{PARENT}/couplings.h5"), CASE),
    "spectral-density": (of_parent(f"{PARENT}/spectrum.json"), CASE),
    "character": (of_parent(f"{PARENT}/character.json"), CASE),
    "defect": (f"{CASE}/analysis/rates.json", CASE),
    "dephasing": (of_parent(f"{PARENT}/dephasing.json"), CASE),
    "populations": (populations_and_lifetime, CASE),
    "lifetime-tau": (f"{CASE}/analysis/lifetime.json", CASE),
    "scaling": ("<results>/summary.json", "<results>"),
}

for what, (sources, folder) in FIGURES.items():

    rule:
        name:
            f"draw_{what.replace('-', '_')}"
        input:
            sources=sources,
        output:
            figure=f"{folder}/figures/{what}.svg",
        log:
            f"{folder}/figures/{what}.log".replace("<results>", "<logs>"),
        benchmark:
            f"{folder}/figures/{what}.tsv".replace("<results>", "<benchmarks>")
        conda:
            "../../envs/dynamics.yaml"
        threads: 1
        resources:
            mem_mb=memory("figure"),
            runtime=minutes("figure"),
        params:
            code=code("commands/analysis.py:figures"),
            what=what,
        shell:
            "n2amd analysis figures {input.sources:q} --what {params.what} --out {output.figure:q} > {log:q} 2>&1"
