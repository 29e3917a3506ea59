"""Which jobs a configuration asks for, and which of them a change runs again."""

from __future__ import annotations

import re
import sys

import pytest
from workflow_project import Project, lines_of_code

MODELS = {
    "ingest_dataset": 1,
    "ingest_dft_trajectory": 1,
    "train_forcefield": 1,
    "train_hamiltonian": 1,
    "evaluate_hamiltonian": 1,
    "band_structure": 1,
    "coupling_parity": 1,
    "draw_forcefield_energy": 1,
    "draw_forcefield_force": 1,
    "draw_hamiltonian": 1,
    "draw_bands": 1,
    "draw_nac_parity": 1,
    "draw_population_parity": 1,
}
OF_PARITY = {"ingest_dft_trajectory", "coupling_parity", "draw_nac_parity", "draw_population_parity"}
END = {"summary": 1, "all": 1}
# once a supercell, whatever the functionals of its states
OF_TRAJECTORY = {"run_trajectory", "compare_phonons", "draw_phonons"}


def supercell_jobs(
    shards: int, *, variants: int = 2, methods: int = 2, seeds: int = 1, projected: bool = True
) -> dict[str, int]:
    """Jobs of one supercell of one functional with its scissor variants; with the states' weights."""
    return {
        "run_trajectory": 1,
        "compare_phonons": 1,
        "draw_phonons": 1,
        "describe_states": 1,
        "solve_states": shards,
        "assemble_couplings": 1,
        "dephasing": 1,
        "spectral_density": 1,
        "run_dynamics": variants * methods * seeds,
        "lifetime": variants,
        "case": variants,
        "draw_gap_and_coupling": 1,
        "draw_dephasing": 1,
        "draw_spectral_density": 1,
        "draw_populations": variants,
        "draw_lifetime_tau": variants,
        **({"character": 1, "draw_character": 1} if projected else {}),
    }


def total(*parts: dict[str, int]) -> dict[str, int]:
    return {
        name: sum(part.get(name, 0) for part in parts) for name in {name for part in parts for name in part}
    }


def add_second_material(document: dict) -> None:
    first = document["materials"]["TiO2"]
    document["materials"]["rutile-b"] = {
        "structure": first["structure"],
        "functionals": {
            "pbe": {"code": "honpas", "paths": first["functionals"]["pbe"]["paths"]},
            "hse06": {"code": "honpas", "paths": first["functionals"]["pbe"]["paths"]},
        },
        "forcefield_functional": "pbe",
        "overrides": {"states": {"frames_per_shard": 34}, "dynamics": {"methods": ["dish"]}},
    }


def test_default_configuration(pristine: Project) -> None:
    assert pristine.planned("config/config.yaml") == total(MODELS, supercell_jobs(shards=4), END)


def test_test_configuration(pristine: Project) -> None:
    assert pristine.planned("config/test.yaml") == total(MODELS, supercell_jobs(shards=2), END)


def test_pairs_take_the_same_graph(pristine: Project) -> None:
    config = pristine.config("pairs", lambda document: document["dynamics"].update(carrier="pair"))
    assert pristine.planned(config) == total(MODELS, supercell_jobs(shards=2), END)


def test_configuration_laid_over_another(pristine: Project) -> None:
    jobs = pristine.planned("config/config.yaml", "config/studies/supercells.yaml")
    assert jobs == total(MODELS, *[supercell_jobs(shards=4)] * 3, END, {"draw_scaling": 1})


def test_a_shard_asks_for_what_its_supercell_needs(pristine: Project) -> None:
    def large(document: dict) -> None:
        document["supercells"] = ["1x1x1", "8x8x12"]

    shown = pristine.snakemake("-n", "--configfile", pristine.config("large", large)).stdout
    asked = {
        cell: int(memory)
        for cell, memory in re.findall(
            r"supercell=(\w+), functional=pbe, shard=.*\n(?:.*priority.*\n)?.*mem_mb=(\d+)", shown
        )
    }
    # 4,608 atoms: the factor alone has 7e4 by 7e4 numbers
    assert asked["1x1x1"] < 2000
    assert asked["8x8x12"] > 45000


