"""OpenMX' own interpolation and quadrature of two-centre overlaps, from the tables of its .pao files.

What OpenMX calls S is not the exact integral over a smooth interpolant of the table: its rules differ from
exact integration by up to 4e-5, and only the same rules give its S back (to 1e-13 off site, 1e-9 on site).
With R(r) interpolated on the table's mesh,

    F(k) = int j_l(kr) R(r) r^2 dr              trapezoidal rule, 900 intervals up to cutoff + 0.5 Bohr
    S    : int_0^60 k^2 F_a F_b j_L(kd) dk      trapezoidal rule, 900 intervals, k from 1e-6 to 60 1/Bohr,

where F is tabulated on 900 nodes from k = 0 and interpolated like R. These are the defaults of the input
(1DFFT.EnergyCutoff 3600 Ry, 1DFFT.NumGridK 900, 1DFFT.NumGridR 900); T. Ozaki and H. Kino, Phys. Rev. B 69,
195113 (2004) describe the orbitals.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline
from scipy.special import spherical_jn

from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis, PaoTable
from n2amd.units import OPENMX_BOHR_ANGSTROM

#: Intervals of the radial rule and of the rule in k, and nodes of the table of F(k).
INTERVALS = 900
#: How far beyond the cutoff the radial rule reaches, Angstrom.
MARGIN = 0.5 * OPENMX_BOHR_ANGSTROM
#: Ends of the integral over k, 1/Angstrom. The first is not zero, so that the nodes of the integral miss
#: those of F(k) by up to 1e-6 and the interpolated slopes count: without it S is off by up to 1e-6.
WAVE_NUMBER_RANGE = 1e-6 / OPENMX_BOHR_ANGSTROM, 60.0 / OPENMX_BOHR_ANGSTROM


def applies(basis: Basis) -> bool:
    """Tell whether the radial functions of a basis are OpenMX' tables.

    Raises
    ------
    InputError
        If some are and others are not.
    """
    forms = {isinstance(shell.radial, PaoTable) for z in basis.numbers for shell in basis[z].shells}
    if len(forms) > 1:
        raise InputError(
            "some radial functions are OpenMX tables and others are not: no quadrature fits both",
            field="basis",
            remedy="take the whole basis from one code",
        )
    return forms == {True}


def transforms(
    basis: Basis,
) -> tuple[NDArray[np.float64], NDArray[np.float64], dict[int, NDArray[np.float64]]]:
    """Transform a basis of .pao tables.

    Returns
    -------
    k, weights
        Nodes and weights of the integral over k, see `wave_numbers`.
    values
        F(k) of every shell of each element, (n_shells, n_k), A^(3/2).
    """
    k, weights = wave_numbers()
    values = {
        z: np.array(
            [bessel_transform(s.radial, s.l, k) for s in basis[z].shells if isinstance(s.radial, PaoTable)]
        )
        for z in basis.numbers
    }
    return k, weights, values


def wave_numbers() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wave numbers (n_k,), 1/Angstrom, and weights (n_k,) of the integral over k, k^2 not included."""
    k = np.linspace(*WAVE_NUMBER_RANGE, INTERVALS + 1)
    return k, _trapezoid(k)


def interpolate(
    nodes: NDArray[np.float64], values: NDArray[np.float64], points: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cubic Hermite interpolation with the slope of the parabola through each three nodes; 0 outside them."""
    slopes = np.gradient(values, nodes, edge_order=2)
    inside = CubicHermiteSpline(nodes, values, slopes, extrapolate=False)(points)
    return np.nan_to_num(inside, nan=0.0)


def bessel_transform(radial: PaoTable, l: int, k: NDArray[np.float64]) -> NDArray[np.float64]:
    """F(k) = int j_l(kr) R(r) r^2 dr, (n_k,), in A^(3/2), with OpenMX' rule and table."""
    r = np.linspace(radial.radii[0], radial.cutoff + MARGIN, INTERVALS + 1)
    integrand = _trapezoid(r) * r**2 * interpolate(radial.radii, radial.values, r)
    nodes = WAVE_NUMBER_RANGE[1] / INTERVALS * np.arange(INTERVALS, dtype=np.float64)
    return interpolate(nodes, spherical_jn(l, nodes[:, None] * r) @ integrand, k)


def _trapezoid(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the trapezoidal rule on a uniform grid."""
    weights = np.full(len(points), points[1] - points[0])
    weights[[0, -1]] /= 2
    return weights
