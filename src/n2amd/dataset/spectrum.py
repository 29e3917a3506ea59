"""Eigenvalues of S(k) and of (H, S), for unpolarised, collinear and spinor frames."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.blocks.matrix import fold_mesh, fold_spinor
from n2amd.errors import InputError
from n2amd.frames.checks import BY_NAME, EXTRA_BANDS
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import Basis

#: Elements of the dense matrices held at once.
MESH_ELEMENTS = 2**17
#: Electrons that are the noise of their number.
NO_ELECTRON = 1e-3
#: Fractional k points closer than this to half a reciprocal vector give real matrices.
REAL_K = 1e-9


def measure_spectrum(frame: Frame, basis: Basis) -> dict[str, float]:
    """Compare the bands of (H, S) with the code's own; find the extreme eigenvalues of S(k).

    Parameters
    ----------
    frame
        Frame in canonical order. Without reference bands S is measured at Gamma alone.
    basis
        Its basis.

    Returns
    -------
    figures
        `overlap_min_eigenvalue`, `overlap_condition` and, with reference bands, `bands_missing` (bands that
        should be compared and are not listed: many codes solve the lowest only), `eigenvalue_error` (meV),
        `band_ratio` (width of the bands over the reference's), `band_shift` (mean difference, meV) and
        `band_scatter` (largest difference once the shift is removed, meV).

    Raises
    ------
    InputError
        If the reference bands are of another number of spins.
    """
    n_spin, bands = frame.hamiltonian.n_spin, frame.bands
    channels = 2 if n_spin == 2 else 1
    if bands is not None and bands.energies.shape[1] != channels:
        raise InputError(
            f"eigenvalues of {bands.energies.shape[1]} spins, a Hamiltonian of {channels}",
            frame=frame.name,
            field="eigenvalues",
            remedy="keep the files of one run together",
        )
    counts = compared_bands(frame)
    missing = 0
    smallest, condition = np.inf, 0.0
    found: list[NDArray] = []
    expected: list[NDArray] = []
    kpoints = bands.kpoints if bands is not None else np.zeros((1, 3))
    for number, s, hamiltonians in _matrices(frame, basis, kpoints):
        spectrum = scipy.linalg.eigvalsh(s, check_finite=False)
        smallest = min(smallest, float(spectrum[0]))
        condition = max(condition, float(spectrum[-1] / spectrum[0]) if spectrum[0] > 0 else np.inf)
        if bands is None or spectrum[0] < BY_NAME["overlap_min_eigenvalue"].low:
            continue
        metric = np.kron(np.eye(2), s) if n_spin == 4 else s
        for spin, h in enumerate(hamiltonians):
            ours = scipy.linalg.eigvalsh(h, metric, check_finite=False)[: counts[spin]]
            theirs = bands.energies[number, spin, : len(ours)]
            missing = max(missing, len(ours) - len(theirs))
            found.append(ours[: len(theirs)])
            expected.append(theirs)
    figures = {"overlap_min_eigenvalue": smallest, "overlap_condition": condition}
    if not sum(map(len, found)):
        return figures
    figures["bands_missing"] = float(missing)
    return figures | _differences(np.concatenate(found), np.concatenate(expected))


def compared_bands(frame: Frame) -> list[int]:
    """Count the bands to compare for each spin: the occupied ones and `EXTRA_BANDS` more.

    The spins of a magnet hold different numbers of electrons: its own levels are filled from below.
    """
    n_spin, bands, electrons = frame.hamiltonian.n_spin, frame.bands, frame.n_electrons - NO_ELECTRON
    if n_spin != 2 or bands is None:
        return [int(np.ceil(electrons / (1 if n_spin == 4 else 2))) + EXTRA_BANDS]
    energies = bands.energies
    order = np.argsort(energies, axis=None)
    weights = np.broadcast_to(bands.weights[:, None, None] / bands.weights.sum(), energies.shape)
    filled = np.cumsum(weights.ravel()[order])
    highest = energies.ravel()[order][min(int(np.searchsorted(filled, electrons)), energies.size - 1)]
    return [int(n) + EXTRA_BANDS for n in (energies <= highest).sum(axis=2).max(axis=0)]


def levels_on_mesh(frame: Frame, basis: Basis, kpoints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Eigenvalues of (H, S), spinless or collinear, at k points (n_k, 3): (n_k, n_spin, n_orbitals), eV."""
    return np.array(
        [
            [scipy.linalg.eigvalsh(h, s, check_finite=False) for h in hamiltonians]
            for _, s, hamiltonians in _matrices(frame, basis, kpoints)
        ]
    )


def _matrices(
    frame: Frame, basis: Basis, kpoints: NDArray[np.float64]
) -> Iterator[tuple[int, NDArray, list[NDArray]]]:
    """Give S(k) and H(k), one H a spin, at k points; real where they are."""
    offsets = basis.orbital_offsets(frame.structure.numbers)
    n_spin = frame.hamiltonian.n_spin
    real_blocks = not any(np.iscomplexobj(blocks) for blocks in frame.hamiltonian.values.values())
    batch = max(1, MESH_ELEMENTS // int(offsets[-1]) ** 2)
    for start in range(0, len(kpoints), batch):
        part = kpoints[start : start + batch]
        s = fold_mesh(frame.overlap, offsets, part)
        if n_spin == 4:
            h = [fold_spinor(frame.hamiltonian, offsets, part)]
        else:
            h = [fold_mesh(frame.hamiltonian, offsets, part, spin) for spin in range(n_spin)]
        for row, k in enumerate(part):
            real = real_blocks and np.abs(2 * k - np.rint(2 * k)).max() < REAL_K
            at_k = [matrices[row].real if real else matrices[row] for matrices in (s, *h)]
            yield start + row, at_k[0], at_k[1:]


def _differences(found: NDArray[np.float64], expected: NDArray[np.float64]) -> dict[str, float]:
    """Figures of the compared bands, eV in and meV out."""
    difference = 1e3 * (found - expected)
    shift, spread = float(difference.mean()), float(np.std(expected))
    return {
        "eigenvalue_error": float(np.abs(difference).max()),
        "band_ratio": float(np.std(found)) / spread if spread else 1.0,
        "band_shift": shift,
        "band_scatter": float(np.abs(difference - shift).max()),
    }
