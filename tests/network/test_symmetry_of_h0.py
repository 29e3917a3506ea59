"""The whole way from a structure to H0 of its learned density turns, moves and repeats with the structure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest_network import random_network
from e3nn import o3

from n2amd.baseline.model_density import coefficients_by_element
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.matrix import fold
from n2amd.dft.siesta.frame import read_frame
from n2amd.network.checkpoint import HamiltonianModel
from n2amd.network.density_data import choose_model, fit_frame, with_means
from n2amd.network.density_model import DensityArchitecture, DensityNetwork
from n2amd.network.predict import HamiltonianPredictor
from n2amd.network.wigner import wigner_matrices
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.structure import Structure

FRAME = Path(__file__).resolve().parents[2] / "resources/tio2-honpas/TiO2_6_train/frame_0000"
#: Elements of H are up to 60 eV; coefficients are float32.
TOLERANCE_EV = 5e-5


@pytest.fixture(scope="module")
def parts():
    """Structure, basis, H0 with real functions, and a network of its density with random weights."""
    frame, basis = read_frame(FRAME)
    model = choose_model([frame], basis, frame.ingredients)
    fitted = fit_frame(frame, ZerothHamiltonian(basis, frame.ingredients, model), 4.0)
    zeroth = ZerothHamiltonian(basis, frame.ingredients, with_means(model, [fitted]))
    torch.manual_seed(0)
    architecture = DensityArchitecture((6, 5, 4, 3, 2), 2, 4.0, 20.0, n_radial=6, radial_hidden=16)
    network = DensityNetwork(model.auxiliary, architecture)
    rows = [(fitted.structure, fitted.coefficients)]
    network.fit_scales(coefficients_by_element(model.auxiliary, rows))
    return frame.structure, basis, zeroth, network


@pytest.fixture(scope="module", params=["density", "atoms+pair", "density+pair"])
def predictor(parts, request) -> HamiltonianPredictor:
    _, basis, zeroth, network = parts
    density = network if "density" in request.param else None
    pair = random_network(basis) if "pair" in request.param else None
    model = HamiltonianModel(basis, zeroth, density, pair).to("cpu")
    assert model.kind == request.param
    return HamiltonianPredictor(model, OverlapTable.from_basis(basis), {})


def dense(predictor: HamiltonianPredictor, structure: Structure, kpoint=(0.0, 0.0, 0.0)) -> np.ndarray:
    offsets = predictor.basis.orbital_offsets(structure.numbers)
    with torch.no_grad():
        return np.squeeze(fold(predictor.hamiltonian(structure), offsets, np.array(kpoint)))


def orbitals_of(predictor, structure: Structure, rotation: torch.Tensor, inversion: bool) -> np.ndarray:
    """Matrix that turns all orbitals of a structure."""
    wigner = wigner_matrices(rotation[None], 4)
    shells = [shell for z in structure.numbers for shell in predictor.basis[int(z)].shells]
    return torch.block_diag(*(wigner[s.l][0] * (-1 if inversion else 1) ** s.l for s in shells)).numpy()


@pytest.mark.parametrize("inversion", [False, True])
def test_hamiltonian_turns_with_the_structure(parts, predictor, inversion):
    """Proper and improper rotations; the mesh lies along the cell and turns with it."""
    structure = parts[0]
    torch.manual_seed(4)
    rotation = o3.rand_matrix(dtype=torch.float64)
    q = rotation.numpy() * (-1 if inversion else 1)
    moved = Structure(structure.cell @ q.T, structure.positions @ q.T, structure.numbers)
    turn = orbitals_of(predictor, structure, rotation, inversion)
    for kpoint in ((0.0, 0.0, 0.0), (0.2, -0.1, 0.4)):
        expected = turn @ dense(predictor, structure, kpoint) @ turn.T
        np.testing.assert_allclose(dense(predictor, moved, kpoint), expected, rtol=0, atol=TOLERANCE_EV)


def test_hamiltonian_moves_with_the_structure(parts, predictor):
    """Shifts by steps of the mesh, images of atoms, and another order of the atoms."""
    structure, _, zeroth, _ = parts
    before = dense(predictor, structure)
    step = structure.cell / np.array(zeroth.ingredients.mesh_of(structure.cell).shape)[:, None]
    moved = structure.with_positions(structure.positions + np.array([3, -7, 12]) @ step)
    np.testing.assert_allclose(dense(predictor, moved), before, rtol=0, atol=TOLERANCE_EV)
    images = structure.positions + np.array([[1, 0, -1]] * 2 + [[0, 2, 0]] * 4) @ structure.cell
    found = dense(predictor, structure.with_positions(images))
    np.testing.assert_allclose(found, before, rtol=0, atol=TOLERANCE_EV)
    order = np.array([3, 0, 5, 1, 4, 2])
    other = Structure(structure.cell, structure.positions[order], structure.numbers[order])
    offsets = predictor.basis.orbital_offsets(structure.numbers)
    rows = np.concatenate([np.arange(offsets[a], offsets[a + 1]) for a in order])
    found = dense(predictor, other)
    np.testing.assert_allclose(found, before[np.ix_(rows, rows)], rtol=0, atol=TOLERANCE_EV)


def test_a_supercell_has_the_states_of_the_cell(parts, predictor):
    """Blocks of a doubled cell, whose mesh is doubled as well, fold to those of the cell."""
    structure, _, zeroth, _ = parts
    double = structure.supercell((2, 1, 1))
    shapes = [zeroth.ingredients.mesh_of(s.cell).shape for s in (structure, double)]
    assert tuple(np.array(shapes[0]) * (2, 1, 1)) == shapes[1]
    offsets = predictor.basis.orbital_offsets(structure.numbers)
    n = offsets[-1]
    found = dense(predictor, double)
    zero, edge = dense(predictor, structure), dense(predictor, structure, (0.5, 0.0, 0.0))
    # Bloch sums over both halves
    np.testing.assert_allclose(found[:n, :n] + found[:n, n:], zero, rtol=0, atol=TOLERANCE_EV)
    np.testing.assert_allclose(found[:n, :n] - found[:n, n:], edge, rtol=0, atol=TOLERANCE_EV)


def test_density_of_h0_turns_with_the_structure(parts, predictor):
    """Coefficients to 1e-5 of the largest, whatever they are made by."""
    structure = parts[0]
    torch.manual_seed(5)
    rotation = o3.rand_matrix(dtype=torch.float64)
    q = -rotation.numpy()
    moved = Structure(structure.cell @ q.T, structure.positions @ q.T, structure.numbers)
    wigner = wigner_matrices(rotation[None], 4)
    auxiliary = parts[2].model.auxiliary
    shells = [shell for z in structure.numbers for shell in auxiliary.atoms[int(z)]]
    turn = torch.block_diag(*(wigner[s.l][0] * (-1) ** s.l for s in shells)).numpy()
    expected = turn @ predictor.density(structure)
    error = np.abs(predictor.density(moved) - expected).max()
    assert error < 1e-5 * np.abs(expected).max()
