import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from n2amd.couplings.nac import hammes_schiffer_tully, logarithm, polar_factor
from n2amd.units import HBAR_EV_FS


def rotation(theta):
    return np.array([[np.cos(theta), np.sin(theta)], [-np.sin(theta), np.cos(theta)]])


@pytest.mark.parametrize("theta", [0.1, 0.5, 1.0, np.pi / 2])
@pytest.mark.parametrize("timestep", [0.5, 1.0])
def test_transfer_through_a_crossing_in_one_step(theta, timestep):
    """Degenerate states that turn by theta in one step transfer sin^2(theta); HST sees sin(theta)."""
    overlap = rotation(theta)
    through_hst = scipy.linalg.expm(-hammes_schiffer_tully(overlap, timestep) * timestep / HBAR_EV_FS)
    through_log = scipy.linalg.expm(-logarithm(overlap, timestep) * timestep / HBAR_EV_FS)
    assert abs(through_hst[1, 0]) ** 2 == pytest.approx(np.sin(np.sin(theta)) ** 2, abs=1e-12)
    assert abs(polar_factor(overlap).T[1, 0]) ** 2 == pytest.approx(np.sin(theta) ** 2, abs=1e-12)
    assert abs(through_log[1, 0]) ** 2 == pytest.approx(np.sin(theta) ** 2, abs=1e-12)


def test_hst_loses_30_percent_of_a_full_crossing():
    d = hammes_schiffer_tully(rotation(np.pi / 2), 1.0) / HBAR_EV_FS
    assert np.sin(d[0, 1]) ** 2 == pytest.approx(0.708, abs=5e-4)


def random_unitary(n, rng, complex_):
    x = rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if complex_ else 0)
    return np.linalg.qr(x)[0]


@given(st.integers(2, 6), st.integers(0, 10**6), st.booleans(), st.floats(0.05, 2.5))
@settings(max_examples=40, deadline=None)
def test_logarithm_is_the_coupling_whose_exponential_is_the_overlap(n, seed, complex_, angle):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, n)) + (1j * rng.normal(size=(n, n)) if complex_ else 0)
    generator = x - x.conj().T
    generator *= angle / np.linalg.norm(generator, 2)
    stretched = scipy.linalg.expm(generator) @ scipy.linalg.expm(1e-2 * (x + x.conj().T))
    coupling = logarithm(stretched, 0.7)
    assert np.isrealobj(coupling) == (not complex_)
    np.testing.assert_allclose(coupling, -coupling.conj().T, atol=1e-12)
    np.testing.assert_allclose(
        scipy.linalg.expm(coupling * 0.7 / HBAR_EV_FS), polar_factor(stretched), atol=1e-10
    )


@given(st.integers(1, 6), st.integers(0, 10**6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_polar_factor_is_the_nearest_unitary(n, seed, complex_):
    rng = np.random.default_rng(seed)
    a = np.eye(n) + 0.3 * random_unitary(n, rng, complex_)
    u = polar_factor(a)
    np.testing.assert_allclose(u @ u.conj().T, np.eye(n), atol=1e-12)
    # Loewdin: (A A^dagger)^(-1/2) A
    np.testing.assert_allclose(u, np.linalg.inv(scipy.linalg.sqrtm(a @ a.conj().T)) @ a, atol=1e-8)
    other = random_unitary(n, rng, complex_)
    assert np.linalg.norm(a - u) <= np.linalg.norm(a - other) + 1e-12


def test_hst_is_anti_hermitian_for_stacks_of_overlaps():
    rng = np.random.default_rng(0)
    overlap = rng.normal(size=(5, 3, 3)) + 1j * rng.normal(size=(5, 3, 3))
    nac = hammes_schiffer_tully(overlap, 1.0)
    np.testing.assert_allclose(nac, -nac.conj().swapaxes(1, 2), atol=1e-14)
    assert nac[2, 0, 1] == pytest.approx(HBAR_EV_FS * (overlap[2, 0, 1] - overlap[2, 1, 0].conj()) / 2)
