"""What jobs ask for against what they were measured to take, and how it grows."""

from __future__ import annotations

from pathlib import Path

import pytest

from n2amd.config.analysis import AnalysisSettings
from n2amd.config.dynamics import DynamicsSettings
from n2amd.config.forcefield import ForceFieldSettings
from n2amd.config.hamiltonian import HamiltonianSettings
from n2amd.config.states import StatesSettings
from n2amd.config.trajectory import TrajectorySettings
from n2amd.cost import stages
from n2amd.cost.data import (
    NOTHING,
    DataSize,
    size_of_dataset,
    size_of_densities,
    size_of_folders,
    size_of_frames_files,
)
from n2amd.forcefield import presets as forcefield_presets
from n2amd.network import presets as network_presets
from n2amd.network.stored_densities import read_density_structures

# the default job: 16 frames of 6, 12 and 48 atoms, 105 frames more with forces
DATA = DataSize(16, 396, 48)
FORCES = DATA + DataSize(105, 1896, 48)
STATES = StatesSettings(projections="shells")
FORCE_FIELD = ForceFieldSettings(max_epochs=35, compile="never")

# request, CPU seconds, largest resident set in MB: benchmark files of the default job on two loaded cores;
# the pair network, the paper's force field and the large trajectories alone
MEASURED = {
    "ingestion": (stages.ingestion(DATA, 2), 30.3, 1159),
    "hamiltonian": (stages.hamiltonian_training(HamiltonianSettings(), DATA, 768), 224, 1771),
    "pairs": (
        stages.hamiltonian_training(HamiltonianSettings(model="pair", steps=10, band_steps=10), DATA, 768),
        49,
        1237,
    ),
    "forcefield": (stages.forcefield_training(FORCE_FIELD, FORCES), 138, 1120),
    "trajectory": (
        stages.trajectory(TrajectorySettings(frames=500, equilibration_steps=500), FORCE_FIELD, 48),
        15.3,
        585,
    ),
    "trajectory of 576 atoms": (
        stages.trajectory(TrajectorySettings(frames=20, equilibration_steps=10), FORCE_FIELD, 576),
        14.1,
        752,
    ),
    "trajectory of 4992 atoms": (
        stages.trajectory(TrajectorySettings(frames=3, equilibration_steps=1), FORCE_FIELD, 4992),
        18.1,
        1746,
    ),
    "paper's forcefield": (
        stages.forcefield_training(ForceFieldSettings(preset="paper", max_epochs=1, compile="never"), DATA),
        85.8,
        5125,
    ),
    "phonons": (stages.phonons(500, 48, fits=True), 7.1, 582),
    "evaluation": (stages.evaluation(DATA, 768, held_out=0.05), 9.0, 872),
    "bands": (stages.evaluation(DATA, 768, held_out=0.0, points=100), 6.1, 636),
    "parity": (stages.evaluation(DataSize(10, 60, 6), 96, held_out=1.0), 7.1, 648),
    "assembly": (stages.assembly(500, 48, STATES), 2.0, 136),
    "dish": (
        stages.dynamics(
            DynamicsSettings(samples=20, trajectories=50, duration_fs=50000.0, output_stride=50),
            500,
            1.0,
            STATES,
        ),
        15.2,
        324,
    ),
    "lifetime": (stages.analysis(AnalysisSettings(), 500, STATES), 2.0, 261),
}


@pytest.mark.parametrize("name", MEASURED)
def test_a_request_holds_what_was_measured_and_little_more(name: str) -> None:
    asked, seconds, megabytes = MEASURED[name]
    # the two Snakemakes of a job besides
    assert megabytes + 250 <= asked.memory_MB <= 3 * megabytes + 750
    assert 2 * seconds <= 60 * asked.minutes <= max(60 * stages.SHORTEST_MIN, 6 * seconds + 300)


def test_larger_jobs_ask_for_more() -> None:
    wide, narrow = DataSize(16, 16 * 384, 384), DataSize(16, 16 * 48, 48)

    def grows(small: stages.Request, large: stages.Request) -> bool:
        return large.minutes > small.minutes and large.memory_MB > small.memory_MB

    assert grows(stages.ingestion(narrow, 1), stages.ingestion(wide, 1))
    assert grows(stages.evaluation(narrow, 768, held_out=0.1), stages.evaluation(wide, 6144, held_out=0.1))
    for preset in ("quick", "paper"):
        given = HamiltonianSettings(preset=preset)
        assert grows(
            stages.hamiltonian_training(given, narrow, 768), stages.hamiltonian_training(given, wide, 6144)
        )
    small, large = HamiltonianSettings(preset="quick"), HamiltonianSettings(preset="paper")
    assert grows(
        stages.hamiltonian_training(small, narrow, 768), stages.hamiltonian_training(large, narrow, 768)
    )
    field = ForceFieldSettings(preset="quick"), ForceFieldSettings(preset="paper")
    assert grows(*(stages.forcefield_training(f, FORCES) for f in field))
    assert grows(*(stages.trajectory(TrajectorySettings(frames=1000), f, 4992) for f in field))
    assert grows(*(stages.assembly(n, 4992, STATES) for n in (500, 20000)))
    assert grows(*(stages.phonons(500, n, fits=True) for n in (48, 4992)))


