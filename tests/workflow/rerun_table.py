"""What runs again after which change: the rows of the table in docs/quickstart.md, each of them tested.

Jobs are those of config/test.yaml: one material, functional and supercell, one scissor variant, two methods,
one seed, 100 frames in two shards. `python tests/workflow/rerun_table.py` prints the table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from workflow_project import ROOT, Project

RESULTS = "results-test/TiO2"
Change = Callable[[Project], str]


@dataclass(frozen=True)
class Row:
    """A change, and the jobs that it runs again.

    Attributes
    ----------
    change
        As the page says it.
    apply
        Makes it in a finished project and returns the configuration to use then.
    jobs
        Jobs by rule, without `all`.
    """

    change: str
    apply: Change
    jobs: dict[str, int] = field(default_factory=dict)

    def cells(self) -> tuple[str, str]:
        """The row of the page: the change, and how many jobs of which rules; quick ones are summed up."""
        shown = {rule: n for rule, n in self.jobs.items() if not _is_quick(rule)}
        said = [f"`{rule}`" + (f" {n}" if n > 1 else "") for rule, n in shown.items()]
        if quick := sum(self.jobs.values()) - sum(shown.values()):
            said.append(f"{quick} of analysis and figures")
        return self.change, ", ".join(said) or "nothing"


def _is_quick(rule: str) -> bool:
    return rule.startswith("draw_") or rule in ANALYSIS


def option(**sections: dict) -> Change:
    """Other values of options, by section."""

    def change(document: dict) -> None:
        for name, values in sections.items():
            document.setdefault(name, {}).update(values)

    return lambda project: project.config("changed", change)


def configured(change: Callable[[dict], None]) -> Change:
    return lambda project: project.config("changed", change)


def edited(*files: str, text: str = "\nCHANGED = 1\n") -> Change:
    """Other code in modules of the package; all of them where none is named."""

    def apply(project: Project) -> str:
        package = project.folder / "src/n2amd"
        for file in [package / name for name in files] or sorted(package.rglob("*.py")):
            file.write_text(file.read_text() + text)
        return "config/test.yaml"

    return apply


def deleted(path: str) -> Change:
    def apply(project: Project) -> str:
        (project.folder / RESULTS / path).unlink()
        return "config/test.yaml"

    return apply


def add_supercell(document: dict) -> None:
    document["supercells"].append("1x1x2")


def add_material(document: dict) -> None:
    first = document["materials"]["TiO2"]
    source = {name: first["functionals"]["pbe"][name] for name in ("code", "paths")}
    document["materials"]["other"] = {"structure": first["structure"], "functionals": {"pbe": source}}


def add_functional(document: dict) -> None:
    material = document["materials"]["TiO2"]
    source = {name: material["functionals"]["pbe"][name] for name in ("code", "paths")}
    material["functionals"]["hse06"] = source
    material["forcefield_functional"] = "pbe"


def add_scissor(document: dict) -> None:
    document["materials"]["TiO2"]["functionals"]["pbe"]["scissors"].append({"label": "gw", "gap_eV": 3.5})


def hotter(document: dict) -> None:
    document["materials"]["TiO2"]["overrides"] = {"trajectory": {"temperature_K": 400.0}}


# the end of one functional with its scissor variant
CASES = {"lifetime": 2, "case": 2, "summary": 1, "draw_populations": 2, "draw_lifetime_tau": 2}
OF_COUPLINGS = {
    "dephasing": 1,
    "spectral_density": 1,
    "character": 1,
    "run_dynamics": 4,
    **CASES,
    "draw_gap_and_coupling": 1,
    "draw_dephasing": 1,
    "draw_spectral_density": 1,
    "draw_character": 1,
}
COUPLINGS = {"assemble_couplings": 1, **OF_COUPLINGS}
STATES = {"solve_states": 2, **COUPLINGS}
PARITY = {"coupling_parity": 1, "draw_nac_parity": 1, "draw_population_parity": 1}
DESCRIBED = {"describe_states": 1}
# of a model without DFT trajectory and scissor
MODEL = {
    "ingest_dataset": 1,
    "train_hamiltonian": 1,
    "evaluate_hamiltonian": 1,
    "band_structure": 1,
    "draw_hamiltonian": 1,
    "draw_bands": 1,
}
FORCEFIELD = {"train_forcefield": 1, "draw_forcefield_energy": 1, "draw_forcefield_force": 1}
SEVERAL = {"run_dynamics", "lifetime", "case", "draw_populations", "draw_lifetime_tau"}
PLAIN = {**DESCRIBED, **{rule: n // 2 if rule in SEVERAL else n for rule, n in STATES.items()}}
OF_TRAJECTORY = {"compare_phonons": 1, "draw_phonons": 1}
TRAJECTORY = {"run_trajectory": 1, **OF_TRAJECTORY}
ANALYSIS = {
    "band_structure",
    "case",
    "character",
    "compare_phonons",
    "dephasing",
    "describe_states",
    "evaluate_hamiltonian",
    "lifetime",
    "spectral_density",
    "summary",
}
EVERYTHING = {
    **MODEL,
    "ingest_dft_trajectory": 1,
    **FORCEFIELD,
    **TRAJECTORY,
    **DESCRIBED,
    **STATES,
    **PARITY,
}

ROWS = (
    Row("`couplings.degeneracy_meV`", option(couplings={"degeneracy_meV": 1.0}), {**COUPLINGS, **PARITY}),
    Row("`couplings.order`", option(couplings={"order": "character"}), {**COUPLINGS, **PARITY}),
    Row(
        "`couplings.scheme` to analytic, with `dynamics.scheme: hst`",
        option(couplings={"scheme": "analytic"}, dynamics={"scheme": "hst"}),
        {**DESCRIBED, **STATES},
    ),
    Row("`trajectory.checkpoint_every`", option(trajectory={"checkpoint_every": 10})),
    Row("`forcefield.device`, where no GPU is", option(forcefield={"device": "cpu"})),
    Row("`hamiltonian.device`, where no GPU is", option(hamiltonian={"device": "cpu"})),
    Row("`states.device`, where no GPU is", option(states={"device": "cpu"})),
    Row(
        "`trajectory.max_drift_meV_per_atom_per_ps`, `max_temperature_ratio`",
        option(trajectory={"max_drift_meV_per_atom_per_ps": 1.1, "max_temperature_ratio": 2.0}),
    ),
    Row(
        "the same, below what the trajectory has: it is refused",
        option(trajectory={"max_drift_meV_per_atom_per_ps": 0.9}),
        {**TRAJECTORY, **COUPLINGS},
    ),
    Row(
        "`trajectory.frames` 100 to 120: the trajectory goes on, one new shard",
        option(trajectory={"frames": 120}),
        {**TRAJECTORY, "solve_states": 1, **COUPLINGS},
    ),
    Row(
        "`trajectory.frames` 100 to 90: the last shard is a shorter one",
        option(trajectory={"frames": 90}),
        {**TRAJECTORY, "solve_states": 1, **COUPLINGS},
    ),
    Row(
        "`trajectory.temperature_K` of a material",
        configured(hotter),
        {**TRAJECTORY, **DESCRIBED, **STATES, **PARITY},
    ),
    Row(
        "`states.frames_per_shard` 50 to 25",
        option(states={"frames_per_shard": 25}),
        {"solve_states": 4, **COUPLINGS},
    ),
    Row("`states.valence`", option(states={"valence": 3}), {**DESCRIBED, **STATES, **PARITY}),
    Row(
        "`states.valence` and `trajectory.frames` at once",
        option(states={"valence": 3}, trajectory={"frames": 120}),
        {**TRAJECTORY, **DESCRIBED, **STATES, "solve_states": 3, **PARITY},
    ),
    Row("`analysis.bootstrap`", option(analysis={"bootstrap": 30}), CASES),
    Row(
        "another supercell",
        configured(add_supercell),
        {**TRAJECTORY, **DESCRIBED, **STATES, "draw_scaling": 1},
    ),
    Row("another material", configured(add_material), {**MODEL, **FORCEFIELD, **TRAJECTORY, **PLAIN}),
    Row("another functional", configured(add_functional), {**MODEL, **PLAIN}),
    Row(
        "another scissor variant",
        configured(add_scissor),
        {"run_dynamics": 2, **dict.fromkeys(CASES, 1)},
    ),
    Row("another seed of the dynamics", option(dynamics={"seeds": [1, 2]}), {"run_dynamics": 4, **CASES}),
    Row("code: a comment in any file", edited(text="\n# changed\n")),
    Row("code: `orbitals/conventions.py`", edited("orbitals/conventions.py"), EVERYTHING),
    Row("code: `orbitals/harmonics.py`", edited("orbitals/harmonics.py"), EVERYTHING),
    Row("code: `orbitals/basis.py`", edited("orbitals/basis.py"), EVERYTHING),
    Row("code: `units.py`", edited("units.py"), EVERYTHING),
    Row("code: `structure.py`", edited("structure.py"), EVERYTHING),
    Row(
        "code: `trajectory/file.py`",
        edited("trajectory/file.py"),
        {**TRAJECTORY, **DESCRIBED, **STATES},
    ),
    Row("code: `couplings/tracking.py`", edited("couplings/tracking.py"), {**COUPLINGS, **PARITY}),
    Row(
        "code: `hopping/dish_kernel.py`",
        edited("hopping/dish_kernel.py"),
        {"run_dynamics": 4, "spectral_density": 1, **CASES, "draw_spectral_density": 1},
    ),
    Row("code: `trajectory/md.py`", edited("trajectory/md.py"), {**TRAJECTORY, **DESCRIBED, **STATES}),
    Row("code: `config/`, whose options are compared themselves", edited("config/states.py")),
    Row("code: `dft/abacus/frame.py`, of a code that the job does not use", edited("dft/abacus/frame.py")),
    Row(
        "a shard is deleted",
        deleted("1x1x1/pbe/states/frames_000000-000049.h5"),
        {"solve_states": 1, **COUPLINGS},
    ),
    Row("a trajectory is deleted", deleted("1x1x1/trajectory.h5"), {**TRAJECTORY, **STATES}),
    Row(
        "populations are deleted",
        deleted("1x1x1/pbe/dynamics/dish_seed1.h5"),
        {"run_dynamics": 1, **dict.fromkeys(CASES, 1)},
    ),
)

BEGIN = "<!-- generated by tests/workflow/rerun_table.py -->\n"
END = "<!-- end of what is generated -->\n"


def render() -> str:
    """The table as the page has it."""
    rows = [
        ("change", "runs again (jobs of `config/test.yaml`)"),
        ("---", "---"),
        *(row.cells() for row in ROWS),
    ]
    return BEGIN + "".join(f"| {change} | {jobs} |\n" for change, jobs in rows) + END


def page() -> str:
    """What the page has between the marks."""
    text = (ROOT / "docs/quickstart.md").read_text()
    start, stop = text.index(BEGIN), text.index(END)
    return text[start:stop] + END


if __name__ == "__main__":
    print(render(), end="")
