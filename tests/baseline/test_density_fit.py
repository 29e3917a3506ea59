"""Density functions, their fit, and the states' response: against direct sums and real frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg

from n2amd.baseline.auxiliary import AuxiliaryBasis, form_factor, principal_components
from n2amd.baseline.density_change import elements_of_changes
from n2amd.baseline.density_fit import Design, PlaneWaves, normal_equations
from n2amd.baseline.mesh_states import states_on_mesh
from n2amd.baseline.model_density import ModelDensity, choose_functions, frame_density
from n2amd.baseline.multipoles import superpose_multipoles
from n2amd.baseline.state_response import ACROSS, edge_states, elements_wanted, state_response
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.matrix import fold
from n2amd.dft.siesta.frame import read_frame
from n2amd.frames.mesh import Mesh, siesta_mesh
from n2amd.orbitals.basis import RadialFunction, Shell
from n2amd.structure import Structure

ROOT = Path(__file__).resolve().parents[2]
FRAME = ROOT / "resources/tio2-honpas/TiO2_6_train/frame_0000"


@pytest.fixture(scope="module")
def real():
    """A bundled DFT frame of six atoms with its basis."""
    return read_frame(FRAME)


@pytest.fixture(scope="module")
def density(real):
    frame, basis = real
    return frame_density(frame, basis, frame.ingredients)


@pytest.fixture(scope="module")
def zeroth(real, density):
    frame, basis = real
    auxiliary = choose_functions([density], basis)
    return ZerothHamiltonian(basis, frame.ingredients, ModelDensity(auxiliary, {}))


def gaussian(l: int, exponent: float, label: str) -> Shell:
    r = 0.01 * np.arange(501)
    return Shell(l, label, RadialFunction(0.01, np.exp(-exponent * r**2), 5.0))


def toy() -> tuple[Structure, AuxiliaryBasis, Mesh]:
    cell = np.array([[4.0, 0.3, 0.0], [0.0, 4.4, 0.5], [0.2, 0.0, 5.0]])
    positions = np.array([[0.3, 0.2, 0.1], [2.1, 1.8, 2.4]])
    structure = Structure(cell, positions, np.array([8, 22]))
    auxiliary = AuxiliaryBasis(
        {
            8: (gaussian(0, 2.0, "a"), gaussian(0, 3.5, "b"), gaussian(1, 2.5, "c"), gaussian(3, 3.0, "d")),
            22: (gaussian(0, 1.6, "a"), gaussian(2, 2.0, "b"), gaussian(4, 3.0, "c")),
        }
    )
    return structure, auxiliary, Mesh(cell, (48, 54, 60))


def test_form_factor_of_a_gaussian():
    shell = gaussian(2, 1.7, "x")
    wave = np.array([0.1, 1.0, 2.7, 5.0])
    # 4 pi int r^4 exp(-a r^2) j_2(Gr) dr = (pi / a)^(3/2) (G / 2a)^2 exp(-G^2 / 4a)
    expected = (np.pi / 1.7) ** 1.5 * (wave / 3.4) ** 2 * np.exp(-(wave**2) / 6.8)
    np.testing.assert_allclose(form_factor(shell)(wave), expected, atol=1e-7)


def test_waves_of_functions_are_the_transform_of_the_mesh():
    """Fourier integrals from form factors equal those of the functions summed up on a mesh."""
    structure, auxiliary, mesh = toy()
    rng = np.random.default_rng(0)
    coefficients = rng.normal(size=auxiliary.offsets(structure.numbers)[-1])
    waves = PlaneWaves.of(mesh, 9.0)
    field = superpose_multipoles(structure, mesh, auxiliary.atoms, coefficients)
    design = Design.of(structure, auxiliary, waves)
    found = coefficients @ design.rows.astype(float)
    expected = design.coordinates(waves.transform(field))
    assert np.abs(found - expected).max() < 2e-5 * np.abs(expected).max()


def test_integrals_with_a_field_are_sums_over_the_mesh():
    structure, auxiliary, mesh = toy()
    rng = np.random.default_rng(4)
    coefficients = rng.normal(size=auxiliary.offsets(structure.numbers)[-1])
    waves = PlaneWaves.of(mesh, 9.0)
    points = np.moveaxis(np.indices(mesh.shape), 0, -1) / mesh.shape @ mesh.cell
    fields = np.stack([np.cos(points @ waves.vectors[n] + 0.3) for n in (3, 200)])
    found = Design.of(structure, auxiliary, waves).integrals(np.stack([waves.transform(f) for f in fields]))
    density = superpose_multipoles(structure, mesh, auxiliary.atoms, coefficients)
    expected = [(f * density).sum() * mesh.volume_element for f in fields]
    np.testing.assert_allclose(found @ coefficients, expected, rtol=2e-4)


def test_half_of_the_waves_is_all_of_them():
    """Parseval: multiplicities make the half sphere count as the whole."""
    _, _, mesh = toy()
    rng = np.random.default_rng(1)
    smooth = np.fft.irfftn(
        np.fft.rfftn(rng.normal(size=mesh.shape)) * np.exp(-0.05 * np.arange(31) ** 2),
        mesh.shape,
        axes=(0, 1, 2),
    )
    smooth -= smooth.mean()
    waves = PlaneWaves.of(mesh, 1e3)
    total = (np.abs(waves.transform(smooth)) ** 2 * waves.multiplicity).sum() / mesh.volume
    assert total == pytest.approx((smooth**2).sum() * mesh.volume_element, rel=1e-10)


def test_fit_finds_a_density_of_its_own_functions_and_keeps_its_charge():
    structure, auxiliary, mesh = toy()
    rng = np.random.default_rng(2)
    charges = auxiliary.charges_of(structure.numbers)
    wanted = rng.normal(size=len(charges))
    waves = PlaneWaves.of(mesh, 9.0)
    design = Design.of(structure, auxiliary, waves)
    field = superpose_multipoles(structure, mesh, auxiliary.atoms, wanted)
    equations = normal_equations(design, waves.transform(field))
    found = equations.solve(charges, float(charges @ wanted), ridge=1e-7)
    assert equations.unexplained(found) < 1e-5
    assert charges @ found == pytest.approx(charges @ wanted, abs=1e-10)
    assert equations.solve(charges, 0.5) @ charges == pytest.approx(0.5, abs=1e-10)


def test_principal_components_are_orthonormal_and_ordered():
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 5, 5))
    covariance, metric = a @ a.T, b @ b.T + np.eye(5)
    vectors, shares = principal_components(covariance, metric)
    np.testing.assert_allclose(vectors.T @ metric @ vectors, np.eye(5), atol=1e-10)
    along = vectors.T @ metric @ covariance @ metric @ vectors
    np.testing.assert_allclose(along, np.diag(shares), atol=1e-10 * shares[0])
    assert np.all(np.diff(shares) <= 0)


def test_auxiliary_basis_survives_json(zeroth):
    auxiliary = zeroth.model.auxiliary
    again = ModelDensity.from_json(zeroth.model.to_json()).auxiliary
    assert again.atoms == auxiliary.atoms


@pytest.mark.parametrize(
    ("cell", "cutoff", "shape"),
    [
        (np.diag([9.18, 9.18, 5.912]), 200.0, (80, 80, 54)),
        (5.6537 * np.eye(3), 150.0, (48, 48, 48)),
        (5.6537 / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]), 150.0, (30, 30, 30)),
    ],
)
def test_mesh_is_the_one_siesta_makes(cell, cutoff, shape):
    """Meshes that HONPAS printed for cells of TiO2 and GaAs."""
    assert siesta_mesh(cell, cutoff, 0.529177).shape == shape


def test_whole_hamiltonian_comes_out_of_the_frames_own_density(real, density, zeroth):
    """H0 of the DFT density is DFT's H to 0.05 meV, its absolute gauge included."""
    frame, _ = real
    atoms = zeroth.densities(frame.structure, density.mesh)
    potential = zeroth.potential_of(density.mesh, atoms, density.valence - atoms.density)
    rebuilt = zeroth.assemble(frame.structure, density.mesh, potential, frame.hamiltonian.pairs)
    for key, blocks in frame.hamiltonian.values.items():
        assert np.abs(rebuilt.values[key] - blocks).max() < 5e-5


