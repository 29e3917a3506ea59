"""OpenMX' quadrature on Gaussians, whose transforms and overlaps are known; its tables as part of a basis."""

from __future__ import annotations

import numpy as np
import pytest

from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis, Basis, PaoTable, RadialFunction, Shell
from n2amd.orbitals.openmx_quadrature import bessel_transform, interpolate, wave_numbers
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.units import OPENMX_BOHR_ANGSTROM

EXPONENT = 2.5
#: A mesh like those of .pao files.
MESH = np.exp(np.linspace(-8, 2.06, 500)) * OPENMX_BOHR_ANGSTROM


def gaussian(l: int) -> PaoTable:
    return PaoTable(MESH, MESH**l * np.exp(-EXPONENT * MESH**2), 7.0 * OPENMX_BOHR_ANGSTROM)


def basis_of(*radials: RadialFunction | PaoTable | None) -> Basis:
    return Basis({14: AtomBasis(14, tuple(Shell(0, f"s{n}", r) for n, r in enumerate(radials)), 4.0)})


def test_interpolation_is_exact_for_parabolas_and_zero_outside():
    x = np.array([0.0, 0.1, 0.4, 0.5, 1.1])
    inside, outside = np.linspace(0, 1.1, 23), np.array([-0.1, 1.11])
    assert interpolate(x, 1 - 2 * x + 3 * x**2, inside) == pytest.approx(1 - 2 * inside + 3 * inside**2)
    assert np.array_equal(interpolate(x, x, outside), [0, 0])


@pytest.mark.parametrize("l", [0, 1, 2, 3])
def test_transform_of_a_gaussian(l):
    """int j_l(kr) r^(l+2) exp(-a r^2) dr = sqrt(pi) k^l exp(-k^2/4a) / (2^(l+2) a^(l+3/2))."""
    k, _ = wave_numbers()
    exact = np.sqrt(np.pi) * k**l * np.exp(-(k**2) / (4 * EXPONENT)) / (2 ** (l + 2) * EXPONENT ** (l + 1.5))
    # the code's interpolation is of third order
    assert bessel_transform(gaussian(l), l, k) == pytest.approx(exact, abs=2e-4 * exact.max())


def test_overlap_of_gaussians():
    """<s|s> = (pi/2a)^(3/2) exp(-a d^2 / 2) / 4 pi for the same exponent."""
    table = OverlapTable.from_basis(basis_of(gaussian(0)))
    d = np.linspace(0, 3, 40)
    vectors = np.outer(d, [2, -3, 6]) / 7
    exact = (np.pi / (2 * EXPONENT)) ** 1.5 * np.exp(-EXPONENT * d**2 / 2) / (4 * np.pi)
    assert table.evaluate((14, 14), vectors)[:, 0, 0] == pytest.approx(exact, abs=1e-5)


def test_overlaps_reach_the_sum_of_the_cutoffs_and_end_just_beyond():
    cutoff = gaussian(0).cutoff
    assert 2 * cutoff < OverlapTable.from_basis(basis_of(gaussian(0))).ranges[14, 14] < 2 * cutoff + 0.05


def test_tables_survive_json_bit_for_bit():
    basis = basis_of(gaussian(0), None, RadialFunction(0.1, np.ones(3), 0.2))
    back = Basis.from_json(basis.to_json())
    assert back == basis
    assert back[14].shells[0].radial.radii.tobytes() == MESH.tobytes()
    assert hash(back[14].shells[0].radial) == hash(basis[14].shells[0].radial)
    assert gaussian(0) != gaussian(1)
    assert gaussian(0) != basis[14].shells[2].radial


def test_two_codes_in_a_basis_are_refused():
    mixed = basis_of(gaussian(0), RadialFunction(0.1, np.ones(3), 0.2))
    with pytest.raises(InputError, match="some radial functions are OpenMX tables and others are not"):
        OverlapTable.from_basis(mixed)
