import numpy as np
import pytest
from classical_paths import fluctuating

from n2amd.errors import InputError
from n2amd.hopping import propagators
from n2amd.hopping.unitary import nearest_unitary


@pytest.mark.parametrize("complex_couplings", [False, True])
@pytest.mark.parametrize("integrator", ["trotter", "exponential"])
def test_propagators_are_unitary_and_converge(complex_couplings: bool, integrator: str) -> None:
    path = fluctuating(5, 41, complex_couplings=complex_couplings)
    coarse = propagators.hst(path.energies, path.nac, 1.0, 20, integrator)
    fine = propagators.hst(path.energies, path.nac, 1.0, 400, "exponential")
    one = np.broadcast_to(np.eye(5), coarse.shape)
    np.testing.assert_allclose(coarse @ coarse.conj().swapaxes(1, 2), one, atol=1e-13)
    np.testing.assert_allclose(coarse, fine, atol=1e-5)


@pytest.mark.parametrize("complex_couplings", [False, True])
def test_schemes_agree_for_small_rotations(complex_couplings: bool) -> None:
    """An overlap made of constant couplings within each step gives the same propagator as those couplings."""
    path = fluctuating(5, 41, complex_couplings=complex_couplings)
    overlap = propagators.exponential(1j * path.nac / 0.6582119569)  # exp(d dt)
    overlap = overlap if complex_couplings else overlap.real
    np.testing.assert_allclose(
        overlap @ overlap.conj().swapaxes(1, 2), np.broadcast_to(np.eye(5), overlap.shape), atol=1e-12
    )
    diabatic = propagators.local_diabatic(path.energies, overlap, 1.0)
    # constant couplings: give every interval its own path
    for k in (0, 17, 39):
        alone = propagators.hst(path.energies[k : k + 2], path.nac[k : k + 1], 1.0, 200, "exponential")
        # populations; phases also hold the curvature of the energies, which a straight line leaves out
        np.testing.assert_allclose(np.abs(diabatic[k]), np.abs(alone[0]), atol=3e-5)
        np.testing.assert_allclose(diabatic[k], alone[0], atol=3e-4)


@pytest.mark.parametrize(("gap", "substeps"), [(1.8, 2), (3.2, 2), (3.2, 10)])
def test_few_substeps_change_the_rate_by_a_known_factor(gap: float, substeps: int) -> None:
    """First-order transfer within a step against the exact one of a constant coupling."""
    energies, nac = np.array([[0.0, gap]] * 2), 1e-4 * np.array([[[0.0, 1.0], [-1.0, 0.0]]])
    moved = [
        abs(propagators.hst(energies, nac, 1.0, substeps, integrator)[0, 0, 1]) ** 2
        for integrator in ("trotter", "exponential")
    ]
    factor = propagators.trotter_rate_factor(gap, 1.0, substeps)
    assert moved[0] / moved[1] == pytest.approx(factor, rel=1e-5)
    assert factor == pytest.approx(
        {(1.8, 2): 0.704, (3.2, 2): 0.202, (3.2, 10): 0.961}[gap, substeps], abs=2e-3
    )


def test_unitary_stays_what_it_is_and_a_lost_state_is_replaced() -> None:
    generator = np.random.default_rng(3)
    whole = np.linalg.qr(generator.normal(size=(5, 6, 6)) + 1j * generator.normal(size=(5, 6, 6)))[0]
    np.testing.assert_allclose(nearest_unitary(whole), whole, atol=1e-12)
    # the last state becomes one outside, and one from outside takes its place
    lost = np.tile(np.eye(4), (3, 1, 1))
    lost[1, 3, 3] = 0.0
    found = nearest_unitary(lost)
    np.testing.assert_allclose(found, np.tile(np.eye(4), (3, 1, 1)), atol=1e-14)
    assert lost[1, 3, 3] == 0.0
    # two at once, with what little overlap they have for a phase
    lost[2, 2:, 2:] = 1e-9 * np.array([[0, -1.0], [1.0, 0]])
    np.testing.assert_allclose(np.abs(nearest_unitary(lost)[2]), np.eye(4), atol=1e-8)


def test_missing_overlaps_are_told() -> None:
    with pytest.raises(InputError, match="overlaps across time"):
        propagators.build(fluctuating(3, 10), "local_diabatic")