def test_two_materials_and_two_functionals(pristine: Project) -> None:
    config = pristine.config("two", add_second_material)
    both_functionals = {
        "ingest_dataset": 2,
        "train_hamiltonian": 2,
        "evaluate_hamiltonian": 2,
        "band_structure": 2,
        "draw_hamiltonian": 2,
        "draw_bands": 2,
        # one force field, one trajectory: both functionals share them
        "train_forcefield": 1,
        "draw_forcefield_energy": 1,
        "draw_forcefield_force": 1,
    }
    supercell = supercell_jobs(shards=3, variants=1, methods=1)
    second = {name: n if name in OF_TRAJECTORY else 2 * n for name, n in supercell.items()}
    expected = total(MODELS, supercell_jobs(shards=2), both_functionals, second, END)
    assert pristine.planned(config) == expected


def add_rounds(document: dict, count: int = 2, **settings: object) -> None:
    """Let the network of the test job choose frames of its trajectory."""
    source = document["materials"]["TiO2"]["functionals"]["pbe"]
    source["active_learning"] = {"rounds": count, "frames": 2, "candidates": 20, **settings}


LOOP = {"select_frames": 1, "add_labels": 1, "train_round": 1, "judge_choice": 1}


@pytest.mark.parametrize(
    ("label_by", "labelling"), [("scf", ["label_by_scf"]), ("folder", ["ingest_labels"])]
)
def test_rounds_of_active_learning(pristine: Project, label_by: str, labelling: list[str]) -> None:
    config = pristine.config("rounds", lambda document: add_rounds(document, 3, label_by=label_by))
    loop = total(*[LOOP | dict.fromkeys(labelling, 1)] * 3, {"draw_doubt": 1})
    assert pristine.planned(config) == total(MODELS, supercell_jobs(shards=2), END, loop)


def test_rounds_with_an_engine_and_a_supercell_of_their_own(pristine: Project) -> None:
    def change(document: dict) -> None:
        compute_silicon(document)
        add_rounds(document, 1, supercell="1x1x2")

    config = pristine.config("engine", change)
    jobs = pristine.planned(config)
    assert (jobs["run_dft"], jobs["label_by_engine"], jobs["ingest_labels"]) == (2, 1, 1)
    assert jobs["run_trajectory"] == 2
    shown = pristine.snakemake("-n", "-p", "--configfile", config).stdout
    assert "select --model results-test/TiO2/pbe/hamiltonian.pt" in shown
    assert (
        "--structures results-test/TiO2/1x1x2/trajectory.h5 --known results-test/TiO2/pbe/dataset.h5" in shown
    )
    last = "results-test/TiO2/pbe/active_learning/round_1"
    assert (
        f"states solve --trajectory results-test/TiO2/1x1x1/trajectory.h5 --model {last}/hamiltonian.pt"
        in shown
    )
    assert f"hamiltonian evaluate --dataset {last}/dataset.h5 --model {last}/hamiltonian.pt" in shown


def test_structures_for_a_folder_say_where_the_results_go(pristine: Project) -> None:
    config = pristine.config("folder", lambda document: add_rounds(document, 1, label_by="folder"))
    shown = pristine.snakemake("-n", "-p", "--configfile", config).stdout
    place = "results-test/TiO2/pbe/active_learning/round_1"
    assert f"--code honpas {place}/computed --functional pbe" in shown
    assert f"--expect {place}/compute_these/structures.extxyz" in shown


COMPUTED = {
    "generate_structures": 4,
    "run_dft": 4,
    **{name: n for name, n in MODELS.items() if "dft_trajectory" not in name and "parity" not in name},
}


def test_silicon_from_dft(pristine: Project) -> None:
    """A study that is a job of its own: every chunk of structures is a job of CP2K."""
    jobs = pristine.planned("config/studies/si-from-dft.yaml")
    assert jobs == total(COMPUTED, supercell_jobs(shards=10, variants=1, projected=False), END)


