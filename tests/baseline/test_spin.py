"""Collinear spins in H0: potentials of two channels, their kernels, fits, cycles and responses of states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from n2amd.baseline.density_matrix import density_matrix, filled_states
from n2amd.baseline.mesh_potential import local_spin_kernel, local_xc_kernel
from n2amd.baseline.model_density import choose_functions, frame_density
from n2amd.baseline.rebuilt import rebuilt_hamiltonian
from n2amd.baseline.scf_kpoints import scf_kpoints
from n2amd.baseline.self_consistent import ScfSettings, self_consistent
from n2amd.baseline.smearing import Smearing
from n2amd.baseline.state_response import edge_states
from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.matrix import fold, inner_product, spin_channel
from n2amd.dft.siesta.frame import read_frame
from n2amd.errors import InputError
from n2amd.frames.channels import electrons_of_spins, occupied_bands
from n2amd.network.density_data import fit_frame, without_means

ROOT = Path(__file__).parents[2]
UNITS = {"rydberg": 13.60580, "bohr": 0.529177}


@pytest.fixture(scope="module")
def silicon():
    return read_frame(ROOT / "tests" / "data" / "honpas-si2" / "frame_0000", "honpas")


@pytest.fixture(scope="module")
def zeroth(silicon):
    frame, basis = silicon
    return ZerothHamiltonian.of_neutral_atoms(basis, frame.ingredients)


@pytest.fixture(scope="module")
def settings(silicon):
    points, weights = scf_kpoints(silicon[0])
    return ScfSettings(points[:4], weights[:4] / weights[:4].sum(), Smearing(0.1), tolerance=1e-6)


def cycle(silicon, zeroth, settings, **electrons):
    return self_consistent(zeroth, silicon[0].structure, settings, name="cycle", **electrons)


@pytest.fixture(scope="module")
def ion(silicon, zeroth, settings):
    """Si2 with a charge of 1 and one electron more of spin up than of spin down."""
    return cycle(silicon, zeroth, settings, charge=1.0, moment=1.0)


@pytest.fixture(scope="module")
def model(silicon, ion):
    frame, basis = silicon
    orbitals = frame.ingredients.density_orbitals(basis)
    chosen = without_means(choose_functions([frame_density(ion, basis, frame.ingredients)], orbitals))
    return ZerothHamiltonian(basis, frame.ingredients, chosen)


def flipped(frame):
    values = {key: blocks[::-1].copy() for key, blocks in frame.hamiltonian.values.items()}
    return replace(frame, hamiltonian=frame.hamiltonian.map(values), fixed_moment=-frame.fixed_moment)


def largest(a, b) -> float:
    return max(float(np.abs(a.values[key] - b.values[key]).max()) for key in a.pairs)


def test_each_spin_is_filled_with_its_own_electrons(silicon, ion):
    states = filled_states(ion, silicon[1])
    held = np.einsum("k,ksn->s", states.weights, states.occupations)
    np.testing.assert_allclose(held, [4, 3], atol=1e-9)
    assert states.fermi_levels[0] - states.fermi_levels[1] > 0.1
    assert ion.fermi_level is None
    assert electrons_of_spins(ion) == (4, 3)
    assert occupied_bands(ion) == (4, 3)


def test_h_of_a_cycle_is_that_of_its_own_density(silicon, ion):
    """By the density matrix of each spin: another way through the code than the cycle's."""
    assert ion.n_electrons == 7
    rebuilt = rebuilt_hamiltonian(ion, silicon[1], ion.ingredients)
    assert largest(rebuilt, ion.hamiltonian) < 5e-6
    up, down = spin_channel(ion.hamiltonian, 0), spin_channel(ion.hamiltonian, 1)
    assert largest(up, down) > 0.05


def test_spins_without_a_moment_are_the_closed_shell(silicon, zeroth, settings):
    """By the functional of polarised gases, where the closed shell has a compiled one of its own."""
    plain = cycle(silicon, zeroth, settings)
    spins = cycle(silicon, zeroth, settings, moment=0.0)
    assert spins.hamiltonian.n_spin == 2
    for spin in (0, 1):
        assert largest(spin_channel(spins.hamiltonian, spin), plain.hamiltonian) < 2e-6
    assert spins.energy == pytest.approx(plain.energy, abs=1e-6)


def test_channels_change_places_with_the_moment(silicon, ion):
    one = rebuilt_hamiltonian(ion, silicon[1], ion.ingredients)
    other = rebuilt_hamiltonian(flipped(ion), silicon[1], ion.ingredients)
    for key, blocks in one.values.items():
        np.testing.assert_allclose(other.values[key], blocks[::-1], atol=1e-10)


def test_kernels_of_equal_spins_are_the_closed_shells():
    rng = np.random.default_rng(0)
    density = 10 ** rng.uniform(-2, 1, (4, 5, 6))
    kernels = local_spin_kernel(np.stack([density, density]) / 2, **UNITS)
    plain = local_xc_kernel(density, **UNITS)
    for spin in (0, 1):
        np.testing.assert_allclose(kernels[spin, 0], plain, rtol=1e-6)
    np.testing.assert_allclose(kernels[1, 1], -kernels[0, 1], rtol=1e-8)


