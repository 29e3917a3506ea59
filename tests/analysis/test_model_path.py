import numpy as np
import pytest

from n2amd.analysis.lifetime import estimate
from n2amd.analysis.model_path import model_path
from n2amd.errors import InputError
from n2amd.hopping import renewal
from n2amd.hopping.dephasing import of_gap
from n2amd.hopping.propagators import build
from n2amd.units import HBAR_EV_FS

# gap eV, dephasing fs, NAC rms meV, lifetime ns: TiO2 of the paper's Tables 1 and 2
TIO2 = [
    (1.79, 16.5, 0.77, 45.6),
    (3.22, 16.5, 0.77, 153.7),
    (3.22, 15.3, 0.43, 465.6),
    (3.13, 18.9, 0.19, 2520.0),
]


def test_path_has_the_numbers_it_was_made_for() -> None:
    path = model_path(1.79, 16.5, 0.77e-3, frames=3000, seed=5)
    gap = path.energies[:, 1] - path.energies[:, 0]
    assert gap.mean() == pytest.approx(1.79, abs=1e-12)
    assert of_gap(gap, 1.0).hefei_fs == pytest.approx(16.5, rel=1e-4)
    assert np.sqrt(np.mean(path.nac[:, 0, 1] ** 2)) == pytest.approx(0.77e-3)  # type: ignore[index]
    np.testing.assert_array_equal(path.nac[:, 0, 1], -path.nac[:, 1, 0])  # type: ignore[index]
    # phonons move while it dephases: the gap must fluctuate by more than hbar / tau, and not by much more
    assert 1.0 < gap.std() * 16.5 / HBAR_EV_FS < 1.5


def test_another_seed_is_another_path_of_the_same_numbers() -> None:
    one, two = (model_path(1.79, 16.5, 0.77e-3, frames=500, seed=seed) for seed in (1, 2))
    again = model_path(1.79, 16.5, 0.77e-3, frames=500, seed=1)
    np.testing.assert_array_equal(one.energies, again.energies)
    assert np.abs(one.energies - two.energies).max() > 0.01


def test_a_gap_that_would_close_is_refused() -> None:
    with pytest.raises(InputError, match=r"a gap of 0\.05 eV that dephases within 5 fs fluctuates by"):
        model_path(0.05, 5.0, 1e-3, frames=500)


@pytest.mark.parametrize(("gap", "tau", "nac", "published"), TIO2)
def test_published_lifetimes_follow_from_their_own_gap_dephasing_and_coupling(
    gap: float, tau: float, nac: float, published: float
) -> None:
    """Estimate within 10 %; DISH on paths made to measure within 10 % in the mean of three paths of 5 ps."""
    assert 1e-6 * estimate(tau, gap, 1e-3 * nac) == pytest.approx(published, rel=0.1)
    lifetimes = []
    for seed in (1, 2, 3):
        path = model_path(gap, tau, 1e-3 * nac, frames=5000, seed=seed)
        lifetimes.append(1e-6 * renewal.lifetime(path, build(path, "hst", 10), tau, 300.0))
    assert np.mean(lifetimes) == pytest.approx(published, rel=0.1)