def test_levels_of_a_defect_ask_for_weights_and_rates(pristine: Project) -> None:
    def with_defect(document: dict) -> None:
        document["states"].update(projections="none", defect={"atoms": [0]})
        document["couplings"] = {**document.get("couplings", {}), "order": "character"}

    plain = pristine.planned(pristine.config("no-defect", lambda d: d["states"].update(projections="none")))
    jobs = pristine.planned(pristine.config("defect", with_defect))
    # the functional and its scissor variant have rates of their own
    wanted = {"rates": 2, "draw_defect": 2, "character": 1, "draw_character": 1}
    assert {name: n for name, n in jobs.items() if n != plain.get(name)} == wanted


@pytest.mark.parametrize("config", ["test", "studies/tio2-vacancy"])
def test_reading_the_graph_loads_nothing_heavy(pristine: Project, config: str) -> None:
    """Every job of a cluster reads it twice."""
    command = (sys.executable, "-X", "importtime", "-m", "snakemake", "-n", "--cores", "2", "--quiet", "all")
    done = pristine.run(*command, "--configfile", f"config/{config}.yaml")
    loaded = set(re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE))
    assert {"snakemake", "n2amd.cost.stages"} <= loaded
    for name in ("torch", "scipy", "n2amd.network", "n2amd.baseline", "n2amd.forcefield"):
        assert name not in loaded


def test_the_vacancy_study_is_one_job(pristine: Project) -> None:
    """Two cells and one force field; rates of the vacancy alone."""
    jobs = pristine.planned("config/studies/tio2-vacancy.yaml")
    models = {name: n for name, n in MODELS.items() if name not in OF_PARITY}
    learned = ("ingest_dataset", "train_hamiltonian", "evaluate_hamiltonian", "draw_hamiltonian")
    second = dict.fromkeys((*learned, "band_structure", "draw_bands", "rates", "draw_defect"), 1)
    cells = [supercell_jobs(shards=4, variants=1, methods=methods) for methods in (2, 1)]
    assert jobs == total(models, second, *cells, END)


def test_the_study_with_spin_orbit_coupling_is_one_job(pristine: Project) -> None:
    """Spinors and spin states on one force field; rates of flips of the spin states alone."""
    for file in ("train/frame", "more_densities.h5", "more_forces.extxyz"):
        path = pristine.folder / "dft/mos2" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    jobs = pristine.planned("config/studies/mos2-soc.yaml")
    models = {name: n for name, n in MODELS.items() if name not in OF_PARITY}
    learned = ("ingest_dataset", "train_hamiltonian", "evaluate_hamiltonian", "draw_hamiltonian")
    second = dict.fromkeys((*learned, "band_structure", "draw_bands", "spin_flips"), 1)
    cells = [supercell_jobs(shards=4, variants=1, methods=1) for _ in range(2)]
    assert jobs == total(models, second, *cells, END)


def test_what_one_material_takes_from_another_is_there(pristine: Project) -> None:
    def planned_with(**changes: object) -> str:
        def change(document: dict) -> None:
            vacancy = document["materials"]["vacancy"]
            vacancy["functionals"]["pbe"]["rebuilt"].update(changes.get("rebuilt", {}))
            vacancy.update({key: value for key, value in changes.items() if key != "rebuilt"})

        study = pristine.config("vacancy", change, base="studies/tio2-vacancy")
        done = pristine.snakemake("-n", "--configfile", study, check=False)
        assert done.returncode != 0
        return done.stdout + done.stderr

    assert "forcefield_of = absent is none of the other materials: pristine" in planned_with(
        forcefield_of="absent"
    )
    assert "rebuilt.functional = lda is none of pbe" in planned_with(rebuilt={"functional": "lda"})
    assert "rebuilt frames have none" in planned_with(forcefield_of=None)


CHOSEN = "--exclude 'md_*_1?' --near-duplicates skip --grid-cell-sampling 2"


