"""One figure for everything that a person would rather look at; the report shows them with their captions."""

MODEL = "<results>/{material}/{functional}"
SUPERCELL = "<results>/{material}/{supercell}"
CASE = "<results>/{material}/{supercell}/{variant}"
PARENT = "<results>/{material}/{supercell}/{functional}"

# what: the files it is drawn from, the folder it goes into, its place in the report
FIGURES = {
    "forcefield-energy": (f"{MODEL}/forcefield.json", MODEL, "Force field"),
    "forcefield-force": (f"{MODEL}/forcefield.json", MODEL, "Force field"),
    "phonons": (f"{SUPERCELL}/phonons.json", SUPERCELL, "Force field"),
    "hamiltonian": (f"{MODEL}/hamiltonian.json", MODEL, "Hamiltonian"),
    "doubt": (lambda w: every_round("judged.json", w), MODEL, "Hamiltonian"),
    "bands": (f"{MODEL}/bands.json", MODEL, "Hamiltonian"),
    "nac-parity": (f"{MODEL}/nac_parity.json", MODEL, "Couplings"),
    "population-parity": (f"{MODEL}/nac_parity.json", MODEL, "Couplings"),
    "gap-and-coupling": (of_parent(f"{PARENT}/couplings.h5"), CASE, "Couplings"),
    "spectral-density": (of_parent(f"{PARENT}/spectrum.json"), CASE, "Couplings"),
    "character": (of_parent(f"{PARENT}/character.json"), CASE, "Couplings"),
    "dephasing": (of_parent(f"{PARENT}/dephasing.json"), CASE, "Dynamics"),
    "populations": (populations_and_lifetime, CASE, "Dynamics"),
    "lifetime-tau": (f"{CASE}/analysis/lifetime.json", CASE, "Dynamics"),
    "scaling": ("<results>/summary.json", "<results>", "Summary"),
}

for what, (sources, folder, category) in FIGURES.items():

    rule:
        name:
            f"draw_{what.replace('-', '_')}"
        input:
            sources=sources,
        output:
            figure=report(
                f"{folder}/figures/{what}.svg",
                caption=f"../report/{what}.rst",
                category=category,
                labels={"figure": what.replace("-", " "), **labels_of(folder)},
            ),
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
