"""The cost model of a shard against what was measured."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from n2amd.commands.states import app
from n2amd.config.states import StatesSettings
from n2amd.cost import estimate_shard, frame_cost, gpu

ROOT = Path(__file__).resolve().parents[1]
RUTILE = ROOT / "resources/tio2-honpas/rutile.vasp"
SETTINGS = StatesSettings()


def measured_on_gpu() -> list[dict[str, str]]:
    """Frames of one factorisation in float64, as docs/decisions/window-eigensolver.md has them."""
    with (ROOT / "benchmarks/results/gpu_states.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "float64" and row["states_s"]]
    return [row for row in rows if int(row["orbitals"]) >= 8640]


@pytest.mark.parametrize("row", measured_on_gpu(), ids=lambda row: row["orbitals"])
def test_a_frame_on_a_gpu(row: dict[str, str]) -> None:
    cost = frame_cost(int(row["atoms"]), float(row["orbitals"]), SETTINGS, on_gpu=True)
    assert cost.solver == "block_si"
    # the largest one was factorised six times
    seconds = float(row["states_s"]) / (6 if int(row["factorisations"]) > 1 else 1)
    assert 0.7 < cost.states_s / seconds < 1.6


def measured_memory() -> list[dict[str, str]]:
    """Every size in float64."""
    with (ROOT / "benchmarks/results/gpu_states.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["kind"] == "float64" and row["orbitals"]]


@pytest.mark.parametrize("row", measured_memory(), ids=lambda row: row["orbitals"])
def test_memory_of_a_gpu(row: dict[str, str]) -> None:
    atoms, n, peak = int(row["atoms"]), float(row["orbitals"]), float(row["peak_GB"])
    assert 1 / gpu.DEVICE_SPARE < gpu.own_factor_GB(n) / peak < gpu.DEVICE_SPARE
    # a shard's request holds that, the libraries and the prediction of H
    block = StatesSettings(solver="block_si", factor_reach_fs=0)
    alone = estimate_shard(atoms, n, 100, block, on_gpu=True)
    assert alone.device_MB > 1000 * (peak + gpu.DRIVER_GB + gpu.NETWORK_GB)
    shared, off_gamma = (
        frame_cost(atoms, n, StatesSettings(solver="block_si", **more), on_gpu=True).device_memory_GB
        for more in ({}, {"kpoint": (0.2, 0, 0)})
    )
    assert alone.frame.device_memory_GB < shared < off_gamma


def test_memory_of_a_gpu_that_predicts() -> None:
    with (ROOT / "benchmarks/results/gpu_hamiltonian.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    for row in rows:
        assert 0.8 < gpu.prediction_GB(int(row["atoms"])) / float(row["gpu_GB"]) < 1.3
    # LAPACK's states leave the GPU to the network; solvers on processors do so, too
    small = frame_cost(48, 720, SETTINGS, on_gpu=True)
    by_mumps = frame_cost(48, 8640, StatesSettings(factorisation="mumps"), on_gpu=True)
    assert small.device_memory_GB == by_mumps.device_memory_GB == gpu.DRIVER_GB + gpu.prediction_GB(48)
    assert by_mumps.states_s == frame_cost(48, 8640, SETTINGS).states_s


def test_products_are_dense_up_to_the_size_that_the_model_says() -> None:
    from n2amd.states.solvers import device_pencil

    assert gpu.DENSE_UP_TO == device_pencil._DENSE_UP_TO


# CPU seconds of one thread: README, docs/decisions/window-eigensolver.md
@pytest.mark.parametrize(
    ("atoms", "orbitals", "solver", "hamiltonian", "states"),
    [
        (48, 720, "dense", 0.5, 0.05),
        (216, 3240, "dense", None, 5.2),
        (576, 8640, "dense", None, 106),
        (216, 3240, "block_si", None, 2.0),
        (576, 8640, "block_si", None, 12.5),
        (4992, 74880, "block_si", 78, None),
    ],
)
def test_a_frame_on_a_processor(
    atoms: int, orbitals: int, solver: str, hamiltonian: float | None, states: float | None
) -> None:
    cost = frame_cost(atoms, orbitals, StatesSettings(solver=solver))
    for found, measured in ((cost.hamiltonian_s, hamiltonian), (cost.states_s, states)):
        if measured is not None:
            assert 0.8 < found / measured < 2.0


# CPU seconds of one thread, `benchmarks/window_states.py`: frames 3 fs apart
@pytest.mark.parametrize(("atoms", "orbitals", "neighbour"), [(216, 3240, 1.4), (576, 8640, 6.2)])
def test_a_frame_that_shares_a_factor(atoms: int, orbitals: int, neighbour: float) -> None:
    cost = frame_cost(atoms, orbitals, StatesSettings(solver="block_si"))
    assert cost.neighbour_s is not None
    assert 0.8 < cost.neighbour_s / neighbour < 2.0
    alone, shared = (
        estimate_shard(
            atoms, orbitals, 1000, StatesSettings(solver="block_si", frames_per_shard=999), timestep_fs=step
        )
        for step in (5.0, 1.0)
    )
    assert shared.minutes < alone.minutes


def test_off_gamma_dense_and_finer_meshes_cost_more() -> None:
    plain = frame_cost(216, 3240, SETTINGS)
    off = frame_cost(216, 3240, StatesSettings(kpoint=(0.25, 0.0, 0.0)))
    corner = frame_cost(216, 3240, StatesSettings(kpoint=(0.5, 0.0, 0.5)))
    finer = frame_cost(216, 3240, StatesSettings(mesh_refinement=2.0))
    assert off.states_s > 2 * plain.states_s
    assert off.memory_GB > plain.memory_GB
    assert corner == plain  # H is real where k and -k are the same
    assert finer.hamiltonian_s > 6 * plain.hamiltonian_s


def test_analytic_couplings_cost_more() -> None:
    """CPU seconds and GB beyond H and S, `benchmarks/analytic_couplings.py` and a run of 576 atoms."""
    for atoms, orbitals, measured_s, measured_GB in ((48, 720, 1.44, 0.17), (216, 3240, 6.3, 0.63)):
        plain, with_couplings = (frame_cost(atoms, orbitals, SETTINGS, analytic=a) for a in (False, True))
        assert measured_GB < with_couplings.memory_GB - plain.memory_GB < measured_GB + 0.5
        assert 0.8 < with_couplings.couplings_s / measured_s < 2.5
        assert with_couplings.seconds == plain.seconds + with_couplings.couplings_s
    one, other = (estimate_shard(216, 3240, 100, SETTINGS, analytic=a).minutes for a in (False, True))
    assert other > one


def test_a_shard_holds_its_part_and_one_frame_more() -> None:
    shard = estimate_shard(48, 720, 600, StatesSettings(frames_per_shard=150))
    assert shard.n_frames == 151
    assert shard.minutes * 60 > 151 * shard.frame.seconds
    assert shard.memory_MB > 1000 * shard.frame.memory_GB
    twice = estimate_shard(48, 720, 600, StatesSettings(frames_per_shard=75))
    assert twice.minutes < shard.minutes


def test_the_command_says_what_each_supercell_asks_for() -> None:
    given = ["estimate", "--structure", str(RUTILE), "--supercell", "2x2x2", "--supercell", "8x8x13"]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == 0, result.output
    small, dense, large, block, gpu = result.output.splitlines()
    assert small == "2x2x2: 48 atoms, 768 orbitals"
    assert "processor: dense" in dense
    assert large == "8x8x13: 4992 atoms, 79872 orbitals"
    assert "processor: block_si" in block
    assert "GPU: block_si" in gpu
