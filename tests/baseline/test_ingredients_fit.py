"""Ingredients from frames alone, against the code's own pseudopotentials on an unseen structure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from n2amd.baseline.frame_rest import MeshFrame, kinetic_matrices
from n2amd.baseline.ingredients_fit import fit_ingredients
from n2amd.baseline.rebuilt import rebuilt_hamiltonian
from n2amd.baseline.spherical_atoms import screened_nucleus, with_shifted_zero
from n2amd.baseline.trial_functions import TrialSpace, symmetric_directions
from n2amd.blocks.matrix import BlockMatrix, inner_product
from n2amd.dft.openmx.frame import read_frame as read_openmx
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError
from n2amd.frames.ingredients import Ingredients
from n2amd.orbitals.basis import RadialFunction
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.orbitals.uniform_radial import on_uniform_grid, uniform_basis
from n2amd.units import OPENMX_BOHR_ANGSTROM, OPENMX_HARTREE_EV

DATA = Path(__file__).parents[1] / "data"
SMALL = TrialSpace(n_projectors=(4, 4, 4), core_widths=())


@pytest.fixture(scope="module")
def silicon():
    return read_frame(DATA / "honpas-si2" / "frame_0000", "honpas")


@pytest.fixture(scope="module")
def silicene():
    frame, basis = read_openmx(DATA / "openmx" / "silicene")
    cutoff = float(frame.origin["mesh_cutoff"])
    return frame, basis, Ingredients("openmx", "PBE", cutoff, OPENMX_HARTREE_EV / 2, OPENMX_BOHR_ANGSTROM)


def largest(a: BlockMatrix, b: BlockMatrix) -> float:
    return max(float(np.abs(a.values[key] - b.values[key]).max()) for key in a.pairs)


def mean_error(a: BlockMatrix, b: BlockMatrix) -> float:
    return float(np.concatenate([np.abs(a.values[k] - b.values[k]).ravel() for k in a.pairs]).mean())


def moved(frame, basis, ingredients, shift):
    """The frame with its second atom moved, from an SCF cycle of our own with the code's ingredients."""
    positions = frame.structure.positions + np.array([[0.0, 0.0, 0.0], shift])
    structure = replace(frame.structure, positions=positions)
    table = OverlapTable.from_basis(basis, tolerance=0.0)
    pairs = frame.hamiltonian.pairs
    overlap = BlockMatrix(pairs, {k: table.evaluate(k, i.vectors(structure))[None] for k, i in pairs.items()})
    new = replace(frame, structure=structure, overlap=overlap)
    for _ in range(30):
        out = rebuilt_hamiltonian(new, basis, ingredients)
        change = largest(out, new.hamiltonian)
        mixed = {k: 0.4 * new.hamiltonian.values[k] + 0.6 * out.values[k] for k in pairs}
        new = replace(new, hamiltonian=BlockMatrix(pairs, mixed))
        if change < 1e-4:
            return new
    raise AssertionError(f"the cycle stopped at {change}")


def test_the_codes_own_ingredients_give_its_hamiltonian(silicon):
    frame, basis = silicon
    found = rebuilt_hamiltonian(frame, basis, frame.ingredients)
    assert largest(found, frame.hamiltonian) < 2e-4
    assert mean_error(found, frame.hamiltonian) < 1e-5


def test_hidden_ingredients_are_replaced_on_an_unseen_structure(silicon):
    frame, basis = silicon
    hidden = replace(frame.ingredients, atoms={})
    other = moved(frame, basis, frame.ingredients, np.array([0.12, -0.05, 0.08]))
    fitted, report = fit_ingredients([frame, other], basis, hidden, SMALL)
    assert report.error < 2e-5
    unseen = moved(frame, basis, frame.ingredients, np.array([-0.06, 0.11, 0.02]))
    found = rebuilt_hamiltonian(unseen, basis, fitted)
    assert mean_error(found, unseen.hamiltonian) < 5e-5
    assert largest(found, unseen.hamiltonian) < 4e-3
    assert max(map(abs, report.gauge)) < 1e-3
    same = Ingredients.from_json(fitted.to_json())
    assert largest(rebuilt_hamiltonian(unseen, basis, same), found) < 1e-9


