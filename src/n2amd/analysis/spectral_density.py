"""Spectral density of a fluctuating quantity along a trajectory: which vibrations drive it, and how much.

With C(t) = <dx*(0) dx(t)> the classical autocorrelation of the deviations from the mean and c the speed of
light, the one-sided density over the wave number k (cm^-1) is

    J(k) = S(k) + S(-k),   S(k) = c int C(t) w(t) exp(-2 pi i c k t) dt,   int_0^Nyquist J dk = C(0),

so that the area under a line is the part of the variance it carries: a cosine of amplitude A gives A^2 / 2.
C is the mean over all N frames (lags that leave the series count as zero), w Parzen's lag window (Parzen,
Technometrics 3, 167 (1961)), whose transform is never negative: neither is J. No quantum correction is
applied. Formulas: docs/spectra-and-projections.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft, ifft, next_fast_len
from scipy.signal import find_peaks

from n2amd.errors import InputError
from n2amd.units import LIGHT_CM_FS

#: Full width at half maximum of the transform of Parzen's window, times the largest lag.
PARZEN_WIDTH = 1.2753
#: Degrees of freedom of the estimate, times the largest lag over the length (2 / int w^2, Priestley,
#: Spectral Analysis and Time Series (1981), table 6.2).
PARZEN_FREEDOM = 560 / 151
#: Points of the grid in one width of a line.
POINTS_PER_WIDTH = 8
#: Parts of the series whose scatter is the error are this many lags long (shorter ones share too many pairs
#: of frames), and fewer than that many tell nothing.
LAGS_IN_BLOCK = 2
FEWEST_BLOCKS = 4
#: Longest lag where none is asked for, fs: lines of 43 cm^-1.
LONGEST_LAG_FS = 1000.0
#: Fewest values of which a spectrum is made: the couplings of four frames.
FEWEST_FRAMES = 3


@dataclass(frozen=True)
class SpectralDensity:
    """One-sided spectral density of a series x.

    Attributes
    ----------
    wave_number
        From 0 to the Nyquist limit, evenly spaced, (m,), cm^-1.
    density
        J, (m,), in units of x^2 cm. The trapezoidal rule over the grid gives `variance` exactly.
    error
        Standard error of J, (m,).
    error_source
        "blocks": the scatter of parts of the series, or "chi-square": of a Gaussian process, where the
        series is too short for parts.
    blocks
        Parts of the series; 1 where it was not cut.
    mean, variance
        Of the series; complex mean of a complex one.
    lag_fs
        Largest lag of the autocorrelation.
    resolution
        Width at half maximum of a single line, cm^-1.
    relative_error
        Standard error over J of a Gaussian process, away from both ends of the grid.
    """

    wave_number: NDArray[np.float64]
    density: NDArray[np.float64]
    error: NDArray[np.float64]
    error_source: str
    blocks: int
    mean: complex
    variance: float
    lag_fs: float
    resolution: float
    relative_error: float

    @property
    def nyquist(self) -> float:
        """Largest wave number that the time step resolves, 1 / (2 c dt), cm^-1."""
        return float(self.wave_number[-1])

    def cumulative(self) -> NDArray[np.float64]:
        """Integral of J from 0 to each wave number by the trapezoidal rule, (m,), units of x^2."""
        step = self.wave_number[1]
        return step * np.concatenate([[0.0], np.cumsum(0.5 * (self.density[1:] + self.density[:-1]))])


@dataclass(frozen=True)
class Peak:
    """A line of a spectral density.

    Attributes
    ----------
    wave_number
        Of its top, between grid points by a parabola, cm^-1.
    share
        Part of the variance between the minima on both sides.
    height, error
        J at the top with its standard error.
    """

    wave_number: float
    share: float
    height: float
    error: float


def parzen(u: NDArray[np.float64]) -> NDArray[np.float64]:
    """Parzen's lag window at u = lag / largest lag."""
    u = np.abs(u)
    inner, outer = 1 - 6 * u**2 + 6 * u**3, 2 * np.clip(1 - u, 0, None) ** 3
    return np.where(u <= 0.5, inner, outer)