def test_states_on_the_mesh_are_orthonormal_and_make_the_density(real, density):
    frame, basis = real
    for sides in edge_states(frame, basis)[:3]:
        for states in sides:
            values = states_on_mesh(basis, frame.structure, density.mesh, states.vectors, states.kpoint)
            flat = values.reshape(len(values), -1)
            gram = flat @ flat.T * density.mesh.volume_element
            np.testing.assert_allclose(gram, np.eye(len(gram)), atol=2e-3)


def test_states_at_a_general_k_point_are_bloch_waves(real, density):
    frame, basis = real
    k = np.array([0.2, -0.1, 0.3])
    rng = np.random.default_rng(4)
    n = basis.orbital_offsets(frame.structure.numbers)[-1]
    c = rng.normal(size=(n, 2)) + 1j * rng.normal(size=(n, 2))
    values = states_on_mesh(basis, frame.structure, density.mesh, c, k)
    folded = fold(frame.overlap, basis.orbital_offsets(frame.structure.numbers), k)
    flat = values.reshape(2, -1)
    gram = flat.conj() @ flat.T * density.mesh.volume_element
    np.testing.assert_allclose(gram, c.conj().T @ folded @ c, rtol=2e-3, atol=2e-2)


def test_response_predicts_how_states_move(real, density, zeroth):
    """A small change of the coefficients moves the band edges as the response says."""
    from n2amd.network.density_data import fit_frame

    frame, basis = real
    fitted = fit_frame(frame, zeroth, 5.0)
    sample, start = fitted.sample, fitted.coefficients
    rng = np.random.default_rng(5)
    step = 2e-3 * rng.normal(size=len(start)) * np.abs(start)
    charges = zeroth.model.auxiliary.charges_of(frame.structure.numbers)
    step -= charges * (charges @ step) / (charges @ charges)
    offsets = basis.orbital_offsets(frame.structure.numbers)
    sides = edge_states(frame, basis)[0]
    moved = []
    for coefficients in (start + step, start - step):
        h0 = zeroth.matrix(frame.structure, coefficients, frame.hamiltonian.pairs)
        dense = fold(h0, offsets)
        moved.append(np.concatenate([np.diag(s.vectors.T @ dense @ s.vectors) for s in sides]))
    change = (moved[0] - moved[1]) / 2
    rows = [0, 2, 3, 5]  # the diagonal ones of two valence and two conduction states
    predicted = (sample.response.numpy().astype(float) @ step)[rows]
    # the kernel is that of the local density approximation
    np.testing.assert_allclose(predicted, change, atol=0.1 * np.abs(change).max())


