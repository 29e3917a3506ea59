"""Energy, forces and stress of DFT frames, from their density matrix alone, against those of the code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from n2amd.baseline.density_matrix import density_matrix, filled_states, matrix_of_states
from n2amd.baseline.forces import energy_forces, frame_energy_forces
from n2amd.baseline.self_consistent import ScfSettings, self_consistent
from n2amd.baseline.smearing import Smearing
from n2amd.baseline.total_energy import total_energy
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.dft.engines.kmesh import half_mesh
from n2amd.dft.siesta.frame import read_frame
from n2amd.dft.siesta.log_facts import energy_terms
from n2amd.errors import InputError

ROOT = Path(__file__).parents[2]
TITANIA = ROOT / "resources" / "tio2-honpas"


@pytest.fixture(scope="module")
def titania():
    frame, basis = read_frame(TITANIA / "TiO2_6_train" / "frame_0000")
    return ZerothHamiltonian.of_neutral_atoms(basis, frame.ingredients)


@pytest.fixture(scope="module")
def silicon():
    frame, basis = read_frame(ROOT / "tests" / "data" / "honpas-si2" / "frame_0000", "honpas")
    return frame, ZerothHamiltonian.of_neutral_atoms(basis, frame.ingredients)


@pytest.mark.parametrize(
    "folder",
    [
        "TiO2_6_train/frame_0000",
        "TiO2_6_train/frame_0004",
        "TiO2_12_train/frame_0001",
        pytest.param("TiO2_48_mlff300/frame_0000", marks=pytest.mark.slow),
    ],
)
def test_frames_of_honpas(titania, folder):
    """The energy to 0.01 meV an atom, terms to 0.3 meV in 48 atoms, forces to 0.1 meV/A."""
    frame, _ = read_frame(TITANIA / folder)
    found, terms, n = frame_energy_forces(titania, frame), energy_terms(frame.origin), frame.structure.n_atoms
    energy = found.energy
    own = (energy.kinetic, energy.nonlocal_, energy.neutral, energy.hartree, energy.exchange_correlation)
    for name, value in zip(("Ekin", "Enl", "DEna", "DUscf", "Exc"), own):
        assert value == pytest.approx(terms[name], abs=2e-5 * n), name
    assert energy.free == pytest.approx(frame.energy, abs=1e-5 * n)
    np.testing.assert_allclose(found.forces, frame.forces, atol=1.5e-4)
    np.testing.assert_allclose(found.stress, frame.stress, atol=5e-6)


def test_silicon(silicon):
    """A frame whose local charges overlap: ions are points all the same."""
    frame, zeroth = silicon
    found = frame_energy_forces(zeroth, frame)
    assert found.energy.free == pytest.approx(frame.energy, abs=1e-4)
    np.testing.assert_allclose(found.forces, frame.forces, atol=1e-5)


def test_forces_are_differences_of_the_self_consistent_free_energy(silicon):
    """At an electronic temperature at which entropy and energy both matter: 0.07 eV of the first."""
    frame, zeroth = silicon
    points, weights = half_mesh((2, 1, 2))
    settings = ScfSettings(points, weights, Smearing(1.0, 1), tolerance=1e-6)
    step, shift = 1e-3, np.array([[0.0, 0.0, 0.0], [0.12, -0.05, 0.2]])

    def solved(axis, change):
        moved = frame.structure.positions + shift
        moved[1, axis] += change
        structure = frame.structure.with_positions(moved)
        return frame_energy_forces(zeroth, self_consistent(zeroth, structure, settings, name="moved"))

    found = solved(1, 0.0)
    up, down = solved(1, step).energy, solved(1, -step).energy
    assert found.forces[1, 1] == pytest.approx((down.free - up.free) / (2 * step), abs=1e-3)
    assert abs(found.forces[1, 1] - (down.kohn_sham - up.kohn_sham) / (2 * step)) > 0.05


def test_frames_of_which_h0_is_a_part_are_refused(silicon):
    frame, zeroth = silicon
    with pytest.raises(InputError, match="no energies and forces of this frame: that of PBE"):
        frame_energy_forces(zeroth, replace(frame, origin={**frame.origin, "h0": "that of PBE"}))


def test_two_spins_alike_are_one_without(silicon):
    frame, zeroth = silicon
    moved = frame.structure.positions + np.array([[0.0, 0.0, 0.0], [0.1, -0.1, 0.05]])
    structure = frame.structure.with_positions(moved)
    states, pairs = filled_states(frame, zeroth.basis), frame.hamiltonian.pairs
    D, W = (matrix_of_states(states, frame, zeroth.basis, pairs, energy_weighted=w) for w in (False, True))
    halves = [m.map({k: np.concatenate([v, v]) / 2 for k, v in m.values.items()}) for m in (D, W)]
    one, two = energy_forces(zeroth, structure, D, W), energy_forces(zeroth, structure, *halves)
    assert two.energy.free == pytest.approx(one.energy.free, abs=1e-8)
    np.testing.assert_allclose(two.forces, one.forces, atol=1e-8)
    np.testing.assert_allclose(two.stress, one.stress, atol=1e-9)


def test_fixed_density_matrix_moves_with_its_orbitals(titania):
    """At a fixed density matrix the whole energy changes as the forces say, without the overlap's part.

    Some orbitals end with a step, which mesh points cross one by one: differences are good to 1 meV/A.
    """
    frame, _ = read_frame(TITANIA / "TiO2_6_train" / "frame_0001")
    D = density_matrix(frame, titania.basis)
    nothing = D.map({key: np.zeros_like(values) for key, values in D.values.items()})
    found = energy_forces(titania, frame.structure, D, nothing)
    step = 3e-3
    change = np.zeros((frame.structure.n_atoms, 3))
    change[4, 2] = step
    up, down = (
        total_energy(titania, frame.structure.with_positions(frame.structure.positions + s * change), D).free
        for s in (1, -1)
    )
    assert found.forces[4, 2] == pytest.approx((down - up) / (2 * step), abs=1e-3)
    turn = np.eye(3)
    turn[0, 0] += step
    ends = []
    for matrix in (turn, 2 * np.eye(3) - turn):
        positions, cell = frame.structure.positions @ matrix, frame.structure.cell @ matrix
        ends.append(total_energy(titania, replace(frame.structure, positions=positions, cell=cell), D).free)
    volume = abs(np.linalg.det(frame.structure.cell))
    assert found.stress[0, 0] == pytest.approx((ends[0] - ends[1]) / (2 * step * volume), abs=2e-4)