def test_kernels_change_places_with_the_spins_and_are_symmetric():
    """dV_up/drho_down = dV_down/drho_up: second derivatives of one energy."""
    rng = np.random.default_rng(1)
    spins = 10 ** rng.uniform(-1, 1, (2, 3, 4, 5))
    kernels, other = (local_spin_kernel(s, **UNITS) for s in (spins, spins[::-1].copy()))
    np.testing.assert_allclose(other[::-1, 0], kernels[:, 0], rtol=1e-9)
    np.testing.assert_allclose(other[::-1, 1], -kernels[:, 1], rtol=1e-9)
    # rho = up + down, m = up - down: dV_s/dup = dV_s/drho + dV_s/dm, dV_s/ddown = dV_s/drho - dV_s/dm
    up_down, down_up = kernels[0, 0] - kernels[0, 1], kernels[1, 0] + kernels[1, 1]
    np.testing.assert_allclose(up_down, down_up, rtol=1e-4)


def test_fit_holds_charge_and_moment(silicon, ion, model):
    fitted = fit_frame(ion, model, 5.0)
    charges = model.model.auxiliary.charges_of(ion.structure.numbers)
    np.testing.assert_allclose(fitted.coefficients @ charges, [-1, 1], atol=1e-9)
    assert fitted.sample.moment == 1
    assert len(fitted.sample.edges) == 4
    h0 = model.matrix(ion.structure, fitted.coefficients, ion.hamiltonian.pairs)
    # two channels with a splitting of 0.7 eV, to what the functions of density can do
    split = [m.map({k: v[:1] - v[1:] for k, v in m.values.items()}) for m in (ion.hamiltonian, h0)]
    assert largest(*split) < 0.05 * max(np.abs(v).max() for v in split[0].values.values())
    other = fit_frame(flipped(ion), model, 5.0)
    np.testing.assert_allclose(other.coefficients[1], -fitted.coefficients[1], atol=1e-6)
    np.testing.assert_allclose(other.coefficients[0], fitted.coefficients[0], atol=1e-6)


@pytest.mark.parametrize("which", [0, 1])
def test_response_says_how_states_of_each_spin_move(silicon, ion, model, which):
    """With the density (0) and with the magnetisation (1), against H0 made anew."""
    # of a local functional, so that the kernel is its own
    model = replace(model, ingredients=replace(model.ingredients, functional="PW92"))
    fitted = fit_frame(ion, model, 5.0)
    structure = ion.structure
    rng = np.random.default_rng(5)
    step = np.zeros_like(fitted.coefficients)
    step[which] = 5e-3 * rng.normal(size=step.shape[1]) * np.abs(fitted.coefficients[which])
    charges = model.model.auxiliary.charges_of(structure.numbers)
    step[which] -= charges * (charges @ step[which]) / (charges @ charges)
    offsets = silicon[1].orbital_offsets(structure.numbers)
    changes = []
    for spin in (0, 1):
        sides = edge_states(ion, silicon[1], spin)[0]
        moved = []
        for sign in (1, -1):
            h0 = model.matrix(structure, fitted.coefficients + sign * step, ion.hamiltonian.pairs)
            dense = fold(h0, offsets, None, spin)
            moved.append(np.concatenate([np.diag(s.vectors.T @ dense @ s.vectors) for s in sides]))
        changes.append((moved[0] - moved[1]) / 2)
    predicted = fitted.sample.response.numpy().astype(float) @ step.ravel()
    per_channel = len(predicted) // 2
    rows = np.array([0, 2, 3, 5])  # the diagonal ones at Gamma, two on each side
    found = np.concatenate([predicted[rows], predicted[per_channel + rows]])
    wanted = np.concatenate(changes)
    np.testing.assert_allclose(found, wanted, atol=0.02 * np.abs(wanted).max())


def test_an_odd_number_of_electrons_without_spin_is_refused(silicon):
    frame, _ = silicon
    with pytest.raises(InputError, match=r"7 electrons, an odd number, in a run without spin: a band is"):
        occupied_bands(replace(frame, n_electrons=7.0))
    twice = {key: np.concatenate([v, v]) for key, v in frame.hamiltonian.values.items()}
    spins = replace(frame, hamiltonian=frame.hamiltonian.map(twice), n_electrons=7.0, bands=None)
    with pytest.raises(InputError, match="how many electrons are up and how many down is not known"):
        occupied_bands(spins)
    with pytest.raises(InputError, match=r"electrons of the channels 3\.6, 3\.4 fill no whole bands"):
        occupied_bands(replace(spins, fixed_moment=0.2))


def test_levels_below_the_fermi_level_count_the_electrons_of_spins(silicon):
    frame, basis = silicon
    up_and_down = [np.concatenate([v, v]) for v in frame.hamiltonian.values.values()]
    spins = frame.hamiltonian.map(dict(zip(frame.hamiltonian.values, up_and_down)))
    bands = replace(frame.bands, energies=np.repeat(frame.bands.energies, 2, axis=1))
    both = replace(frame, hamiltonian=spins, bands=bands)
    level = 0.5 * (frame.bands.energies[:, 0, 3].max() + frame.bands.energies[:, 0, 4].min())
    assert occupied_bands(replace(both, fermi_level=level)) == (4, 4)
    matrix = density_matrix(both, basis)
    assert inner_product(spin_channel(matrix, 0), frame.overlap) == pytest.approx(4, abs=1e-6)