def default_lag(frames: int, timestep: float) -> int:
    """Largest lag in steps where none is asked for: half of the series, at most `LONGEST_LAG_FS`."""
    return max(2, min(frames // 2, round(LONGEST_LAG_FS / timestep)))


def spectral_density(series: NDArray, timestep: float, lag: int | None = None) -> SpectralDensity:
    """Spectral density of a real or complex series.

    Parameters
    ----------
    series
        (N,), any unit.
    timestep
        fs.
    lag
        Largest lag in steps, 2..N - 1: longer resolves more and knows it worse. Default: `default_lag`.

    Raises
    ------
    InputError
        If the series is too short for it, or does not fluctuate.
    """
    n = len(series)
    lag = _checked_lag(n, timestep, lag)
    mean = series.mean()
    deviation = series - mean
    variance = float(np.mean(np.abs(deviation) ** 2))
    if variance <= 1e-24 * max(1.0, float(np.abs(mean)) ** 2):
        raise InputError(
            "the series does not fluctuate", field="frames", remedy="check that the frames differ"
        )
    blocks = n // (LAGS_IN_BLOCK * lag)
    blocks = blocks if blocks >= FEWEST_BLOCKS else 1
    parts = _densities_of_blocks(deviation, timestep, lag, blocks)
    density = parts.mean(axis=0)
    resolution = PARZEN_WIDTH / (LIGHT_CM_FS * lag * timestep)
    wave_number = np.linspace(0, 1 / (2 * LIGHT_CM_FS * timestep), len(density))
    relative = float(np.sqrt(2 / (PARZEN_FREEDOM * n / lag)))
    if blocks > 1:
        error = parts.std(axis=0, ddof=1) / np.sqrt(blocks)
    else:
        # a real series has its mirror image within the window near both ends
        near_end = np.minimum(wave_number, wave_number[-1] - wave_number) < resolution
        error = density * relative * np.where(near_end, np.sqrt(2), 1.0)
    return SpectralDensity(
        wave_number=wave_number,
        density=density,
        error=error,
        error_source="blocks" if blocks > 1 else "chi-square",
        blocks=blocks,
        mean=complex(mean),
        variance=variance,
        lag_fs=lag * timestep,
        resolution=resolution,
        relative_error=relative,
    )


def _checked_lag(n: int, timestep: float, lag: int | None) -> int:
    """Largest lag in steps for a series of n values."""
    if n < FEWEST_FRAMES:
        raise InputError(
            f"{n} values are too few for a spectrum",
            field="frames",
            remedy="run a longer trajectory, of picoseconds to resolve phonons",
        )
    lag = default_lag(n, timestep) if lag is None else lag
    if not 2 <= lag < n:
        raise InputError(
            f"a largest lag of {lag * timestep:g} fs for a series of {n * timestep:g} fs",
            field="analysis.spectrum_lag_fs",
            remedy=f"choose {2 * timestep:g} to {(n - 1) * timestep:g} fs, or leave it out",
        )
    return lag


def _densities_of_blocks(deviation: NDArray, timestep: float, lag: int, blocks: int) -> NDArray[np.float64]:
    """Densities whose mean is J, (blocks, m): pairs of frames are counted where the earlier one lies."""
    n = len(deviation)
    length = next_fast_len(n + lag)
    whole = fft(deviation, length)
    lags = np.arange(-lag, lag + 1)
    window = parzen(lags / lag)
    # even, so that the Nyquist limit is on the grid, and fine enough for the window's lines
    points = 2 * next_fast_len(int(np.ceil(POINTS_PER_WIDTH * lag / PARZEN_WIDTH / 2)) + 1)
    points = max(points, 2 * next_fast_len(lag + 1))
    scale = LIGHT_CM_FS * timestep * blocks / n
    densities = np.empty((blocks, points // 2 + 1))
    for density, frames in zip(densities, np.array_split(np.arange(n), blocks)):
        own = np.zeros_like(deviation)
        own[frames] = deviation[frames]
        pairs = ifft(np.conj(fft(own, length)) * whole)[lags % length]
        placed = np.zeros(points, dtype=complex)
        placed[lags % points] = window * pairs
        two_sided = scale * fft(placed).real
        density[:] = two_sided[: points // 2 + 1] + two_sided[-np.arange(points // 2 + 1)]
    return densities


def peaks(spectrum: SpectralDensity, least_share: float = 0.01) -> tuple[list[Peak], float]:
    """Lines by falling share of the variance, and the share of what is slower than the first of them.

    A line is a maximum that rises above the higher of its neighbouring valleys by more than its standard
    error; a smaller one belongs to the line beside it. Valley to valley, all lines and the slow part add up
    to one; only those of `least_share` are returned.

    Returns
    -------
    lines, slow_share
        The slow part is what falls from wave number 0 to the first minimum: drift, or vibrations that the
        series is too short to resolve. Without any line it is everything.
    """
    density, grid = spectrum.density, spectrum.wave_number
    tops, properties = find_peaks(density, prominence=0)
    tops = tops[properties["prominences"] > spectrum.error[tops]]
    if not len(tops):
        return [], 1.0
    valleys = [int(a + np.argmin(density[a : b + 1])) for a, b in pairwise(tops)]
    first = int(np.argmin(density[: tops[0] + 1]))
    share = spectrum.cumulative() / spectrum.variance
    borders = np.array([share[first], *share[valleys], share[-1]])
    lines = []
    for top, part in zip(tops, np.diff(borders)):
        before, here, after = density[top - 1 : top + 2]
        curvature = before - 2 * here + after
        shift = 0.5 * (before - after) / curvature if curvature < 0 else 0.0
        position = float(grid[top] + shift * grid[1])
        lines.append(Peak(position, float(part), float(here), float(spectrum.error[top])))
    kept = [line for line in lines if line.share >= least_share]
    return sorted(kept, key=lambda line: -line.share), float(share[first])
