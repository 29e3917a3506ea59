"""Two-centre overlap functions of radial functions, through spherical Bessel transforms.

With F_a(k) = int j_l(kr) R_a(r) r^2 dr, the overlap of two orbitals at a bond vector d is

    S = sum_LM G(l1 m1, l2 m2, LM) Y_LM(d) s_L(|d|),
    s_L(d) = 8 i^(l1 - l2 - L) int_0^inf k^2 F_a(k) F_b(k) j_L(kd) dk

(O. F. Sankey and D. J. Niklewski, Phys. Rev. B 40, 3979 (1989); J. M. Soler et al., J. Phys. Condens.
Matter 14, 2745 (2002), eq. 22-29).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import factorial2, spherical_jn

from n2amd.orbitals.basis import RadialFunction
from n2amd.units import SIESTA_BOHR_ANGSTROM

#: Spacing of the radial quadrature, Angstrom. It is SIESTA's own, pi / 100 Bohr: for orbitals that reach
#: their cutoff with a slope, quadrature is part of what the code calls S. Exact integrals miss the overlaps
#: of TiO2 by 4e-5, this rule by 5e-8. For smooth orbitals the rule converges exponentially.
QUADRATURE_STEP = math.pi / 100 * SIESTA_BOHR_ANGSTROM
#: Highest wave number of the transforms, 1/Angstrom: the Nyquist limit of the radial grid.
MAX_WAVE_NUMBER = math.pi / QUADRATURE_STEP


def wave_numbers(longest_range: float) -> NDArray[np.float64]:
    """Uniform wave numbers (n_k,), 1/Angstrom, for overlaps up to `longest_range` (Angstrom).

    The integrand is even and band-limited, since orbitals end at their cutoffs. The trapezoidal rule is then
    exact as soon as its spacing is below pi / longest_range, whatever the distance; k = 0 has no weight.
    """
    n = math.ceil(1.01 * MAX_WAVE_NUMBER * longest_range / math.pi)
    return MAX_WAVE_NUMBER / n * np.arange(1, n + 1, dtype=np.float64)


def interpolate(radial: RadialFunction) -> CubicSpline:
    """Cubic spline of R(r) / r^l: flat at the nucleus (an even function of r), natural at the cutoff."""
    grid = radial.step * np.arange(len(radial.values))
    return CubicSpline(grid, radial.values, bc_type=((1, 0.0), (2, 0.0)))


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
