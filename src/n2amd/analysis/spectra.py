"""`spectrum.json` and its tables: spectral densities of the gap and of the coupling of two states."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.analysis.documents import without_nan
from n2amd.analysis.influence_spectrum import WEIGHTINGS, influence_spectrum
from n2amd.analysis.spectral_density import (
    FEWEST_BLOCKS,
    LAGS_IN_BLOCK,
    PARZEN_WIDTH,
    SpectralDensity,
    peaks,
    spectral_density,
)
from n2amd.errors import InputError
from n2amd.hopping.path import ClassicalPath
from n2amd.units import LIGHT_CM_FS

#: Lines listed for each quantity.
MOST_PEAKS = 12
#: Width at which the phonons of a solid come apart, cm^-1: the verdict says how long a trajectory that takes.
FINE_RESOLUTION = 20.0


def pair_series(path: ClassicalPath, lower: int, upper: int) -> dict[str, NDArray]:
    """Gap and coupling of two columns.

    Returns
    -------
    dict
        "gap", (F,), eV, and "coupling", hbar d at t + dt/2, (F - 1,), eV, complex off Gamma. Its phase is
        that of parallel transport, so that only a constant phase is left open, which C(t) does not see.

    Raises
    ------
    InputError
        If there are no couplings.
    """
    if path.nac is None:
        raise InputError("there are no couplings", field="nac", remedy="assemble the couplings again")
    return {
        "gap": path.energies[:, upper] - path.energies[:, lower],
        "coupling": path.nac[:, lower, upper],
    }


def column_of_band(path: ClassicalPath, band: int, first: int = 0) -> int:
    """Column of a band number, counted from `first` as the user counts.

    Raises
    ------
    InputError
        If the file does not hold it.
    """
    found = np.flatnonzero(path.band_index == band - first)
    if len(found) != 1:
        known = ", ".join(str(int(b) + first) for b in path.band_index)
        raise InputError(
            f"band {band} is not one of those that the file holds",
            field="--bands",
            remedy=f"choose two of {known}",
        )
    return int(found[0])


def spectrum_report(path: ClassicalPath, lower: int, upper: int, lag_fs: float | None) -> dict[str, Any]:
    """Return the content of `spectrum.json`.

    Parameters
    ----------
    path
        The window with its couplings.
    lower, upper
        Columns of the two states.
    lag_fs
        Largest lag of the autocorrelation; None: `n2amd.analysis.spectral_density.default_lag`.

    Raises
    ------
    InputError
        If there are no couplings, too few frames, or nothing fluctuates.
    """
    timestep = path.timestep_fs
    lag = None if lag_fs is None else round(lag_fs / timestep)
    spectra = {}
    for name, series in pair_series(path, lower, upper).items():
        try:
            # in meV, as couplings are printed
            spectra[name] = spectral_density(1000 * series, timestep, lag)
        except InputError as error:
            problem = f"{name}: {error.problem}"
            raise InputError(problem, field=error.field, remedy=error.remedy) from None
    gap = spectra["gap"]
    return without_nan(
        {
            "bands": [int(path.band_index[lower]), int(path.band_index[upper])],
            "n_frames": len(path.energies),
            "timestep_fs": timestep,
            "window": "Parzen",
            "lag_fs": gap.lag_fs,
            "resolution_cm1": gap.resolution,
            "nyquist_cm1": gap.nyquist,
            "relative_error": gap.relative_error,
            **{name: _quantity(spectrum) for name, spectrum in spectra.items()},
            "verdict": verdict(gap, len(path.energies) * timestep),
        }
    )


def _quantity(spectrum: SpectralDensity) -> dict[str, Any]:
    lines, slow = peaks(spectrum)
    within = spectrum.cumulative() / spectrum.variance
    return {
        "mean_meV": spectrum.mean.real if spectrum.mean.imag == 0 else abs(spectrum.mean),
        "std_meV": float(np.sqrt(spectrum.variance)),
        "variance_meV2": spectrum.variance,
        "wave_number_cm1": spectrum.wave_number,
        "density_meV2_cm": spectrum.density,
        "error_meV2_cm": spectrum.error,
        "error_source": spectrum.error_source,
        "blocks": spectrum.blocks,
        "slow_share": slow,
        "wave_number_of_95_percent_cm1": float(np.interp(0.95, within, spectrum.wave_number)),
        "peaks": [
            {
                "wave_number_cm1": line.wave_number,
                "share": line.share,
                "amplitude_meV": float(np.sqrt(2 * max(line.share, 0.0) * spectrum.variance)),
                "height_meV2_cm": line.height,
                "error_meV2_cm": line.error,
            }
            for line in lines[:MOST_PEAKS]
        ],
    }


def verdict(spectrum: SpectralDensity, length_fs: float) -> str:
    """Say in a sentence what the length of the trajectory lets one see, and how sure the heights are."""
    parts = [
        f"lines are {spectrum.resolution:.0f} cm^-1 wide (lag {spectrum.lag_fs:.0f} fs of "
        f"{length_fs:.0f} fs): closer ones are one",
        f"heights are known to {100 * spectrum.relative_error:.0f} %",
    ]
    if spectrum.resolution > FINE_RESOLUTION:
        needed = PARZEN_WIDTH / (LIGHT_CM_FS * FINE_RESOLUTION)
        parts.append(
            f"{FINE_RESOLUTION:.0f} cm^-1 take a lag of {needed / 1000:.1f} ps and a trajectory of "
            f"{FEWEST_BLOCKS * LAGS_IN_BLOCK * needed / 1000:.0f} ps to know the heights to a quarter"
        )
    return "; ".join(parts) + "."


def csv_of_spectrum(report: dict[str, Any]) -> str:
    """Densities of gap and coupling with their errors on the grid of each, as comma-separated values."""
    head = ["quantity", "wave_number_cm1", "density_meV2_cm", "error_meV2_cm"]
    lines = [",".join(head)]
    for name in ("gap", "coupling"):
        for row in zip(*(report[name][key] for key in head[1:])):
            lines.append(",".join([name, *(f"{x:.8g}" for x in row)]))
    return "\n".join(lines) + "\n"


def csv_of_libra(path: ClassicalPath, lower: int, upper: int) -> str:
    """Libra's influence spectra J and J2 of gap and coupling, by both of its weightings of lags."""
    columns: dict[str, NDArray[np.float64]] = {}
    for name, series in pair_series(path, lower, upper).items():
        for weighting in WEIGHTINGS:
            found = influence_spectrum(series, path.timestep_fs, weighting)
            columns["wave_number_cm1"] = found.wave_number
            columns[f"{name}_J_acf{weighting}"] = found.amplitude
            columns[f"{name}_J2_acf{weighting}"] = found.intensity
    rows = [",".join(f"{x:.8g}" for x in row) for row in zip(*columns.values())]
    return "\n".join([",".join(columns), *rows]) + "\n"
