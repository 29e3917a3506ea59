import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from n2amd.errors import ComputationError
from n2amd.states.gauge import canonical_gauge
from n2amd.states.solver import solve_window
from n2amd.states.window import StateWindow


def random_pair(n, seed, complex_=False):
    rng = np.random.default_rng(seed)

    def gaussian(*shape):
        real = rng.normal(size=shape)
        return real + 1j * rng.normal(size=shape) if complex_ else real

    x = gaussian(n, 2 * n)
    h = gaussian(n, n)
    return h + h.conj().T, x @ x.conj().T / (2 * n) + 0.05 * np.eye(n)


def random_unitary(n, rng, complex_=False):
    x = rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if complex_ else 0)
    return np.linalg.qr(x)[0]


@given(st.integers(6, 40), st.integers(0, 10**6), st.booleans())
@settings(max_examples=25, deadline=None)
def test_window_is_a_slice_of_the_full_spectrum(n, seed, complex_):
    h, s = random_pair(n, seed, complex_)
    # independent reference: all states through S^(-1/2) H S^(-1/2)
    value, vector = np.linalg.eigh(s)
    root = (vector / np.sqrt(value)) @ vector.conj().T
    full = np.linalg.eigvalsh(root @ h @ root)
    low, high = n // 3, n // 3 + 3
    states = solve_window(h, s, StateWindow(low, high, low + 1))
    np.testing.assert_allclose(states.energies, full[low:high], atol=1e-9)
    np.testing.assert_allclose(h @ states.coefficients, s @ states.coefficients * states.energies, atol=1e-9)
    np.testing.assert_allclose(states.overlap_coefficients, s @ states.coefficients, atol=1e-12)
    assert states.residual < 1e-9
    assert states.orthonormality_error < 1e-11


@pytest.mark.parametrize("complex_", [False, True])
def test_phase_convention_largest_coefficient_is_real_and_positive(complex_):
    h, s = random_pair(30, 1, complex_)
    c = solve_window(h, s, StateWindow(8, 16, 12)).coefficients
    largest = c[np.abs(c).argmax(axis=0), np.arange(8)]
    assert (largest.real > 0).all()
    np.testing.assert_allclose(largest.imag, 0, atol=1e-12)


@given(st.integers(0, 10**6), st.booleans())
@settings(max_examples=25, deadline=None)
def test_canonical_gauge_forgets_phases_and_rotations_of_degenerate_levels(seed, complex_):
    rng = np.random.default_rng(seed)
    energies = np.array([-1.0, 0.0, 0.0, 0.0, 0.3, 0.9, 0.9])
    c = random_unitary(12, rng, complex_)[:, :7]
    mixed = c.copy()
    for level in (slice(0, 1), slice(1, 4), slice(4, 5), slice(5, 7)):
        size = level.stop - level.start
        mixed[:, level] = c[:, level] @ random_unitary(size, rng, complex_)
    one, other = c @ canonical_gauge(c, energies), mixed @ canonical_gauge(mixed, energies)
    np.testing.assert_allclose(other, one, atol=1e-10)
    np.testing.assert_allclose(one.conj().T @ one, np.eye(7), atol=1e-12)


def test_degenerate_levels_come_out_orthonormal():
    rng = np.random.default_rng(5)
    n = 60
    _, s = random_pair(n, 5)
    root = scipy.linalg.sqrtm(s).real
    q = random_unitary(n, rng)
    levels = np.repeat(np.arange(n // 6), 6).astype(float)
    states = solve_window(root @ (q * levels) @ q.T @ root, s, StateWindow(12, 30, 20))
    np.testing.assert_allclose(states.energies, levels[12:30], atol=1e-10)
    assert states.orthonormality_error < 1e-11


def test_not_finite_is_refused_naming_frame_and_matrix():
    h, s = random_pair(10, 0)
    h[3, 4] = np.nan
    with pytest.raises(ComputationError, match="frame 17: the Hamiltonian holds 1 elements"):
        solve_window(h, s, StateWindow(2, 6, 4), frame=17)


def test_indefinite_overlap_is_refused_with_its_smallest_eigenvalue():
    h, s = random_pair(10, 0)
    s = s - (np.linalg.eigvalsh(s)[0] + 0.25) * np.eye(10)
    with pytest.raises(ComputationError, match=r"frame 3: .*not positive definite.*-2\.500e-01"):
        solve_window(h, s, StateWindow(2, 6, 4), frame=3)


def test_a_missed_tolerance_is_an_error():
    h, s = random_pair(10, 0)
    h = h + np.triu(np.ones_like(h), 1) * 1e-3  # not Hermitian: the solver reads one triangle only
    with pytest.raises(ComputationError, match=r"residual is .* eV"):
        solve_window(h, s, StateWindow(2, 6, 4))


def test_a_state_of_nearly_empty_directions_is_doubtful():
    """An error of H that is tiny per element brings such a direction down; its coefficients give it away."""
    rng = np.random.default_rng(0)
    n = 12
    vectors, _ = np.linalg.qr(rng.normal(size=(n, n)))
    sizes = np.full(n, 1.0)
    sizes[0] = 1e-3
    energies = np.linspace(-5.0, 6.0, n)
    energies[0] = 60.0  # where the empty direction belongs
    overlap = (vectors * sizes) @ vectors.T
    hamiltonian = (vectors * (sizes * energies)) @ vectors.T
    wrong = hamiltonian - 0.06 * np.outer(vectors[:, 0], vectors[:, 0])  # 60 meV, spread over 144 elements
    window = StateWindow(4, 8, 6)
    sound, spoilt = (solve_window(h, overlap, window) for h in (hamiltonian, wrong))
    assert sound.coefficient_norm < 2
    assert spoilt.coefficient_norm > 100
