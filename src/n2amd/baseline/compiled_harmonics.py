"""Solid harmonics for compiled loops, written out: the same functions as `n2amd.orbitals.harmonics`."""

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np
from numba import njit

#: Highest angular momentum written out here.
MAX_L = 4
#: Multiplications and additions may be fused.
FUSED = {"contract", "nsz"}

_C0 = sqrt(1 / (4 * pi))
_C1 = sqrt(3 / (4 * pi))
_C20, _C21, _C22 = sqrt(5 / (16 * pi)), sqrt(15 / (4 * pi)), sqrt(15 / (16 * pi))
_C30, _C31, _C32, _C33 = (sqrt(x / pi) for x in (7 / 16, 21 / 32, 105 / 16, 35 / 32))
_C40, _C41, _C42, _C43, _C44 = (sqrt(x / pi) for x in (9 / 256, 45 / 32, 45 / 64, 315 / 32, 315 / 256))
#: Factors of the solid harmonics, l^2 + l + m, beyond the polynomials of `n2amd.baseline.harmonic_sums`.
FACTORS = np.concatenate(
    (
        [_C0, _C1, _C1, _C1, 2 * _C22, _C21, _C20, _C21, _C22],
        [_C33, 2 * _C32, _C31, _C30, _C31, _C32, _C33],
        [4 * _C44, _C43, 2 * _C42, _C41, _C40, _C41, _C42, _C43, _C44],
    )
)


@njit(cache=True, fastmath=FUSED, inline="always")
def _second(x, y, z):  # type: ignore[no-untyped-def]
    return (
        2 * _C22 * x * y,
        _C21 * y * z,
        _C20 * (2 * z * z - x * x - y * y),
        _C21 * x * z,
        _C22 * (x * x - y * y),
    )


@njit(cache=True, fastmath=FUSED, inline="always")
def _third(x, y, z):  # type: ignore[no-untyped-def]
    xx, yy, zz = x * x, y * y, z * z
    return (
        _C33 * y * (3 * xx - yy),
        2 * _C32 * x * y * z,
        _C31 * y * (4 * zz - xx - yy),
        _C30 * z * (2 * zz - 3 * xx - 3 * yy),
        _C31 * x * (4 * zz - xx - yy),
        _C32 * z * (xx - yy),
        _C33 * x * (xx - 3 * yy),
    )


@njit(cache=True, fastmath=FUSED, inline="always")
def _fourth(x, y, z):  # type: ignore[no-untyped-def]
    xx, yy, zz = x * x, y * y, z * z
    square = xx + yy + zz
    first, second = 7 * zz - 3 * square, 7 * zz - square
    return (
        4 * _C44 * x * y * (xx - yy),
        _C43 * y * z * (3 * xx - yy),
        2 * _C42 * x * y * second,
        _C41 * y * z * first,
        _C40 * (35 * zz * zz - 30 * zz * square + 3 * square * square),
        _C41 * x * z * first,
        _C42 * (xx - yy) * second,
        _C43 * x * z * (xx - 3 * yy),
        _C44 * (xx * xx - 6 * xx * yy + yy * yy),
    )


@njit(cache=True, fastmath=FUSED)
def solid_rows(l_max: int, x: Any, y: Any, z: Any, n: int, out: Any) -> None:
    """Fill row l^2 + l + m of `out` with r^l Y_lm of the first `n` points, for l <= l_max <= `MAX_L`.

    Loops run over points, so that they become vector instructions.
    """
    for p in range(n):
        out[0, p] = _C0
    if l_max >= 1:
        for p in range(n):
            out[1, p], out[2, p], out[3, p] = _C1 * y[p], _C1 * z[p], _C1 * x[p]
    if l_max >= 2:
        for p in range(n):
            out[4, p], out[5, p], out[6, p], out[7, p], out[8, p] = _second(x[p], y[p], z[p])
    if l_max >= 3:
        for p in range(n):
            a, b, c, d, e, f, g = _third(x[p], y[p], z[p])
            out[9, p], out[10, p], out[11, p], out[12, p] = a, b, c, d
            out[13, p], out[14, p], out[15, p] = e, f, g
    if l_max >= 4:
        for p in range(n):
            a, b, c, d, e, f, g, h, i = _fourth(x[p], y[p], z[p])
            out[16, p], out[17, p], out[18, p], out[19, p] = a, b, c, d
            out[20, p], out[21, p], out[22, p], out[23, p], out[24, p] = e, f, g, h, i


@njit(cache=True, fastmath=FUSED, inline="always")
def solid_point(l_max: int, x: float, y: float, z: float, out: Any) -> None:
    """Fill out[l^2 + l + m] with r^l Y_lm of one point, for l <= l_max <= `MAX_L`."""
    out[0] = _C0
    if l_max >= 1:
        out[1], out[2], out[3] = _C1 * y, _C1 * z, _C1 * x
    if l_max >= 2:
        out[4], out[5], out[6], out[7], out[8] = _second(x, y, z)
    if l_max >= 3:
        out[9], out[10], out[11], out[12], out[13], out[14], out[15] = _third(x, y, z)
    if l_max >= 4:
        a, b, c, d, e, f, g, h, i = _fourth(x, y, z)
        out[16], out[17], out[18], out[19], out[20] = a, b, c, d, e
        out[21], out[22], out[23], out[24] = f, g, h, i
