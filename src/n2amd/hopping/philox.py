"""Counter-based random numbers: Philox4x32-10 (Salmon et al., SC 2011).

A number is a pure function of (seed, sample, trajectory, step), so that results do not depend on how the
work is divided among processes, or in which order it is done.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

MULTIPLIER_0 = np.uint64(0xD2511F53)
MULTIPLIER_1 = np.uint64(0xCD9E8D57)
WEYL_0 = np.uint64(0x9E3779B9)
WEYL_1 = np.uint64(0xBB67AE85)
LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


@njit(cache=True, inline="always")
def philox4x32(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> tuple:
    """Four 32-bit words (held in uint64) of a 128-bit counter and a 64-bit key, ten rounds."""
    for _ in range(10):
        product_0 = MULTIPLIER_0 * c0
        product_1 = MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (
            (product_1 >> HALF) ^ c1 ^ k0,
            product_1 & LOW,
            (product_0 >> HALF) ^ c3 ^ k1,
            product_0 & LOW,
        )
        k0 = (k0 + WEYL_0) & LOW
        k1 = (k1 + WEYL_1) & LOW
    return c0, c1, c2, c3


@njit(cache=True, inline="always")
def uniform(high: Any, low: Any) -> float:
    """A double in [0, 1) of 53 of the 64 bits of two words."""
    return float(((np.uint64(high) << HALF) | np.uint64(low)) >> np.uint64(11)) * 1.1102230246251565e-16


@njit(cache=True, inline="always")
def draw(seed: Any, sample: Any, trajectory: Any, step: Any, purpose: Any) -> tuple:
    """Four words keyed by the seed; sample, trajectory, step and purpose are the counter.

    `step` may use 40 bits and `sample` 24, which together with `trajectory` (32) and `purpose` (32)
    fill the counter.
    """
    seed = np.uint64(seed)
    step = np.uint64(step)
    word = ((step >> HALF) << np.uint64(24)) | np.uint64(sample)
    return philox4x32(
        step & LOW, word & LOW, np.uint64(trajectory), np.uint64(purpose), seed & LOW, (seed >> HALF) & LOW
    )