def test_silicene_of_openmx(silicene):
    frame, basis, scheme = silicene
    fitted, report = fit_ingredients([frame], basis, scheme, replace(SMALL, core_widths=(0.3,)))
    assert report.error < 3e-4
    assert report.off_site < report.error < report.on_site < report.largest < 8e-3
    found = rebuilt_hamiltonian(frame, basis, fitted)
    assert mean_error(found, frame.hamiltonian) == pytest.approx(report.error, rel=0.02)


def test_spins_are_refused(silicon):
    frame, basis = silicon
    two = {k: np.concatenate([v, v]) for k, v in frame.hamiltonian.values.items()}
    spins = replace(frame, hamiltonian=BlockMatrix(frame.hamiltonian.pairs, two))
    with pytest.raises(InputError, match="spinless"):
        fit_ingredients([spins], basis, frame.ingredients, SMALL)


def test_directions_span_the_symmetric_matrices():
    rows = np.array([np.outer(d, d).ravel() for d in symmetric_directions(4)])
    assert rows.shape == (10, 16)
    assert np.linalg.matrix_rank(rows) == 10


def test_projector_shapes_are_orthonormal_and_end():
    for l in range(4):
        shapes = [shell.radial for shell in TrialSpace().projector_shapes(l)]
        r = shapes[0].step * np.arange(len(shapes[0].values))
        values = np.array([s.values for s in shapes]) * r**l
        np.testing.assert_allclose(
            (values * r**2) @ values.T * shapes[0].step, np.eye(len(shapes)), atol=1e-8
        )
        np.testing.assert_allclose(values[:, r >= shapes[0].cutoff - 1e-9], 0, atol=1e-12)


def test_potential_of_a_gaussian_atom_and_of_its_shifted_zero():
    # electrons of width 0.6 A around a core of width 0.45 A: both potentials are known
    r = 0.01 * np.arange(501)
    density = RadialFunction(0.01, 4 * np.exp(-((r / 0.6) ** 2)) / (np.pi**1.5 * 0.6**3), 5.0)
    units = Ingredients("openmx", "PBE", 150.0, 13.605693, 0.529177)
    found = screened_nucleus(density, 4.0, 0.45, units.rydberg, units.bohr)
    coulomb = 2 * units.rydberg * units.bohr
    expected = -coulomb * 4 * 2 / np.sqrt(np.pi) * (1 / 0.45 - 1 / 0.6)
    assert found.values[0] == pytest.approx(expected, rel=1e-5)
    assert np.abs(found.values[r > 2.5]).max() < 1e-4
    weights = 4 * np.pi * r**2 * 0.01
    assert float(found.values @ weights) == pytest.approx(np.pi * coulomb * 4 * (0.45**2 - 0.6**2), rel=1e-4)
    other, shifted = with_shifted_zero(density, found, 7.0, units)
    assert float((shifted.values - found.values) @ weights) == pytest.approx(7.0, rel=1e-3)
    assert float((other.values - density.values) @ weights) == pytest.approx(0.0, abs=1e-6)
    again = screened_nucleus(other, 4.0, 0.45, units.rydberg, units.bohr)
    np.testing.assert_allclose(again.values, shifted.values, atol=2e-4)


def test_tables_on_a_uniform_grid(silicene):
    radii = np.exp(np.linspace(-8, 2, 500))
    found = on_uniform_grid(radii, radii**2 * np.exp(-radii), 2, 6.0)
    r = found.step * np.arange(len(found.values))
    np.testing.assert_allclose(found.values[1:], np.exp(-r[1:]), atol=1e-5)
    assert found.values[0] == pytest.approx(np.exp(-radii[0]))
    _, basis, _ = silicene
    shell = uniform_basis(basis)[14].shells[0]
    r = shell.radial.step * np.arange(len(shell.radial.values))
    assert np.trapezoid(shell.radial.values**2 * r**2, r) == pytest.approx(1.0, abs=1e-4)


def test_kinetic_energy_and_electrons_of_openmx(silicene):
    """The k points are those of the input's mesh, not those of the bands, which lie on a path."""
    frame, basis, scheme = silicene
    on_mesh = MeshFrame.of(frame, basis, scheme)
    assert on_mesh.mesh.shape == (28, 28, 128)
    kinetic = inner_product(on_mesh.matrix, kinetic_matrices([on_mesh], basis, scheme)[0])
    assert kinetic / OPENMX_HARTREE_EV == pytest.approx(2.929301935935, abs=1e-6)
    assert on_mesh.density.sum() * on_mesh.mesh.volume_element == pytest.approx(8.0, abs=1e-4)
