"""Exchange-correlation energy per volume of an electron gas, with and without spin, in torch.

Everything is in Hartree atomic units, in double precision and pointwise; tensors may lie on any device. With
spin, exchange is that of two unpolarised gases, E_x[up, down] = (E_x[2 up] + E_x[2 down]) / 2.

Local: J. P. Perdew, A. Zunger, Phys. Rev. B 23, 5048 (1981), appendix C; J. P. Perdew, Y. Wang, Phys. Rev. B
45, 13244 (1992). Gradient-corrected: J. P. Perdew, K. Burke, M. Ernzerhof, Phys. Rev. Lett. 77, 3865 (1996);
revPBE: Y. Zhang, W. Yang, Phys. Rev. Lett. 80, 890 (1998); PBEsol: J. P. Perdew et al., Phys. Rev. Lett. 100,
136406 (2008).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from n2amd.baseline.functionals import DENSITY_FLOOR, GAMMA, PW92_SHAPES, Functional, GradientCorrection

_THIRD = 1 / 3
_SLATER = -0.75 * (3 / math.pi) ** _THIRD
_KF = (3 * math.pi**2) ** _THIRD
_RS = (3 / (4 * math.pi)) ** _THIRD
#: 1 / (2^(4/3) - 2), of the spin interpolation f(zeta); its second derivative at 0 is 8/9 of it.
_INTERPOLATION = 1 / (2 ** (4 / 3) - 2)


def energy_density(functional: Functional, density: Tensor, sigma: Tensor | None = None) -> Tensor:
    """Exchange-correlation energy per volume of an unpolarised gas.

    Parameters
    ----------
    functional
        From `find_functional`.
    density
        1/Bohr^3, any shape; below `DENSITY_FLOOR` the energy is zero.
    sigma
        Squared gradient of the density, 1/Bohr^8, same shape; a local functional does not read it.

    Returns
    -------
    Hartree / Bohr^3, same shape
    """
    rho = density.clamp(min=DENSITY_FLOOR)
    squared = _squared(sigma, rho)
    energy = _exchange(functional, rho, squared)
    rs = _RS * rho ** (-_THIRD)
    correlation = _pz81(rs, 0) if functional.pw92 is None else _pw92(functional.pw92, rs, 0)
    if functional.gradient is not None:
        correlation = correlation + _gradient_correlation(
            functional.gradient, correlation, rho, squared, None
        )
    return _outside_zero(energy + rho * correlation, density)


def spin_energy_density(functional: Functional, density: Tensor, sigma: Tensor | None = None) -> Tensor:
    """Exchange-correlation energy per volume of a collinearly polarised gas.

    Parameters
    ----------
    functional
        From `find_functional`.
    density
        Of spin up and down, (2, ...), 1/Bohr^3.
    sigma
        Products of their gradients, up up, up down, down down, (3, ...), 1/Bohr^8.

    Returns
    -------
    Hartree / Bohr^3, (...)
    """
    channel = density.clamp(min=DENSITY_FLOOR / 2)
    rho = channel[0] + channel[1]
    if sigma is None:
        sigma = torch.zeros((3, *rho.shape), dtype=density.dtype, device=density.device)
    exchange = [
        _outside_zero(_exchange(functional, 2 * channel[s], _squared(4 * sigma[2 * s], rho)), 2 * density[s])
        for s in (0, 1)
    ]
    # 1 + zeta and 1 - zeta; written so, the smaller one keeps its digits
    plus, minus = 2 * channel[0] / rho, 2 * channel[1] / rho
    correlation = _polarised(functional, _RS * rho ** (-_THIRD), plus, minus)
    if functional.gradient is not None:
        total = _squared(sigma[0] + 2 * sigma[1] + sigma[2], rho)
        phi = 0.5 * (plus ** (2 * _THIRD) + minus ** (2 * _THIRD))
        correlation = correlation + _gradient_correlation(functional.gradient, correlation, rho, total, phi)
    return 0.5 * (exchange[0] + exchange[1]) + _outside_zero(rho * correlation, density[0] + density[1])


def derivatives(
    functional: Functional, density: Tensor, sigma: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """`energy_density` and its derivatives with respect to the density and, if it depends on it, sigma."""
    return _differentiate(energy_density, functional, density, sigma)


def spin_derivatives(
    functional: Functional, density: Tensor, sigma: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """`spin_energy_density` and its derivatives, (2, ...) and, if it depends on sigma, (3, ...)."""
    return _differentiate(spin_energy_density, functional, density, sigma)


def _differentiate(
    energy: Callable[[Functional, Tensor, Tensor | None], Tensor],
    functional: Functional,
    density: Tensor,
    sigma: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    inputs = [density.detach().requires_grad_()]
    if functional.gradient is not None and sigma is not None:
        inputs.append(sigma.detach().requires_grad_())
    with torch.enable_grad():
        value = energy(functional, inputs[0], inputs[1] if len(inputs) > 1 else None)
        slopes = torch.autograd.grad(value.sum(), inputs)
    return value.detach(), slopes[0], slopes[1] if len(slopes) > 1 else None


def _squared(sigma: Tensor | None, rho: Tensor) -> Tensor:
    return torch.zeros_like(rho) if sigma is None else sigma.clamp(min=0)


def _outside_zero(energy: Tensor, density: Tensor) -> Tensor:
    return torch.where(density > DENSITY_FLOOR, energy, torch.zeros_like(energy))


def _exchange(functional: Functional, rho: Tensor, sigma: Tensor) -> Tensor:
    """Energy per volume of an unpolarised gas."""
    root = rho**_THIRD
    uniform = _SLATER * rho * root
    if functional.gradient is None:
        return uniform
    kappa, mu = functional.gradient.kappa, functional.gradient.mu
    s2 = sigma / (4 * (_KF * root * rho) ** 2)
    return uniform * (1 + kappa - kappa / (1 + mu / kappa * s2))


def _pw92(parameter: tuple[float, float, float], rs: Tensor, which: int) -> Tensor:
    """G of Perdew and Wang, eq. 10: energy per electron of gas 0 or 1, or minus the spin stiffness (2)."""
    a, (a1, b1, b2, b3, b4) = parameter[which], PW92_SHAPES[which]
    root = rs.sqrt()
    q = 2 * a * root * (b1 + root * (b2 + root * (b3 + root * b4)))
    return -2 * a * (1 + a1 * rs) * torch.log1p(1 / q)


def _pz81(rs: Tensor, which: int) -> Tensor:
    """Energy per electron of the unpolarised (0) or polarised (1) gas by Perdew and Zunger."""
    g, b1, b2 = ((-0.1423, 1.0529, 0.3334), (-0.0843, 1.3981, 0.2611))[which]
    a, b, c, d = ((0.0311, -0.048, 0.0020, -0.0116), (0.01555, -0.0269, 0.0007, -0.0048))[which]
    log = torch.log(rs)
    return torch.where(rs >= 1, g / (1 + b1 * rs.sqrt() + b2 * rs), a * log + b + c * rs * log + d * rs)


def _polarised(functional: Functional, rs: Tensor, plus: Tensor, minus: Tensor) -> Tensor:
    """Correlation energy per electron of the uniform polarised gas."""
    mixing = _INTERPOLATION * (plus ** (4 / 3) + minus ** (4 / 3) - 2)
    if functional.pw92 is None:
        bottom = _pz81(rs, 0)
        return bottom + mixing * (_pz81(rs, 1) - bottom)
    bottom, top, stiffness = (_pw92(functional.pw92, rs, which) for which in range(3))
    zeta4 = (0.5 * (plus - minus)) ** 4
    curvature = 8 / 9 * _INTERPOLATION
    return bottom + mixing * (zeta4 * (top - bottom) - (1 - zeta4) / curvature * stiffness)


def _gradient_correlation(
    gradient: GradientCorrection, uniform: Tensor, rho: Tensor, sigma: Tensor, phi: Tensor | None
) -> Tensor:
    """H of PBE, eq. 7, per electron; `phi` is None where it is one."""
    ratio = gradient.beta / GAMMA
    phi2, phi3 = (1.0, 1.0) if phi is None else (phi**2, phi**3)
    ks2 = 4 * _KF / math.pi * rho**_THIRD
    t2 = sigma / (4 * phi2 * ks2 * rho**2)
    a = ratio / torch.expm1(-uniform / (GAMMA * phi3))
    x = a * t2
    return GAMMA * phi3 * torch.log1p(ratio * t2 * (1 + x) / (1 + x + x * x))
