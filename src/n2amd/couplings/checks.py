"""What energies, overlaps and couplings of a trajectory must satisfy, whichever file they come from.

The limits lie far outside of what real data hold (`docs/theory-couplings.md`).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.units import HBAR_EV_FS

#: How far singular values of an overlap may exceed one. Orthonormal states overlap with at most norm one
#: (Bessel); the overlap without electron translation is no projection, but was never seen above 1.0015.
LARGEST_EXCESS = {"exact": 1e-3, "electron-translation-free": 1e-2}
#: Anti-Hermitian to this share of the largest coupling of the trajectory.
_ANTI_HERMITIAN = 1e-5
_AGAIN = "run the stage that makes it again"


def check_timestep(timestep_fs: float, file: str | Path) -> float:
    """Return a time between frames (fs) that is positive and finite, else raise `InputError`."""
    if not (math.isfinite(timestep_fs) and timestep_fs > 0):
        raise InputError(
            f"{timestep_fs:g} fs between frames is not positive",
            file=file,
            field="timestep_fs",
            remedy="make the trajectory again, with its time step",
        )
    return timestep_fs


def check_energies(energies: NDArray, file: str | Path) -> None:
    """Raise `InputError` unless energies are (frames, states), real, finite, and at least two of both."""
    if energies.ndim != 2 or min(energies.shape) < 2:
        frames, states = (*energies.shape, 0, 0)[:2]
        raise InputError(
            f"{frames} frames of {states} states",
            file=file,
            field="energies",
            remedy="surface hopping needs at least 2 frames and 2 states",
        )
    _check_finite(energies, "energies", file)
    if np.iscomplexobj(energies):
        raise InputError("complex, where it must be real", file=file, field="energies", remedy=_AGAIN)


def check_bands(band_index: NDArray, states: int, file: str | Path, *, ordered: bool = True) -> None:
    """Raise `InputError` unless there is one band a state, each once, and in order where they must be."""
    if band_index.shape != (states,):
        raise InputError(
            f"{band_index.size} bands of {states} states", file=file, field="band_index", remedy=_AGAIN
        )
    if len(np.unique(band_index)) < states or (ordered and (np.diff(band_index) <= 0).any()):
        raise InputError(
            f"bands {band_index.tolist()} do not {'ascend' if ordered else 'differ'}",
            file=file,
            field="band_index",
            remedy=_AGAIN,
        )


def check_edges(vbm: int, cbm: int, states: int, file: str | Path) -> None:
    """Raise `InputError` unless the band edges are neighbouring columns of the window."""
    if not (0 <= vbm < states and 0 <= cbm < states):
        raise InputError(
            f"band edges are columns {vbm} and {cbm} of {states}",
            file=file,
            field="vbm, cbm",
            remedy="keep at least one valence and one conduction state in the states stage",
        )
    if cbm != vbm + 1:
        raise InputError(
            f"valence edge in column {vbm}, conduction edge in column {cbm}",
            file=file,
            field="vbm, cbm",
            remedy=f"the conduction edge is the column after the valence edge: {_AGAIN}",
        )


def check_overlaps(
    overlap: NDArray, frames: int, states: int, file: str | Path, kind: str = "exact", start: int = 0
) -> None:
    """Raise `InputError` unless there is an overlap of orthonormal states for every interval.

    Parameters
    ----------
    overlap
        <i(t)|j(t+dt)>, (frames - 1, states, states).
    frames, states
        Of the energies.
    file
        Named in errors.
    kind
        `exact` or `electron-translation-free`.
    start
        Number of the first frame.
    """
    _check_intervals(overlap, "overlap", frames, states, file)
    # the square of the largest singular value
    largest = np.sqrt(np.linalg.eigvalsh(overlap.conj().swapaxes(1, 2) @ overlap)[:, -1])
    limit = 1 + LARGEST_EXCESS.get(kind, LARGEST_EXCESS["exact"])
    if largest.max() > limit:
        raise InputError(
            f"a singular value is {largest.max():.6g}, and overlaps of orthonormal states have none above 1",
            file=file,
            frame=start + int(largest.argmax()),
            field="overlap",
            remedy="the states are not normalised, or the numbers are no overlaps: make them again",
        )


def check_couplings(nac: NDArray, timestep_fs: float, frames: int, states: int, file: str | Path) -> None:
    """Raise `InputError` unless there is an anti-Hermitian coupling of possible size for every interval.

    Parameters
    ----------
    nac
        hbar <i|d/dt j>, (frames - 1, states, states), eV.
    timestep_fs, frames, states
        Of the energies.
    file
        Named in errors.
    """
    _check_intervals(nac, "nac", frames, states, file)
    size = np.abs(nac).max(axis=(1, 2))
    _check_anti_hermitian(nac, "nac", 1000.0, "meV", file)
    # two states turn into each other by half a turn in a step at most
    limit = np.pi * HBAR_EV_FS / timestep_fs
    if size.max() > limit:
        raise InputError(
            f"a coupling is {size.max():.3g} eV, which turns states by more than half a turn in the "
            f"{timestep_fs:g} fs between frames ({limit:.3g} eV)",
            file=file,
            frame=int(size.argmax()),
            field="nac",
            remedy="couplings are in eV, the time step in fs: correct the one that is not",
        )


def check_velocity_couplings(couplings: NDArray, file: str | Path, start: int = 0) -> None:
    """Raise `InputError` unless couplings <i|d/dt j> of each frame, (frames, w, w), 1/fs, are anti-Hermitian.

    `start` is the number of the first frame.
    """
    _check_anti_hermitian(couplings, "velocity_couplings", 1.0, "1/fs", file, start)


def _check_anti_hermitian(
    values: NDArray, field: str, factor: float, unit: str, file: str | Path, start: int = 0
) -> None:
    error = np.abs(values + values.conj().swapaxes(1, 2)).max(axis=(1, 2))
    if error.max() > _ANTI_HERMITIAN * np.abs(values).max():
        raise InputError(
            f"not anti-Hermitian (by {factor * error.max():.2g} {unit})",
            file=file,
            frame=start + int(error.argmax()),
            field=field,
            remedy="couplings are <i|d/dt j>, whose adjoint is minus themselves: make them again",
        )


def check_mixing(mixing: NDArray, file: str | Path) -> None:
    """Raise `InputError` unless <i|H|j>, (frames, w, w), eV, are Hermitian and zero on the diagonal."""
    _check_finite(mixing, "window/mixing", file)
    error = np.abs(mixing - mixing.conj().swapaxes(1, 2)).max(axis=(1, 2))
    error = np.maximum(error, np.abs(np.diagonal(mixing, axis1=1, axis2=2)).max(axis=1))
    if error.max() > _ANTI_HERMITIAN * np.abs(mixing).max():
        raise InputError(
            f"not Hermitian with a zero diagonal (by {1000 * error.max():.2g} meV)",
            file=file,
            frame=int(error.argmax()),
            field="window/mixing",
            remedy="run `n2amd couplings assemble` again",
        )


def _check_intervals(matrices: NDArray, field: str, frames: int, states: int, file: str | Path) -> None:
    if matrices.shape != (frames - 1, states, states):
        raise InputError(
            f"has shape {matrices.shape}, where {frames} frames of {states} states have "
            f"{(frames - 1, states, states)}",
            file=file,
            field=field,
            remedy=f"energies, overlaps and couplings are of one run: {_AGAIN}",
        )
    _check_finite(matrices, field, file)


def _check_finite(values: NDArray, field: str, file: str | Path) -> None:
    if not np.isfinite(values).all():
        raise InputError(
            "not a finite number",
            file=file,
            frame=int(np.argwhere(~np.isfinite(values))[0][0]),
            field=field,
            remedy=_AGAIN,
        )