def test_slopes_need_no_finer_mesh(real, zeroth, monkeypatch):
    """Responses of states on their own mesh are those of the DFT code's."""
    from n2amd.baseline import slope_kernel as slopes

    frame, basis = real
    coefficients = np.zeros(zeroth.model.auxiliary.offsets(frame.structure.numbers)[-1])
    ingredients, auxiliary = zeroth.ingredients, zeroth.model.auxiliary
    placed = replace(frame, structure=ingredients.on_mesh(frame.structure))
    found = {}
    for refinement in (slopes.REFINEMENT, np.inf):
        monkeypatch.setattr(slopes, "REFINEMENT", refinement)
        mesh, kernel = slopes.slope_kernel(zeroth, frame.structure, coefficients)
        design = Design.of(placed.structure, auxiliary, PlaneWaves.of(mesh))
        states = state_response(placed, basis, ingredients, design, mesh, kernel, frame.hamiltonian)
        found[mesh.n_points] = states.response
    few, all_points = sorted(found)
    assert few < 0.4 * all_points
    assert all_points == ingredients.mesh_of(frame.structure.cell).n_points
    error = np.linalg.norm(found[few] - found[all_points], axis=1)
    assert (error < 5e-3 * np.linalg.norm(found[all_points], axis=1)).all()


