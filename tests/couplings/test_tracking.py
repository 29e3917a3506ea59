import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from n2amd.couplings.nac import hammes_schiffer_tully, logarithm
from n2amd.couplings.order import arrange
from n2amd.couplings.tracking import align, track
from n2amd.units import HBAR_EV_FS


def levels(hamiltonians):
    """Energies and overlaps of neighbours for matrices in a fixed orthonormal basis."""
    energies, vectors = np.linalg.eigh(hamiltonians)
    return energies, vectors[:-1].conj().swapaxes(1, 2) @ vectors[1:], vectors


def random_path(n_frames, n, seed, complex_=False, scale=0.5):
    rng = np.random.default_rng(seed)

    def hermitian():
        x = rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if complex_ else 0)
        return x + x.conj().T

    a, b, c = hermitian(), hermitian(), hermitian()
    t = np.arange(n_frames)[:, None, None]
    return a + scale * (np.sin(0.11 * t) * b + np.cos(0.07 * t) * c)


def random_unitary(n, rng, complex_):
    x = rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if complex_ else 0)
    return np.linalg.qr(x)[0]


def scramble(energies, overlap, rng, complex_, first=True):
    """Random phases, and rotations inside degenerate levels, of every frame's eigenvectors."""
    n_frames, w = energies.shape
    gauges = np.zeros((n_frames, w, w), dtype=complex if complex_ else float)
    for t in range(n_frames):
        starts = np.flatnonzero(np.diff(energies[t], prepend=-np.inf) > 1e-9)
        for start, stop in zip(starts, [*starts[1:], w]):
            gauges[t, start:stop, start:stop] = random_unitary(stop - start, rng, complex_)
    if not first:
        gauges[0] = np.eye(w)
    return gauges[:-1].conj().swapaxes(1, 2) @ overlap @ gauges[1:], gauges


@given(st.integers(0, 10**6), st.booleans(), st.sampled_from(["energy", "character"]))
@settings(max_examples=20, deadline=None)
def test_random_phases_leave_no_trace(seed, complex_, order):
    energies, overlap, _ = levels(random_path(30, 6, seed, complex_))
    mixed, gauges = scramble(energies, overlap, np.random.default_rng(seed), complex_)
    one = arrange(track(energies, overlap, 1.0, 0.005), order).cut(slice(1, 5))
    other = arrange(track(energies, mixed, 1.0, 0.005, gauges[0].conj().T), order).cut(slice(1, 5))
    np.testing.assert_allclose(other.overlap, one.overlap, atol=1e-10)
    np.testing.assert_allclose(other.energies, one.energies, atol=1e-12)
    np.testing.assert_array_equal(other.successor, one.successor)


@given(st.integers(0, 10**6), st.booleans(), st.sampled_from(["energy", "character"]))
@settings(max_examples=20, deadline=None)
def test_random_rotations_inside_degenerate_levels_leave_no_trace(seed, complex_, order):
    rng = np.random.default_rng(seed)
    # levels 1, 2 and 4, 5, 6 stay exactly degenerate while all states turn
    spectrum = np.array([-2.0, -1.0, -1.0, 0.1, 0.9, 0.9, 0.9, 2.0])
    generator = rng.normal(size=(8, 8)) + (1j * rng.normal(size=(8, 8)) if complex_ else 0)
    generator = 0.03 * (generator - generator.conj().T)
    turn = np.stack([scipy.linalg.expm(np.sin(0.2 * t) * generator) for t in range(20)])
    energies = np.tile(spectrum, (20, 1))
    overlap = turn[:-1].conj().swapaxes(1, 2) @ turn[1:]
    mixed, gauges = scramble(energies, overlap, rng, complex_)
    one = arrange(track(energies, overlap, 1.0, 0.005), order)
    other = arrange(track(energies, mixed, 1.0, 0.005, gauges[0].conj().T), order)
    np.testing.assert_allclose(other.overlap, one.overlap, atol=1e-9)
    np.testing.assert_array_equal(other.successor, one.successor)


def test_degenerate_levels_are_transported_not_sign_fixed():
    """A pair split by 0.1 meV whose eigenvectors turn fast: following signs alone leaves large couplings."""
    rng = np.random.default_rng(0)
    t = np.arange(60)
    pair = 1e-4 * np.array([[np.cos(0.9 * t), np.sin(0.9 * t)], [np.sin(0.9 * t), -np.cos(0.9 * t)]])
    h = np.zeros((60, 3, 3))
    h[:, :2, :2] = pair.transpose(2, 0, 1)
    h[:, 2, 2] = 1.0
    energies, overlap, _ = levels(h)
    mixed, _ = scramble(energies, overlap, rng, False)

    def largest(degeneracy):
        return np.abs(hammes_schiffer_tully(track(energies, mixed, 1.0, degeneracy).overlap, 1.0)).max()

    assert largest(0.0) > 0.2  # eV
    assert largest(0.005) < 1e-12


