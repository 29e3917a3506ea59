"""Density of vibrational states: of a trajectory's velocities, and of normal modes for comparison.

Of a classical trajectory in equilibrium every normal mode has the mean kinetic energy kT / 2, so that the
mass-weighted spectral density of the velocities, scaled to the number of modes, is the density of states
(J. M. Dickey and A. Paskin, Phys. Rev. 188, 1407 (1969)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.analysis.spectral_density import spectral_density
from n2amd.errors import InputError

#: Full width at half maximum of a Gaussian over its standard deviation.
GAUSSIAN_WIDTH = 2.0 * np.sqrt(2.0 * np.log(2.0))


def vibrational_density(
    velocities: NDArray[np.float64], masses: NDArray[np.float64], timestep_fs: float, lag: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Density of vibrational states of a trajectory.

    Parameters
    ----------
    velocities
        (frames, n_atoms, 3), A/fs.
    masses
        (n_atoms,), amu.
    timestep_fs
        Time between frames.
    lag
        Largest lag of the autocorrelation in steps; default: that of `spectral_density`.

    Returns
    -------
    wave_number, density, resolution
        cm^-1; modes per cm^-1, whose integral is 3 n_atoms - 3; width at half maximum of a line, cm^-1.

    Raises
    ------
    InputError
        If the trajectory is too short, or an atom does not move.
    """
    if velocities.ndim != 3 or velocities.shape[1:] != (len(masses), 3):
        raise InputError(
            f"velocities of shape {velocities.shape} for {len(masses)} atoms",
            field="velocities",
            remedy="pass (frames, n_atoms, 3)",
        )
    drift = np.einsum("fad,a->fd", velocities, masses) / masses.sum()
    weighted = (velocities - drift[:, None]) * np.sqrt(masses)[:, None]
    spectra = [
        spectral_density(series, timestep_fs, lag) for series in weighted.reshape(len(velocities), -1).T
    ]
    grid = spectra[0].wave_number
    total = np.sum([spectrum.density for spectrum in spectra], axis=0)
    scale = (3 * len(masses) - 3) / np.trapezoid(total, grid)
    return grid, scale * total, spectra[0].resolution


def density_of_modes(
    modes: NDArray[np.float64], grid: NDArray[np.float64], width: float
) -> NDArray[np.float64]:
    """Lines of Gaussian shape at the wave numbers of modes.

    Parameters
    ----------
    modes, grid
        cm^-1.
    width
        Full width at half maximum, cm^-1.

    Returns
    -------
    NDArray
        Modes per cm^-1 at the grid's points.
    """
    sigma = width / GAUSSIAN_WIDTH
    lines = np.exp(-0.5 * ((grid[:, None] - modes[None]) / sigma) ** 2)
    return lines.sum(axis=1) / (sigma * np.sqrt(2.0 * np.pi))


def overlap_of_densities(
    first: NDArray[np.float64], second: NDArray[np.float64], grid: NDArray[np.float64]
) -> float:
    """Common area of two densities on one grid, each scaled to area 1: 1 where they are alike."""
    areas = [density / np.trapezoid(density, grid) for density in (first, second)]
    return float(np.trapezoid(np.minimum(*areas), grid))
