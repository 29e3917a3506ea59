"""Energy per volume of the unpolarised gas and its analytic derivatives at one point, compiled.

The same functionals as in `exchange_correlation`, which holds the references; with these a processor needs
less than half of the time.
"""

from __future__ import annotations

import math
from typing import Final

from numba import njit

from n2amd.baseline.functionals import DENSITY_FLOOR, GAMMA, PW92_SHAPES, Functional

_THIRD: Final = 1 / 3
_SLATER: Final = -0.75 * (3 / math.pi) ** _THIRD
_KF: Final = (3 * math.pi**2) ** _THIRD
_RS: Final = (3 / (4 * math.pi)) ** _THIRD
_A1, _B1, _B2, _B3, _B4 = PW92_SHAPES[0]

#: A of Perdew and Wang or 0 for Perdew and Zunger, kappa, mu, beta; kappa is 0 for a local functional.
Parameters = tuple[float, float, float, float]


def parameters(functional: Functional) -> Parameters:
    """Return what `point` wants to know of a functional."""
    a = functional.pw92[0] if functional.pw92 is not None else 0.0
    gradient = functional.gradient
    return (a, gradient.kappa, gradient.mu, gradient.beta) if gradient is not None else (a, 0.0, 0.0, 0.0)


@njit(cache=True, error_model="numpy")
def _pw92(a, rs):  # type: ignore[no-untyped-def]
    """Correlation energy per electron and its derivative with respect to rs."""
    root = math.sqrt(rs)
    q = 2 * a * root * (_B1 + root * (_B2 + root * (_B3 + root * _B4)))
    slope = a * (_B1 / root + 2 * _B2 + root * (3 * _B3 + root * 4 * _B4))
    log = math.log1p(1 / q)
    front = -2 * a * (1 + _A1 * rs)
    return front * log, -2 * a * _A1 * log - front * slope / (q * (q + 1))


@njit(cache=True, error_model="numpy")
def _pz81(rs):  # type: ignore[no-untyped-def]
    """Correlation energy per electron and its derivative with respect to rs."""
    if rs >= 1:
        root = math.sqrt(rs)
        below = 1 / (1 + 1.0529 * root + 0.3334 * rs)
        energy = -0.1423 * below
        return energy, -energy * below * (0.5 * 1.0529 / root + 0.3334)
    log = math.log(rs)
    return (
        0.0311 * log - 0.048 + 0.0020 * rs * log - 0.0116 * rs,
        0.0311 / rs + 0.0020 * (log + 1) - 0.0116,
    )


@njit(cache=True, error_model="numpy")
def _correlation_correction(beta, uniform, t2):  # type: ignore[no-untyped-def]
    """H of PBE per electron, its derivatives with respect to the uniform gas' energy and to t^2."""
    ratio = beta / GAMMA
    u = math.expm1(-uniform / GAMMA)
    a = ratio / u
    x = a * t2
    below = 1 / (1 + x + x * x)
    p = ratio * t2 * (1 + x) * below
    front = GAMMA / (1 + p) * ratio * below * below
    by_a = -front * t2 * t2 * x * (2 + x)
    return (
        GAMMA * math.log1p(p),
        by_a * a * (u + 1) / (u * GAMMA),
        front * (1 + 2 * x),
    )


@njit(cache=True, error_model="numpy")
def point(given, rho, sigma):  # type: ignore[no-untyped-def]
    """Energy per volume and its derivatives with respect to density and sigma, atomic units.

    Parameters
    ----------
    given
        From `parameters`.
    rho, sigma
        Density and its squared gradient.
    """
    if not rho > DENSITY_FLOOR:
        return 0.0, 0.0, 0.0
    a, kappa, mu, beta = given
    root = rho**_THIRD
    exchange = _SLATER * rho * root
    rs = _RS / root
    if a > 0:
        uniform, slope = _pw92(a, rs)
    else:
        uniform, slope = _pz81(rs)
    by_density = -_THIRD * rs * slope
    if kappa == 0:
        return exchange + rho * uniform, 4 * _THIRD * exchange / rho + uniform + by_density, 0.0
    kf = _KF * root
    inverse = 1 / (4 * rho * rho)
    to_s2 = inverse / (kf * kf)
    below = 1 / (1 + mu / kappa * to_s2 * sigma)
    factor = 1 + kappa - kappa * below
    factor_slope = mu * below * below
    to_t2 = inverse * math.pi / (4 * kf)
    t2 = to_t2 * sigma
    h, h_uniform, h_t2 = _correlation_correction(beta, uniform, t2)
    return (
        exchange * factor + rho * (uniform + h),
        4 * _THIRD * exchange / rho * (factor - 2 * to_s2 * sigma * factor_slope)
        + (uniform + h + by_density * (1 + h_uniform) - 7 * _THIRD * t2 * h_t2),
        exchange * factor_slope * to_s2 + rho * h_t2 * to_t2,
    )