def test_settings_of_a_training_count() -> None:
    def cost(**settings: object) -> int:
        chosen = HamiltonianSettings.model_validate({"model": "pair", **settings})
        return stages.hamiltonian_training(chosen, DATA, 768).minutes

    usual = cost()
    assert cost(steps=400, band_steps=2000) > 1.5 * usual
    assert cost(band_steps=2000) > 1.5 * usual
    assert cost(layers=4) > 1.5 * usual
    assert cost(message_cutoff_A=7.0) > 2 * usual
    assert cost(channels=[64, 48, 32, 16, 8]) > 1.5 * usual

    def of_density(**settings: object) -> int:
        chosen = HamiltonianSettings.model_validate({"model": "density", "density_steps": 5500, **settings})
        return stages.hamiltonian_training(chosen, DATA, 768).minutes

    long, density = of_density(), of_density(density_steps=None)
    assert long > 5 * density
    assert of_density(density_layers=4) > 1.5 * long
    assert of_density(density_message_cutoff_A=7.0) > 2 * long
    assert of_density(density_channels=[48, 40, 32, 16, 12]) > 1.5 * long
    assert of_density(channels=[64, 48, 32, 16, 8], layers=4) == long


def test_more_ranks_take_less_time_and_threads_share_frames() -> None:
    given = DynamicsSettings(trajectories=10000, samples=100, duration_fs=1e5)
    alone, many = (stages.dynamics(given, 500, 1.0, STATES, ranks) for ranks in (1, 16))
    assert many.minutes < alone.minutes / 8
    assert many.memory_MB == alone.memory_MB
    one, four = (stages.dft(40, 64, threads, hybrid=False) for threads in (1, 4))
    assert four.minutes < one.minutes / 3
    assert four.memory_MB > 3 * (one.memory_MB - 500)
    assert stages.dft(1, 64, 1, hybrid=True).minutes > 5 * stages.dft(1, 64, 1, hybrid=False).minutes


def test_lengths_are_those_of_the_presets() -> None:
    for name, preset in network_presets.PRESETS.items():
        assert stages.PAIRS[name].length == preset.steps + preset.band_steps
        assert stages.PAIRS[name].batch_frames == preset.batch_size
        shape = (preset.channels, preset.layers, preset.message_cutoff_A)
        assert stages._PAIR_SHAPES[name] == shape
        shape = (preset.density.channels, preset.density.layers, preset.density.message_cutoff_A)
        assert stages._DENSITY_SHAPES[name] == shape
        assert stages.DENSITY[name].length == preset.density.schedule.steps
        assert stages.DENSITY[name].batch_atoms == preset.density.atoms_per_step
    for name, field in forcefield_presets.PRESETS.items():
        assert stages.FORCE_FIELD[name].length == field.max_epochs
        assert stages.FORCE_FIELD[name].batch_frames == field.batch_size
    assert set(stages.DYNAMICS_S) == set(stages.DYNAMICS_GB) == set(forcefield_presets.PRESETS)


def test_gpus_help_what_is_large() -> None:
    assert stages.gpu_helps(HamiltonianSettings(preset="quick"), 0)
    assert not stages.gpu_helps(ForceFieldSettings(preset="test"), 0)
    assert stages.gpu_helps(StatesSettings(), 8640)
    assert not stages.gpu_helps(StatesSettings(), 768)


def test_sizes_of_data_nobody_has_read(tmp_path) -> None:
    for number, size in enumerate((50_000, 400_000)):
        frame = tmp_path / f"frames/frame_{number}"
        frame.mkdir(parents=True)
        (frame / "H.xz").write_bytes(b"0" * size)
    (tmp_path / "frames/basis.xml").write_bytes(b"0" * 10)
    found = size_of_folders([tmp_path / "frames", tmp_path / "absent"])
    assert found == DataSize(2, 9, 8)
    assert size_of_folders([tmp_path / "frames/frame_1"]) == DataSize(1, 8, 8)
    assert size_of_folders([]) == NOTHING

    line = "Ti" + " 1.0000000000000000" * 5 + "\n"
    frame = "6\nLattice\n" + 6 * line
    (tmp_path / "forces.extxyz").write_text(5 * frame)
    given = size_of_frames_files([tmp_path / "forces.extxyz", tmp_path / "absent"])
    assert given.largest == 6
    assert 20 <= given.atoms <= 40
    (tmp_path / "odd.extxyz").write_text("")
    assert size_of_frames_files([tmp_path / "odd.extxyz"]).largest == 1
    (tmp_path / "dataset.h5").write_bytes(b"no HDF5")
    assert size_of_dataset(tmp_path / "dataset.h5") is None
    assert size_of_dataset(tmp_path / "absent.h5") is None


def test_size_of_a_data_set(tmp_path) -> None:
    import h5py

    with h5py.File(tmp_path / "dataset.h5", "w") as file:
        file["frames/atom_offset"] = [0, 6, 12, 60]
    assert size_of_dataset(tmp_path / "dataset.h5") == DataSize(3, 60, 48)


def test_size_of_frames_kept_as_densities(tmp_path) -> None:
    kept = Path(__file__).parents[1] / "resources/tio2-honpas/vacancy_densities.h5"
    sizes = [len(structure.numbers) for structure in read_density_structures(kept)]
    assert size_of_densities(kept) == DataSize(len(sizes), sum(sizes), max(sizes))
    assert size_of_densities(tmp_path / "absent.h5") is None