def test_frames_of_rounds_have_forces_of_the_same_kind(pristine: Project) -> None:
    def change(document: dict) -> None:
        add_rounds(document, 1)
        document["materials"]["TiO2"]["functionals"]["pbe"]["grid_cell_sampling"] = 4

    shown = pristine.snakemake("-n", "-p", "--configfile", pristine.config("rounds", change)).stdout
    (label,) = (line for line in shown.splitlines() if "n2amd dft scf" in line)
    assert "--grid-cell-sampling 4" in label


def test_frames_are_chosen_where_the_given_data_are_read_only(pristine: Project) -> None:
    def change(document: dict) -> None:
        add_rounds(document, 1, label_by="folder")
        source = document["materials"]["TiO2"]["functionals"]["pbe"]
        source |= {"paths": ["resources/*/TiO2_6_trai?"], "exclude": ["md_*_1?"], "near_duplicates": "skip"}
        source["grid_cell_sampling"] = 2

    shown = pristine.snakemake("-n", "-p", "--configfile", pristine.config("chosen", change)).stdout
    ingestions = [line for line in shown.splitlines() if "n2amd dataset ingest" in line]
    assert len(ingestions) == 3
    chosen = [line for line in ingestions if CHOSEN in line]
    assert ["resources/tio2-honpas/TiO2_6_train" in line for line in chosen] == [True]
    assert sum("--exclude" in line or "--near-duplicates" in line for line in ingestions) == 1


def compute_silicon(document: dict, *, chunks: int = 2, **structures: object) -> None:
    """Let an engine compute the frames of the test job."""
    source = document["materials"]["TiO2"]["functionals"]["pbe"]
    for key in ("code", "paths", "trajectory_paths"):
        del source[key]
    source["engine"] = {"program": "pyscf", "basis": "SZV-MOLOPT-SR-GTH"}
    source["structures"] = {"chunks": chunks, "frames_per_chunk": 3, "sigma_A": 0.05, **structures}


def test_structures_that_are_given_are_not_made(pristine: Project) -> None:
    (pristine.folder / "given.extxyz").touch()
    config = pristine.config("given", lambda document: compute_silicon(document, file="given.extxyz"))
    jobs = pristine.planned(config)
    assert jobs["run_dft"] == 2
    assert "generate_structures" not in jobs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"paths": ["resources"]}, "give either paths"),
        ({"engine": None}, "give either paths"),
        ({"code": "cp2k"}, "leave code out"),
    ],
)
def test_frames_are_given_or_computed(pristine: Project, change: dict, message: str) -> None:
    def both(document: dict) -> None:
        compute_silicon(document)
        document["materials"]["TiO2"]["functionals"]["pbe"].update(change)

    done = pristine.snakemake("-n", "--configfile", pristine.config("both", both), check=False)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


def test_a_training_with_several_gpus_starts_a_process_for_each(pristine: Project) -> None:
    shown = {}
    for count in (1, 2):
        asked = ["--set-resources", f"train_hamiltonian:gpu={count}"]
        shown[count] = pristine.snakemake("-n", "-p", "--configfile", pristine.config("gpus"), *asked).stdout
    assert "torchrun" not in shown[1]
    assert "torchrun --standalone --nproc-per-node 2 -m n2amd.cli hamiltonian train --dataset" in shown[2]


def take_deeph_folders(document: dict) -> None:
    """Take the matrices from DeepH folders, the force field from the frames that they were made of."""
    functionals = document["materials"]["TiO2"]["functionals"]
    functionals["deeph"] = {"code": "deeph", "paths": functionals["pbe"]["paths"], "without_bands": True}
    document["materials"]["TiO2"]["forcefield_functional"] = "pbe"


def test_radial_functions_are_recovered_where_files_have_none(pristine: Project) -> None:
    config = pristine.config("deeph", take_deeph_folders)
    jobs = pristine.planned(config)
    assert (jobs["fit_overlap"], jobs["train_hamiltonian"]) == (1, 2)
    shown = pristine.snakemake("-n", "-p", "--configfile", config).stdout
    assert "overlap fit --dataset results-test/TiO2/deeph/dataset.h5 --require exact" in shown
    trained = [line for line in shown.splitlines() if "n2amd hamiltonian train" in line]
    assert sorted("--overlap results-test/TiO2/deeph/overlap.json" in line for line in trained) == [
        False,
        True,
    ]


