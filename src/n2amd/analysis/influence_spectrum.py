"""The influence spectrum as Libra defines it, for comparison with results of that program.

`libra_py.influence_spectrum.recipe1` of Libra (A. V. Akimov, J. Comput. Chem. 37, 1626 (2016)) takes the
autocorrelation c of the deviations, divided by its value at lag 0, over every lag of the series and without
a window, and returns on an even grid of frequencies w

    J(w) = dt [1 + 2 sum_{h=1}^{N-1} c(h) cos(w h dt)],   J2 = J^2 / 2 pi,

with dt in atomic units of time and w in cm^-1. It is normalised to the line shape (J integrates to 2 pi over
-Nyquist..Nyquist in Hartree), not to the variance; long lags are noise, and J may be negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft, ifft, next_fast_len
from scipy.signal import czt

#: Libra's own units (`libra_py.units`): with CODATA's, phases at long lags differ.
FS_IN_ATOMIC_UNITS = 1 / 0.02419
INVERSE_CM_IN_HARTREE = 4.5563995075520960e-6

#: How lags are weighted: 0 divides by the pairs of a lag, N - h ("chemist", default of recipe1), 1 by all
#: frames N ("statistician", default of compute_mat_elt and what the tutorials use).
Weighting = Literal[0, 1]
WEIGHTINGS: tuple[Weighting, ...] = (0, 1)


@dataclass(frozen=True)
class InfluenceSpectrum:
    """Libra's `W`, `J` and `J2`.

    Attributes
    ----------
    wave_number
        0, step, ... below span, (m,), cm^-1.
    amplitude, intensity
        J and J2, (m,), atomic units of time and its square.
    """

    wave_number: NDArray[np.float64]
    amplitude: NDArray[np.float64]
    intensity: NDArray[np.float64]


def influence_spectrum(
    series: NDArray, timestep: float, weighting: Weighting = 0, span: float = 3000.0, step: float = 1.0
) -> InfluenceSpectrum:
    """Influence spectrum of a series.

    Parameters
    ----------
    series
        (N,); of a complex one the real part is taken: Libra's compute_all takes the imaginary part of
        -i hbar d.
    timestep
        fs.
    weighting
        `acf_type` of Libra.
    span, step
        `wspan` and `dw` of Libra, cm^-1.
    """
    deviation = np.real(series) - np.real(series).mean()
    n = len(deviation)
    length = next_fast_len(2 * n)
    correlation = ifft(np.abs(fft(deviation, length)) ** 2).real[:n]
    if weighting == 0:
        correlation = correlation / (n - np.arange(n))
    dt = timestep * FS_IN_ATOMIC_UNITS
    spacing = step * INVERSE_CM_IN_HARTREE
    points = int(span / step)
    transform = czt(correlation / correlation[0], points, w=np.exp(-1j * spacing * dt))
    amplitude = np.asarray(dt * (2 * transform.real - 1), dtype=np.float64)
    return InfluenceSpectrum(
        step * np.arange(points, dtype=np.float64), amplitude, amplitude**2 / (2 * np.pi)
    )
