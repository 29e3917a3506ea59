"""PBE and its relatives at the points of a row: `exchange_correlation_kernel.point` for vectors."""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from n2amd.baseline.elementary_rows import FUSED, expm1_row, log1p_row, log_row
from n2amd.baseline.exchange_correlation_kernel import (
    _A1,
    _B1,
    _B2,
    _B3,
    _B4,
    _KF,
    _RS,
    _SLATER,
    _THIRD,
)
from n2amd.baseline.functionals import DENSITY_FLOOR, GAMMA

#: Rows of memory that `pbe_row` needs.
ROWS: Final = 8


@njit(cache=True, fastmath=FUSED, error_model="numpy")
def _uniform(a, density, volume, work):  # type: ignore[no-untyped-def]
    """Fill density, its cube root, correlation energy per electron and its derivative with respect to rs."""
    rho, root, energy, slope = work[0], work[1], work[2], work[3]
    one, two, three = work[4], work[5], work[6]
    n = len(density)
    for k in range(n):
        rho[k] = max(density[k] * volume, DENSITY_FLOOR)
    log_row(rho, one, two)
    for k in range(n):
        two[k] *= _THIRD
    expm1_row(two, one, root)
    for k in range(n):
        root[k] += 1.0
        rs = _RS / root[k]
        s = np.sqrt(rs)
        one[k] = 1 / (2 * a * s * (_B1 + s * (_B2 + s * (_B3 + s * _B4))))
        slope[k] = a * (_B1 / s + 2 * _B2 + s * (3 * _B3 + s * 4 * _B4))
    log1p_row(one, two, three, energy)
    for k in range(n):
        rs, log, inverse = _RS / root[k], energy[k], one[k]
        front = -2 * a * (1 + _A1 * rs)
        energy[k] = front * log
        # 1 / (q (q + 1)) with q = 1 / inverse
        slope[k] = -2 * a * _A1 * log - front * slope[k] * inverse * inverse / (1 + inverse)


@njit(cache=True, fastmath=FUSED, error_model="numpy")
def pbe_row(given, volume, density, sigma, work, potential, by_sigma):  # type: ignore[no-untyped-def]
    """Add the derivative with respect to the density of a row, fill that with respect to sigma.

    Parameters
    ----------
    given
        From `exchange_correlation_kernel.parameters`, of Perdew and Wang's correlation, with a gradient.
    volume
        Times the density it is in atomic units.
    density, sigma
        (n,); sigma in atomic units.
    work
        Memory, (`ROWS`, n).
    potential, by_sigma
        (n,), in atomic units.

    Returns
    -------
    Sum of the energies per volume.
    """
    a, kappa, mu, beta = given
    _uniform(a, density, volume, work)
    rho, root, uniform, slope = work[0], work[1], work[2], work[3]
    growth, p_of, log, scratch = work[4], work[5], work[6], work[7]
    n = len(density)
    for k in range(n):
        p_of[k] = -uniform[k] / GAMMA
    expm1_row(p_of, scratch, growth)
    ratio = beta / GAMMA
    for k in range(n):
        t2 = np.pi / (16 * rho[k] * rho[k] * _KF * root[k]) * sigma[k]
        x = ratio / growth[k] * t2
        p_of[k] = ratio * t2 * (1 + x) / (1 + x + x * x)
    # `by_sigma` is free until the last loop
    log1p_row(p_of, by_sigma, scratch, log)
    for k in range(n):
        u, rs = growth[k], _RS / root[k]
        kf = _KF * root[k]
        inverse = 1 / (4 * rho[k] * rho[k])
        to_s2, to_t2 = inverse / (kf * kf), inverse * np.pi / (4 * kf)
        below = 1 / (1 + mu / kappa * to_s2 * sigma[k])
        factor, factor_slope = 1 + kappa - kappa * below, mu * below * below
        t2 = to_t2 * sigma[k]
        a_of = ratio / u
        x = a_of * t2
        q = 1 / (1 + x + x * x)
        front = GAMMA / (1 + p_of[k]) * ratio * q * q
        h, h_t2 = GAMMA * log[k], front * (1 + 2 * x)
        h_uniform = -front * t2 * t2 * x * (2 + x) * a_of * (u + 1) / (u * GAMMA)
        exchange = _SLATER * rho[k] * root[k]
        inside = 1.0 if density[k] * volume > DENSITY_FLOOR else 0.0
        potential[k] += inside * (
            4 * _THIRD * exchange / rho[k] * (factor - 2 * to_s2 * sigma[k] * factor_slope)
            + (uniform[k] + h - _THIRD * rs * slope[k] * (1 + h_uniform) - 7 * _THIRD * t2 * h_t2)
        )
        by_sigma[k] = inside * (exchange * factor_slope * to_s2 + rho[k] * h_t2 * to_t2)
        log[k] = inside * (exchange * factor + rho[k] * (uniform[k] + h))
    energy = 0.0
    for k in range(n):
        energy += log[k]
    return energy
