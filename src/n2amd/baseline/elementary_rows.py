"""Logarithm and exponential of rows of numbers by polynomials, for compiled loops.

The mathematical library is called number by number; these loops become vector instructions. Errors are a few
units of the last place, relative.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numba import njit

#: Multiplications and additions may be fused.
FUSED = {"contract", "nsz"}
#: Bits of sqrt(1/2): mantissas are taken between it and its double.
_ROOT_HALF: Final = int(np.float64(math.sqrt(0.5)).view(np.int64))
#: log 2 in two parts, the first with zeros at the end: its multiples are exact.
_LN2_HIGH: Final = float((np.float64(math.log(2)).view(np.int64) & ~np.int64(0xFFFFFFF)).view(np.float64))
_LN2_LOW: Final = 2.3190468138462996e-17 + (0.6931471805599453 - _LN2_HIGH)
_LOG2_E: Final = 1 / math.log(2)


@njit(cache=True, fastmath=FUSED, inline="always")
def _twice_atanh(s):  # type: ignore[no-untyped-def]
    """Logarithm of (1 + s) / (1 - s) for |s| < 0.172."""
    z = s * s
    tail = 1 / 15 + z * (1 / 17 + z * (1 / 19 + z * (1 / 21 + z / 23)))
    tail = 1 / 3 + z * (1 / 5 + z * (1 / 7 + z * (1 / 9 + z * (1 / 11 + z * (1 / 13 + z * tail)))))
    return 2 * (s + s * z * tail)


@njit(cache=True, fastmath=FUSED)
def log_row(x, scratch, out):  # type: ignore[no-untyped-def]
    """Fill `out` with the logarithms of `x`, positive and not denormal; `scratch` is as long."""
    bits, mantissa = x.view(np.int64), scratch.view(np.int64)
    for p in range(len(x)):
        exponent = (bits[p] - _ROOT_HALF) >> 52
        mantissa[p] = bits[p] - (exponent << 52)
        out[p] = exponent
    for p in range(len(x)):
        log = _twice_atanh((scratch[p] - 1) / (scratch[p] + 1))
        out[p] = out[p] * _LN2_HIGH + (log + out[p] * _LN2_LOW)


@njit(cache=True, fastmath=FUSED)
def log1p_row(x, shifted, scratch, out):  # type: ignore[no-untyped-def]
    """Fill `out` with log(1 + x) of `x` >= 0, also of tiny ones; the other two are as long."""
    for p in range(len(x)):
        shifted[p] = 1 + x[p]
    log_row(shifted, scratch, out)
    for p in range(len(x)):
        # what rounding has taken from 1 + x
        out[p] += (x[p] - (shifted[p] - 1)) / shifted[p]


@njit(cache=True, fastmath=FUSED)
def expm1_row(x, power, out):  # type: ignore[no-untyped-def]
    """Fill `out` with exp(x) - 1 for |x| < 700; `power` is as long."""
    bits = power.view(np.int64)
    for p in range(len(x)):
        k = np.floor(x[p] * _LOG2_E + 0.5)
        r = (x[p] - k * _LN2_HIGH) - k * _LN2_LOW
        tail = 1 / 5040 + r * (1 / 40320 + r * (1 / 362880 + r * (1 / 3628800 + r * (1 / 39916800))))
        tail = tail + r * r * r * r * r * (1 / 479001600 + r * (1 / 6227020800))
        tail = 1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r * tail))))
        out[p] = r + r * r * tail
        bits[p] = (np.int64(k) + 1023) << 52
    for p in range(len(x)):
        out[p] = power[p] * out[p] + (power[p] - 1)
