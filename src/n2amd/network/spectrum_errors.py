"""What errors of H do to the spectrum: band edges, states of the window, density of states, false states."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, fold
from n2amd.blocks.zone_corners import edge_kpoints, is_invariant
from n2amd.states.density_of_states import density_of_states
from n2amd.states.store import DOUBTFUL_RATIO

#: Orbitals beyond which Gamma alone is looked at: the bands of so large a cell are folded onto it.
MANY_ORBITALS = 1500
#: States of the window on each side of the gap, and those beside them that they may mix with.
WINDOW, MARGIN = 2, 2
#: States closer than this mix at the slightest error, across a gap too, eV.
MIXING_EV = 0.1
#: Broadening of the density of states, how far it goes beyond both edges, and its grid, eV.
DOS_WIDTH_EV, DOS_REACH_EV, DOS_STEP_EV = 0.1, 5.0, 0.02
#: Eigenvalues of S below which a direction of the basis is nearly empty.
NEARLY_EMPTY = 1e-3


@dataclass(frozen=True)
class WindowErrors:
    """States next to the gap at Gamma, DFT's against the model's.

    Attributes
    ----------
    bands
        Their numbers, the lowest band of the matrix is 1, (states,).
    dft, model
        Their energies, eV, ascending, (states,).
    weight
        Norm squared of each of DFT's states within the model's states of that side of the gap, margin
        included, (states,): 1 where both span the same space. States within `MIXING_EV` beyond a narrow gap
        count too.
    overlap
        |<DFT|model>|^2 of states of the same rank, (states,); near-degenerate states share it at will.
    angle
        Largest principal angle between DFT's states and the model's with margin, degrees, either side.
    """

    bands: NDArray[np.int64]
    dft: NDArray[np.float64]
    model: NDArray[np.float64]
    weight: NDArray[np.float64]
    overlap: NDArray[np.float64]
    angle: float

    @property
    def energy(self) -> NDArray[np.float64]:
        """Absolute errors of the energies, eV, (states,)."""
        return np.abs(self.model - self.dft)


@dataclass(frozen=True)
class SpectrumErrors:
    """One frame's spectra.

    Attributes
    ----------
    edges_dft, edges_model
        (VBM, CBM) over the k points, eV.
    window
        States next to the gap.
    dos_error
        Integral of |difference| of the densities of states over that of DFT's.
    false_states
        Model's states up to `DOS_REACH_EV` above the gap, at any k point, that are made of nearly empty
        directions.
    false_states_in_gap
        Those below DFT's conduction band minimum.
    nearly_empty_dft, nearly_empty_model
        Energy of the lowest state of the nearly empty space, eV; None where S has no such directions.
    n_kpoints
        How many k points were looked at.
    """

    edges_dft: tuple[float, float]
    edges_model: tuple[float, float]
    window: WindowErrors
    dos_error: float
    false_states: int
    false_states_in_gap: int
    nearly_empty_dft: float | None
    nearly_empty_model: float | None
    n_kpoints: int


@dataclass(frozen=True)
class _Spectra:
    """DFT's and the model's eigenpairs at one k point, and the lowest nearly empty energies."""

    overlap: NDArray
    energies: tuple[NDArray[np.float64], NDArray[np.float64]]
    coefficients: tuple[NDArray, NDArray]
    nearly_empty: tuple[float, float]


def compare_spectra(
    dft: BlockMatrix,
    model: BlockMatrix,
    overlap: BlockMatrix,
    offsets: NDArray[np.int64],
    n_occupied: int,
    cell: NDArray[np.float64],
) -> SpectrumErrors:
    """Diagonalise both Hamiltonians of one frame, with DFT's S for both.

    Parameters
    ----------
    dft, model
        H in one gauge, eV.
    overlap
        DFT's S.
    offsets
        First orbital of each atom and the total, (n_atoms + 1,).
    n_occupied
        Occupied bands.
    cell
        Lattice vectors as rows, (3, 3), Angstrom: they tell where edges may lie.
    """
    kpoints = edge_kpoints(cell)[: None if offsets[-1] <= MANY_ORBITALS else 1]
    at_k = [_spectra(dft, model, overlap, offsets, k) for k in kpoints]
    energies = [np.array([found.energies[which] for found in at_k]) for which in (0, 1)]
    edges = [(float(e[:, n_occupied - 1].max()), float(e[:, n_occupied].min())) for e in energies]
    lowest = [min(found.nearly_empty[which] for found in at_k) for which in (0, 1)]
    n_false, in_gap = _false_states(at_k, edges[0])
    return SpectrumErrors(
        edges_dft=edges[0],
        edges_model=edges[1],
        window=_window(at_k[0], n_occupied),
        dos_error=_dos_error(energies[0], energies[1], edges[0]),
        false_states=n_false,
        false_states_in_gap=in_gap,
        nearly_empty_dft=lowest[0] if np.isfinite(lowest[0]) else None,
        nearly_empty_model=lowest[1] if np.isfinite(lowest[1]) else None,
        n_kpoints=len(kpoints),
    )


def _spectra(
    dft: BlockMatrix, model: BlockMatrix, overlap: BlockMatrix, offsets: NDArray[np.int64], k: NDArray
) -> _Spectra:
    h_dft, h_model, s = (fold(matrix, offsets, k) for matrix in (dft, model, overlap))
    if is_invariant(k):  # there the matrices of a real basis are real
        h_dft, h_model, s = h_dft.real, h_model.real, s.real
    (e_dft, c_dft), (e_model, c_model) = (
        scipy.linalg.eigh(h, s, driver="gvd", check_finite=False) for h in (h_dft, h_model)
    )
    values, vectors = np.linalg.eigh(s)
    empty = values < NEARLY_EMPTY
    lowest = np.inf, np.inf
    if empty.any():
        v = vectors[:, empty] / np.sqrt(np.clip(values[empty], 1e-12, None))
        lowest = _lowest(v, h_dft), _lowest(v, h_model)
    return _Spectra(s, (e_dft, e_model), (c_dft, c_model), lowest)


def _lowest(directions: NDArray, hamiltonian: NDArray) -> float:
    return float(np.linalg.eigvalsh(directions.conj().T @ hamiltonian @ directions)[0])


def _window(found: _Spectra, n_occupied: int) -> WindowErrors:
    n = len(found.overlap)
    # where the gap is narrow, the model's states just beyond it mix in
    levels = found.energies[1]
    vbm, cbm = levels[n_occupied - 1], levels[n_occupied]
    first = min(n_occupied, int(np.searchsorted(levels, cbm - MIXING_EV)))
    last = max(n_occupied, int(np.searchsorted(levels, vbm + MIXING_EV)))
    far, end = max(0, n_occupied - WINDOW - MARGIN), min(n, n_occupied + WINDOW + MARGIN)
    valence = slice(max(0, n_occupied - WINDOW), n_occupied), slice(far, last)
    conduction = slice(n_occupied, min(n, n_occupied + WINDOW)), slice(first, end)
    c_dft, c_model = found.coefficients
    weight, same, angle = [], [], 0.0
    for kept, wide in (valence, conduction):
        inner = c_dft[:, kept].T @ found.overlap @ c_model[:, wide]
        weight.append((inner**2).sum(axis=1))
        own = kept.start - wide.start
        same.append(np.diagonal(inner[:, own:]) ** 2)
        smallest = np.linalg.svd(inner, compute_uv=False)[-1]
        angle = max(angle, float(np.degrees(np.arccos(min(1.0, float(smallest))))))
    seen = slice(valence[0].start, conduction[0].stop)
    dft, model = (energies[seen] for energies in found.energies)
    bands = np.arange(seen.start, seen.stop) + 1
    return WindowErrors(bands, dft, model, np.concatenate(weight), np.concatenate(same), angle)


def _dos_error(dft: NDArray, model: NDArray, edges: tuple[float, float]) -> float:
    grid = np.arange(edges[0] - DOS_REACH_EV, edges[1] + DOS_REACH_EV, DOS_STEP_EV)
    reference, found = (density_of_states(energies, grid, DOS_WIDTH_EV) for energies in (dft, model))
    return float(np.abs(found - reference).sum() / reference.sum())


def _false_states(at_k: Iterable[_Spectra], edges: tuple[float, float]) -> tuple[int, int]:
    """States of the model with coefficients as only nearly empty directions have them."""
    norms: tuple[list[NDArray], list[NDArray]] = ([], [])
    energies: list[NDArray] = []
    for found in at_k:
        for which in (0, 1):
            seen = found.energies[which] < edges[1] + DOS_REACH_EV
            norms[which].append((np.abs(found.coefficients[which][:, seen]) ** 2).sum(axis=0))
        energies.append(found.energies[1][found.energies[1] < edges[1] + DOS_REACH_EV])
    reference, model = (np.concatenate(part) for part in norms)
    limit = max(DOUBTFUL_RATIO * float(np.median(reference)), 2 * float(reference.max()))
    false = model > limit
    return int(false.sum()), int((false & (np.concatenate(energies) < edges[1])).sum())