@pytest.mark.parametrize(("below", "above"), [(2, 2), (8, 8), (1, 3), (8, 0), (6, 5)])
def test_elements_on_either_side_and_across_the_gap(below, above):
    a, b = elements_wanted(below, above)
    pairs = set(zip(a.tolist(), b.tolist()))
    assert len(pairs) == len(a)
    assert {(n, n) for n in range(below + above)} <= pairs
    near = [(v, c) for v, c in pairs if v < below <= c]
    assert len(near) == min(below, ACROSS) * min(above, ACROSS)
    assert not near or (below - 1, below) in near
    assert len(pairs) == below * (below + 1) // 2 + above * (above + 1) // 2 + len(near)


def test_elements_across_the_gap_move_as_the_response_says(real, density, zeroth):
    from n2amd.network.density_data import fit_frame

    frame, basis = real
    fitted = fit_frame(frame, zeroth, 5.0)
    rng = np.random.default_rng(6)
    step = 2e-3 * rng.normal(size=len(fitted.coefficients)) * np.abs(fitted.coefficients)
    charges = zeroth.model.auxiliary.charges_of(frame.structure.numbers)
    step -= charges * (charges @ step) / (charges @ charges)
    below, above = edge_states(frame, basis)[0]
    offsets = basis.orbital_offsets(frame.structure.numbers)
    changes = []
    for sign in (1, -1):
        h0 = zeroth.matrix(frame.structure, fitted.coefficients + sign * step, frame.hamiltonian.pairs)
        changes.append(below.vectors.T @ fold(h0, offsets).real @ above.vectors)
    change = ((changes[0] - changes[1]) / 2).ravel()
    rows = slice(6, 10)  # behind three elements on either side
    predicted = fitted.sample.response.numpy()[rows].astype(float) @ step
    np.testing.assert_allclose(predicted, change, atol=0.1 * np.abs(change).max())


def test_response_needs_only_the_reference(real, density, zeroth):
    """What is missing is DFT's energy minus the reference's, edge by edge."""
    frame, basis = real
    rebuilt = frame.hamiltonian
    kernel = np.zeros(density.mesh.shape)
    design = Design.of(frame.structure, zeroth.model.auxiliary, density.waves)
    found = state_response(frame, basis, frame.ingredients, design, density.mesh, kernel, rebuilt)
    np.testing.assert_allclose(found.missing, 0, atol=1e-9)


@pytest.mark.parametrize("kpoint", [None, np.array([0.0, 0.0, 0.5]), np.array([0.1, 0.2, 0.0])])
def test_elements_of_changes_are_differences_of_h0(real, zeroth, kpoint):
    """Small changes of the density, against H0 made anew; states at Gamma, at a corner and elsewhere."""
    frame, basis = real
    auxiliary, structure = zeroth.model.auxiliary, frame.structure
    charges = auxiliary.charges_of(structure.numbers)
    rng = np.random.default_rng(0)
    coefficients, changes = np.zeros(len(charges)), 1e-3 * rng.normal(size=(2, len(charges)))
    changes -= np.outer(changes @ charges, charges) / (charges @ charges)
    offsets = basis.orbital_offsets(structure.numbers)
    k = np.zeros(3) if kpoint is None else kpoint
    h, s = (fold(m, offsets, k) for m in (frame.hamiltonian, frame.overlap))
    _, vectors = scipy.linalg.eigh(h, s, subset_by_index=[frame.n_occupied - 3, frame.n_occupied + 2])
    found = elements_of_changes(zeroth, structure, coefficients, changes, vectors, kpoint)
    before = zeroth.matrix(structure, coefficients)
    for change, elements in zip(changes, found):
        after = zeroth.matrix(structure, coefficients + change)
        difference = after.map({key: v - before.values[key] for key, v in after.values.items()})
        exact = vectors.conj().T @ fold(difference, offsets, k) @ vectors
        # the kernel is that of the local density approximation
        assert np.linalg.norm(elements - exact) < 0.15 * np.linalg.norm(exact)
        assert np.allclose(elements, elements.conj().T, atol=1e-12)
