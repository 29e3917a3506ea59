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


def slater_shell(exponent: float, *, cutoff: float = 24.0, step: float = 0.005) -> Shell:
    """Normalised 1s function exp(-z r)."""
    r = np.arange(0.0, cutoff + step / 2, step)
    return Shell(0, "1s", RadialFunction(step, 2 * exponent**1.5 * np.exp(-exponent * r), cutoff))
