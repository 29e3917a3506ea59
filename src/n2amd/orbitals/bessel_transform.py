"""Two-centre overlap functions of radial functions, through spherical Bessel transforms.

With F_a(k) = int j_l(kr) R_a(r) r^2 dr, the overlap of two orbitals at a bond vector d is

    S = sum_LM G(l1 m1, l2 m2, LM) Y_LM(d) s_L(|d|),
    s_L(d) = 8 i^(l1 - l2 - L) int_0^inf k^2 F_a(k) F_b(k) j_L(kd) dk

(O. F. Sankey and D. J. Niklewski, Phys. Rev. B 40, 3979 (1989); J. M. Soler et al., J. Phys. Condens.
Matter 14, 2745 (2002), eq. 22-29).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import factorial2, spherical_jn

from n2amd.errors import InputError
from n2amd.orbitals import openmx_quadrature
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction
from n2amd.units import SIESTA_BOHR_ANGSTROM

#: Spacing of the radial quadrature, Angstrom. It is SIESTA's own, pi / 100 Bohr: for orbitals that reach
#: their cutoff with a slope, quadrature is part of what the code calls S. Exact integrals miss the overlaps
#: of TiO2 by 4e-5, this rule by 5e-8. For smooth orbitals the rule converges exponentially.
QUADRATURE_STEP = math.pi / 100 * SIESTA_BOHR_ANGSTROM
#: Highest wave number of the transforms, 1/Angstrom: the Nyquist limit of the radial grid.
MAX_WAVE_NUMBER = math.pi / QUADRATURE_STEP


@dataclass(frozen=True)
class RadialTransforms:
    """Bessel transforms of a basis' radial functions on the nodes of a quadrature over k.

    They are all that overlaps need to know of the orbitals. A code's own quadrature is reproduced by its own
    nodes, weights and transforms.

    Attributes
    ----------
    k
        Wave numbers (n_k,), 1/Angstrom.
    weights
        Quadrature weights (n_k,): int f(k) dk = sum_n weights[n] f(k[n]).
    values
        F(k) of every shell of each element, (n_shells, n_k), A^(3/2).
    """

    k: NDArray[np.float64]
    weights: NDArray[np.float64]
    values: Mapping[int, NDArray[np.float64]]


def radial_transforms(basis: Basis) -> RadialTransforms:
    """Transform a basis with the quadrature of OpenMX for its tables, else with SIESTA's.

    SIESTA's is exact for smooth orbitals.

    Raises
    ------
    InputError
        If a shell has no radial function, or they come from two codes.
    """
    longest = 2 * max(known_cutoff(basis[z]) for z in basis.numbers)
    if openmx_quadrature.applies(basis):
        return RadialTransforms(*openmx_quadrature.transforms(basis))
    k = wave_numbers(longest)
    values = {
        z: np.array(
            [
                bessel_transform(s.radial, s.l, k)
                for s in basis[z].shells
                if isinstance(s.radial, RadialFunction)
            ]
        )
        for z in basis.numbers
    }
    return RadialTransforms(k, np.full(len(k), k[0]), values)


def known_cutoff(atom: AtomBasis) -> float:
    """Largest orbital radius of an atom, Angstrom.

    Raises
    ------
    InputError
        If a shell has no radial function.
    """
    if (cutoff := atom.cutoff) is None:
        shell = next(s for s in atom.shells if s.radial is None)
        raise InputError(
            f"shell {shell.label!r} of element {atom.number} has no radial function",
            field="basis",
            remedy="give the code's radial functions (.ion.xml, .pao), or fit the overlap to the data set",
        )
    return cutoff


def wave_numbers(longest_range: float) -> NDArray[np.float64]:
    """Uniform wave numbers (n_k,), 1/Angstrom, for overlaps up to `longest_range` (Angstrom).

    The integrand is even and band-limited, since orbitals end at their cutoffs. The trapezoidal rule is then
    exact as soon as its spacing is below pi / longest_range, whatever the distance; k = 0 has no weight.
    """
    n = math.ceil(1.01 * MAX_WAVE_NUMBER * longest_range / math.pi)
    return MAX_WAVE_NUMBER / n * np.arange(1, n + 1, dtype=np.float64)


def interpolate(radial: RadialFunction) -> CubicSpline:
    """Cubic spline of R(r) / r^l: flat at the nucleus (an even function of r), natural at the cutoff."""
    return radial.spline


def bessel_transform(radial: RadialFunction, l: int, k: NDArray[np.float64]) -> NDArray[np.float64]:
    """F(k) = int j_l(kr) R(r) r^2 dr, (n_k,), in A^(3/2), by the trapezoidal rule at `QUADRATURE_STEP`.

    The integrand is even in r and zero from the cutoff on, so the rule needs no end corrections.
    """
    end = min(radial.cutoff, radial.step * (len(radial.values) - 1))
    r = np.arange(0.0, end, QUADRATURE_STEP)
    return spherical_jn(l, k[:, None] * r) @ (QUADRATURE_STEP * interpolate(radial)(r) * r ** (l + 2))


def reduced_bessel(L: int, k: NDArray[np.float64], distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """j_L(k d) / d^L, (n_distances, n_k), with its limit k^L / (2 L + 1)!! at d = 0."""
    result = np.empty((len(distance), len(k)))
    zero = distance == 0
    result[zero] = k**L / factorial2(2 * L + 1)
    d = distance[~zero, None]
    result[~zero] = spherical_jn(L, k * d) / d**L
    return result


def overlap_sign(l1: int, l2: int, L: int) -> int:
    """i^(l1 - l2 - L) for even l1 + l2 + L."""
    return -1 if (l1 - l2 - L) // 2 % 2 else 1
