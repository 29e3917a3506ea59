"""Orbitals whose overlaps have closed forms."""

from __future__ import annotations

from math import factorial, pi, sqrt

import numpy as np

from n2amd.orbitals.basis import RadialFunction, Shell


def gaussian_shell(l: int, exponent: float, *, cutoff: float = 6.0, step: float = 0.01) -> Shell:
    """Normalised r^l exp(-a r^2)."""
    r = np.arange(0.0, cutoff + step / 2, step)
    # int_0^inf r^(2l+2) exp(-2 a r^2) dr
    norm2 = (
        factorial(2 * l + 2) * sqrt(pi) / (2 ** (2 * l + 3) * factorial(l + 1)) / (2 * exponent) ** (l + 1.5)
    )
    return Shell(l, f"{l} {exponent}", RadialFunction(step, np.exp(-exponent * r**2) / sqrt(norm2), cutoff))


def slater_shell(l: int, exponent: float, *, cutoff: float = 9.0, step: float = 0.005) -> Shell:
    """Normalised r^l exp(-z r): 1s, 2p, 3d, .."""
    r = np.arange(0.0, cutoff + step / 2, step)
    norm = (2 * exponent) ** (l + 1.5) / sqrt(factorial(2 * l + 2))
    return Shell(l, f"{l + 1}{'spd'[l]}", RadialFunction(step, norm * np.exp(-exponent * r), cutoff))