@pytest.mark.parametrize("profile", ["local", "slurm"])
def test_profiles_are_read(pristine: Project, profile: str) -> None:
    """An unknown key or a misspelt rule in a profile is an error of the dry run."""
    jobs = pristine.planned("config/test.yaml", arguments=("--profile", f"profiles/{profile}"))
    assert jobs == total(MODELS, supercell_jobs(shards=2), END)


def test_bad_configuration_is_one_sentence(pristine: Project) -> None:
    config = pristine.config("bad", lambda document: document["dynamics"].update(trajektories=10))
    done = pristine.snakemake("-n", "--configfile", config, check=False)
    assert done.returncode != 0
    output = done.stdout + done.stderr
    assert "field 'dynamics.trajektories': there is no such option" in output
    assert output.strip().splitlines()[-1].endswith("did you mean trajectories?")
    assert not lines_of_code(output), output


@pytest.mark.slow
class TestFinishedProject:
    """The stand-ins have run; only what a change touches runs again."""

    def test_nothing_is_left_to_do(self, finished: Project) -> None:
        assert finished.planned("config/test.yaml") == {}

    def test_every_job_is_pinned_to_its_threads(self, project: Project) -> None:
        project.snakemake("--configfile", "config/test.yaml", "--quiet", "all")
        # neither `all` nor the description of the states is a command
        assert len(project.calls) == sum(total(MODELS, supercell_jobs(shards=2), END).values()) - 2
        # ingestion asks for two threads and gives one to each of its two workers
        several = [call for call in project.calls if call.split()[:2] != ["1", "1"]]
        assert all("dataset ingest --jobs 2" in call for call in several)

    def test_more_structures_compute_only_what_is_new(self, project: Project) -> None:
        config = project.config("computed", compute_silicon)
        project.snakemake("--configfile", config, "--quiet", "all")
        assert project.planned(config) == {}
        done = [call for call in project.calls if "dft run" in call]
        assert len(done) == 2
        jobs = project.planned(project.config("more", lambda document: compute_silicon(document, chunks=5)))
        assert (jobs["generate_structures"], jobs["run_dft"], jobs["ingest_dataset"]) == (3, 3, 1)

    def test_rounds_repeat_nothing(self, finished: Project) -> None:
        """The first round begins with the model and the data without rounds, each later one with the last."""
        config = finished.config("one", lambda document: add_rounds(document, 1))
        first = finished.planned(config)
        again = {"solve_states": 2, "evaluate_hamiltonian": 1, "coupling_parity": 1, "run_dynamics": 4}
        assert first.items() >= {**LOOP, "label_by_scf": 1, **again}.items()
        once = {"ingest_dataset", "train_hamiltonian", "train_forcefield", "run_trajectory"}
        assert not first.keys() & once
        finished.snakemake("--configfile", config, "--quiet", "all")
        assert finished.planned(config) == {}
        second = finished.planned(finished.config("two", add_rounds))
        assert second.items() >= {**LOOP, "label_by_scf": 1, **again}.items()
        assert not second.keys() & once

    def test_more_frames_of_a_round_do_not_train_the_first_model(self, project: Project) -> None:
        config = project.config("one", lambda document: add_rounds(document, 1))
        project.snakemake("--configfile", config, "--quiet", "all")
        jobs = project.planned(project.config("more", lambda document: add_rounds(document, 1, frames=3)))
        assert jobs["select_frames"] == jobs["label_by_scf"] == jobs["train_round"] == 1
        assert not jobs.keys() & {"train_hamiltonian", "run_trajectory"}

    def test_a_run_that_waits_for_labels_ends_with_that_sentence(self, finished: Project) -> None:
        """And goes on when they are there."""
        config = finished.config("folder", lambda document: add_rounds(document, 1, label_by="folder"))
        program = finished.folder / "bin/n2amd"
        text = program.read_text()
        waits = 'case $* in *--expect*) echo "error: 2 structures wait for their labels" >&2; exit 2;; esac\n'
        program.write_text(text.replace("line=$*\n", waits + "line=$*\n"))
        done = finished.snakemake("--configfile", config, "--quiet", "rules", check=False)
        assert done.returncode != 0
        assert "\n2 structures wait for their labels\n" in done.stdout + done.stderr
        program.write_text(text)
        finished.snakemake("--configfile", config, "--quiet", "all")
        assert finished.planned(config) == {}

    def test_another_cutoff_computes_everything_again(self, project: Project) -> None:
        config = project.config("computed", compute_silicon)
        project.snakemake("--configfile", config, "--quiet", "--until", "ingest_dataset")

        def finer(document: dict) -> None:
            compute_silicon(document)
            document["materials"]["TiO2"]["functionals"]["pbe"]["engine"]["ke_cutoff_Ha"] = 60.0

        jobs = project.planned(project.config("finer", finer))
        assert jobs["run_dft"] == 2
        assert "generate_structures" not in jobs

    def test_data_that_do_not_suit_are_refused_before_any_job(self, project: Project) -> None:
        config = project.config("wide", lambda document: document["states"].update(valence=30))
        done = project.snakemake("--configfile", config, check=False)
        assert done.returncode != 0
        assert "field 'states.valence': supercell 1x1x1: 30 valence states" in done.stdout + done.stderr
        assert project.calls == []

    def test_default_job_is_held_against_its_data_too(self, project: Project) -> None:
        file = project.folder / "config/config.yaml"
        file.write_text(file.read_text().replace("  valence: 2 ", "  valence: 40 "))
        done = project.snakemake(check=False)
        assert "field 'states.valence': supercell 2x2x2" not in done.stdout + done.stderr
        assert done.returncode == 0
        file.write_text(file.read_text().replace("  valence: 40 ", "  valence: 400 "))
        done = project.snakemake(check=False)
        assert "field 'states.valence': supercell 2x2x2: 400 valence states" in done.stdout + done.stderr

    def test_new_material(self, finished: Project) -> None:
        config = finished.config("more", add_second_material)
        jobs = finished.planned(config)
        assert jobs["run_trajectory"] == 1
        assert jobs["solve_states"] == 2 * 3
        assert "coupling_parity" not in jobs

    def test_changed_material_reruns_only_itself(self, finished: Project) -> None:
        config = finished.config("two", add_second_material)
        finished.snakemake("--configfile", config, "--quiet", "all")

        def hotter(document: dict) -> None:
            add_second_material(document)
            document["materials"]["rutile-b"]["overrides"]["trajectory"] = {"temperature_K": 400.0}

        jobs = finished.planned(finished.config("two", hotter))
        supercell = supercell_jobs(shards=3, variants=1, methods=1)
        second = {name: n if name in OF_TRAJECTORY else 2 * n for name, n in supercell.items()}
        assert jobs == total(second, END)

    def test_touched_source_reruns_nothing(self, finished: Project) -> None:
        for file in (finished.folder / "src/n2amd").rglob("*.py"):
            file.touch()
        assert finished.planned("config/test.yaml") == {}

    def test_another_lag_of_the_spectrum_reruns_the_spectrum_alone(self, finished: Project) -> None:
        config = finished.config("lag", lambda document: document["analysis"].update(spectrum_lag_fs=20.0))
        assert finished.planned(config) == {"spectral_density": 1, "draw_spectral_density": 1, "all": 1}

    def test_no_weights_no_character(self, finished: Project) -> None:
        config = finished.config("plain", lambda document: document["states"].update(projections="none"))
        jobs = finished.planned(config)
        assert jobs["solve_states"] == 2
        assert not jobs.keys() & {"character", "draw_character", "coupling_parity", "run_trajectory"}
