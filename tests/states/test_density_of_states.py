"""Densities of states: their integral, their parts, k points; states on a mesh against LAPACK's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from synthetic_crystal import SyntheticCrystal, moving_frames

from n2amd.analysis.dos_report import MeshEdges, SpectralParts, csv_of_dos, csv_of_states, dos_report
from n2amd.analysis.projection import Groups, groups_of, shares
from n2amd.blocks.matrix import BlockMatrix, PairIndex, fold
from n2amd.dft.engines.kmesh import half_mesh
from n2amd.errors import ComputationError
from n2amd.orbitals.basis import AtomBasis, Basis, Shell
from n2amd.states.density_of_states import MeshStates, density_of_states, mesh_states
from n2amd.states.projection import first_orbitals, participation, sites_of
from n2amd.structure import Structure

MESH = (2, 1, 3)


def solved(partition="mulliken", mesh=MESH) -> tuple[SyntheticCrystal, Structure, MeshStates]:
    crystal, structure = SyntheticCrystal(), moving_frames(2)[1]
    sites = sites_of(structure, crystal.basis, "shells")
    states = mesh_states(
        *crystal.predict(structure),
        crystal.basis.orbital_offsets(structure.numbers),
        half_mesh(mesh),
        (sites, first_orbitals(sites, crystal.basis)),
        partition,
    )
    return crystal, structure, states


def test_one_gaussian_a_state():
    grid = np.linspace(-1, 1, 2001)
    density = density_of_states(np.array([[0.1]]), grid, 0.05)
    expected = np.exp(-0.5 * ((grid - 0.1) / 0.05) ** 2) / np.sqrt(2 * np.pi) / 0.05
    np.testing.assert_allclose(density, expected, atol=1e-6)


def test_the_density_integrates_to_the_number_of_states():
    _, _, states = solved()
    low, high = states.energies.min() - 1, states.energies.max() + 1
    grid = np.linspace(low, high, 20001)
    density = density_of_states(states.energies, grid, 0.1, states.weights)
    assert np.trapezoid(density, grid) == pytest.approx(16, rel=1e-6)
    half = grid < states.energies[:, 3].max() + 1.0
    assert np.trapezoid(density[half], grid[half]) == pytest.approx(4, rel=1e-6)


@pytest.mark.parametrize("partition", ["mulliken", "loewdin"])
@pytest.mark.parametrize("by", ["species", "atom", "orbital", "shell"])
def test_parts_add_up_to_the_whole(partition, by):
    _, _, states = solved(partition)
    grid = np.linspace(-30, 30, 400)
    share = shares(states.projection, groups_of(states.projection, by))
    parts = density_of_states(states.energies, grid, 0.3, states.weights, share)
    whole = density_of_states(states.energies, grid, 0.3, states.weights)
    np.testing.assert_allclose(parts.sum(axis=1), whole, atol=1e-5)


def test_states_of_half_a_mesh_are_those_of_the_whole():
    crystal, structure, states = solved()
    h, s = crystal.predict(structure)
    offsets = crystal.basis.orbital_offsets(structure.numbers)
    every = [
        scipy.linalg.eigvalsh(fold(h, offsets, k), fold(s, offsets, k))
        for a in range(MESH[0])
        for c in range(MESH[2])
        for k in [np.array([a / MESH[0], 0, c / MESH[2]])]
    ]
    grid = np.linspace(-30, 30, 400)
    np.testing.assert_allclose(
        density_of_states(states.energies, grid, 0.3, states.weights),
        density_of_states(np.array(every), grid, 0.3),
        atol=1e-8,
    )


def test_a_state_of_one_orbital_has_a_participation_ratio_of_one():
    """Two atoms that do not touch: every state is one orbital."""
    basis = Basis({1: AtomBasis(1, (Shell(0, "1s"),), 1.0)})
    structure = Structure(20 * np.eye(3), np.array([[0, 0, 0], [10.0, 0, 0]]), np.array([1, 1]))
    index = PairIndex(np.array([0, 1]), np.array([0, 1]), np.zeros((2, 3), int))
    h, s = (
        BlockMatrix({(1, 1): index}, {(1, 1): np.array(values).reshape(1, 2, 1, 1)})
        for values in ([-1.0, 1.0], [1.0, 1.0])
    )
    sites = sites_of(structure, basis, "shells")
    states = mesh_states(h, s, np.array([0, 1, 2]), half_mesh((1, 1, 1)), (sites, np.array([0, 1])))
    np.testing.assert_allclose(1 / participation(states.projection), 1.0)
    np.testing.assert_allclose(states.energies, [[-1, 1]])


def test_matrices_that_are_no_numbers_are_told():
    crystal, structure = SyntheticCrystal(), moving_frames(2)[0]
    h, s = crystal.predict(structure)
    broken = h.map({key: np.full_like(blocks, np.nan) for key, blocks in h.values.items()})
    offsets = crystal.basis.orbital_offsets(structure.numbers)
    with pytest.raises(ComputationError, match="not finite"):
        mesh_states(broken, s, offsets, half_mesh((1, 1, 1)))


def test_tables():
    _, _, states = solved()
    edges = MeshEdges(float(states.energies[:, 3].max()), float(states.energies[:, 4].min()), 0, 1, 4)
    grid = np.linspace(-20, 10, 50)
    groups: Groups = groups_of(states.projection, "species")
    parts = density_of_states(states.energies, grid, 0.3, states.weights, shares(states.projection, groups))
    total = density_of_states(states.energies, grid, 0.3, states.weights)
    found = SpectralParts(total, dict(zip(groups.names, parts.T)), edges, states.projection)
    report = dos_report(grid, states.kpoints, found)
    rows = csv_of_dos(report).splitlines()
    assert rows[0] == "energy_eV,total_per_eV,Li_per_eV,F_per_eV"
    first = [float(x) for x in rows[20].split(",")]
    assert first[0] == pytest.approx(grid[19] - edges.vbm, abs=1e-6)
    assert first[1] == pytest.approx(first[2] + first[3], abs=1e-5)
    assert report["gap_eV"] == edges.cbm - edges.vbm
    assert report["vbm"]["ipr"] == pytest.approx(1 / report["vbm"]["atoms"])
    solved_states = {"": (states.energies, states.projection)}
    rows = csv_of_states(states.kpoints, states.weights, solved_states, groups)
    header, row = (line.split(",") for line in rows.splitlines()[:2])
    assert header == ["k1", "k2", "k3", "weight", "band", "energy_eV", "ipr", "atoms", "Li", "F"]
    assert len(rows.splitlines()) == 1 + states.energies.size
    assert float(row[8]) + float(row[9]) == pytest.approx(1, abs=1e-5)
    assert float(row[5]) == pytest.approx(states.energies[0, 0], abs=1e-6)