def test_a_true_coupling_of_separate_states_is_not_transported_away():
    theta = 0.01
    energies, overlap, _ = levels(
        np.stack([np.array([[0.5, 0], [0, -0.5]])] * 10)
        + 0.2 * theta * np.arange(10)[:, None, None] * np.array([[0, 1], [1, 0]])
    )
    tracked = track(energies, overlap, 1.0, 0.005)
    assert (tracked.n_clusters == 0).all()
    np.testing.assert_allclose(np.abs(tracked.overlap), np.abs(overlap), atol=1e-14)


def crossing(n_frames=21, coupling=0.0):
    slope = 0.02
    e = slope * (np.arange(n_frames) - (n_frames - 1) / 2 + 0.3)
    h = np.zeros((n_frames, 3, 3))
    h[:, 0, 0], h[:, 1, 1], h[:, 2, 2] = e, -e, 5.0
    h[:, 0, 1] = h[:, 1, 0] = coupling
    return h


def test_character_order_follows_a_trivial_crossing():
    energies, overlap, _ = levels(crossing())
    columns = arrange(track(energies, overlap, 1.0, 0.005), "character")
    np.testing.assert_allclose(columns.overlap, np.tile(np.eye(3), (20, 1, 1)), atol=1e-12)
    assert (np.diff(np.sort(np.diff(columns.energies[:, :2], axis=0), axis=1), axis=0) < 1e-12).all()
    assert (columns.successor == np.arange(3)).all()


def test_energy_order_shows_a_trivial_crossing_as_one_proper_rotation():
    energies, overlap, _ = levels(crossing())
    columns = arrange(track(energies, overlap, 1.0, 0.005), "energy")
    assert (np.diff(columns.energies, axis=1) >= 0).all()
    np.testing.assert_allclose(np.linalg.det(columns.overlap), 1.0, atol=1e-12)
    crossed = np.flatnonzero((columns.successor != np.arange(3)).any(axis=1))
    assert len(crossed) == 1
    np.testing.assert_array_equal(columns.successor[crossed[0]], [1, 0, 2])
    assert abs(hammes_schiffer_tully(columns.overlap, 1.0)[crossed[0], 0, 1]) == pytest.approx(HBAR_EV_FS)
    exact = logarithm(columns.overlap[crossed[0]], 1.0)
    assert abs(exact[0, 1]) == pytest.approx(HBAR_EV_FS * np.pi / 2)


def test_an_avoided_crossing_resolved_in_time_keeps_its_states():
    energies, overlap, _ = levels(crossing(201, coupling=0.4))
    for order in ("energy", "character"):
        columns = arrange(track(energies, overlap, 1.0, 0.005), order)
        np.testing.assert_allclose(columns.energies, energies, atol=1e-12)
        assert (np.diagonal(columns.overlap, axis1=1, axis2=2) > 0.9).all()


@pytest.mark.parametrize("order", ["energy", "character"])
@pytest.mark.parametrize("complex_", [False, True])
def test_amplitudes_carried_by_the_overlaps_are_those_of_the_full_problem(order, complex_):
    """Whatever the gauge and the columns, propagation with all states must give the exact wave function."""
    h = random_path(40, 5, 7, complex_, scale=0.3)
    energies, overlap, vectors = levels(h)
    mixed, gauges = scramble(energies, overlap, np.random.default_rng(1), complex_)
    tracked = track(energies, mixed, 1.0, 0.0)
    columns = arrange(tracked, order)
    basis = vectors @ gauges @ columns.gauge
    np.testing.assert_allclose(basis[:-1].conj().swapaxes(1, 2) @ basis[1:], columns.overlap, atol=1e-10)
    np.testing.assert_allclose(
        np.einsum("tai,tab,tbi->ti", basis.conj(), h, basis).real, columns.energies, atol=1e-10
    )


def test_cutting_follows_tracking():
    energies, overlap, _ = levels(random_path(30, 8, 3))
    tracked = track(energies, overlap, 1.0, 0.005)
    whole = arrange(tracked, "energy")
    cut = arrange(tracked, "energy").cut(slice(2, 6))
    np.testing.assert_array_equal(cut.overlap, whole.overlap[:, 2:6, 2:6])
    inside = (whole.successor[:, 2:6] >= 2) & (whole.successor[:, 2:6] < 6)
    np.testing.assert_array_equal(cut.successor, np.where(inside, whole.successor[:, 2:6] - 2, -1))


def test_a_group_at_the_windows_edge_is_reported():
    angle = 0.4
    amplitudes = np.eye(4)
    amplitudes[2:, 2:] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    step = align(amplitudes, np.array([0.0, 1.0, 2.0, 2.0005]), 1.0, 0.005)
    assert step.n_clusters == 1
    np.testing.assert_array_equal(step.edge, [False, False, True, True])
    np.testing.assert_allclose(amplitudes @ step.gauge, np.eye(4), atol=1e-12)
