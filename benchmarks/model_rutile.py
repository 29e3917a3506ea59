"""A model Hamiltonian of rutile of any size with the spectrum of a real one, at Gamma.

45 orbitals per TiO2 (Ti 3s 2p 2d, O 2s 2p 1d): solid-harmonic Gaussians, orthonormal on each atom. Overlaps
and kinetic energies are analytic; atoms attract through separable projectors, H = T + sum_A |p_A> v <p_A|,
which makes a proper operator: 12 occupied bands per TiO2 and a gap, no spurious levels. Needs numpy, scipy,
torch and numba alone; integrals run on a GPU where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from n2amd.states.solvers.pencil import Pencil

BOHR, HARTREE = 0.529177210903, 27.211386245988
A, C, U = 4.594, 2.959, 0.305
#: Elements further apart than this are zero, Angstrom: the range of H, and of an orbital and a projector.
RANGE, PROJECTOR_RANGE = 7.4, 3.7
TI, O = 0, 1
#: (l, exponent in 1 / bohr^2) of each shell; shells of one l are orthonormalised.
ORBITALS = {
    TI: ((0, 1.6), (0, 0.55), (0, 0.2), (1, 0.9), (1, 0.3), (2, 1.1), (2, 0.4)),
    O: ((0, 0.9), (0, 0.3), (1, 0.9), (1, 0.3), (2, 0.8)),
}
#: (l, exponent, strength in eV) of each projector; those of Ti 3d make the conduction band.
PROJECTORS = {
    TI: ((0, 1.2, -95.0), (1, 0.8, -85.0), (2, 0.8, -65.0)),
    O: ((0, 0.8, -58.0), (1, 0.7, -64.0)),
}
OCCUPIED_PER_ATOM = 4
REPEATS = {48: (2, 2, 2), 216: (3, 3, 4), 576: (4, 4, 6), 1728: (6, 6, 8), 4992: (8, 8, 13)}


@dataclass(frozen=True)
class Geometry:
    """Species (0: Ti, 1: O), positions, (n, 3), and edges of an orthorhombic cell, (3,), Angstrom."""

    species: NDArray[np.int64]
    positions: NDArray[np.float64]
    edges: NDArray[np.float64]


def rutile(n_atoms: int, time_fs: float = 0.0, seed: int = 0) -> Geometry:
    """Rutile with thermal displacements (0.05 A rms, 3 to 24 THz) that are smooth in time."""
    repeat = np.array(REPEATS[n_atoms])
    basis = [(0, 0, 0), (0.5, 0.5, 0.5), (U, U, 0), (1 - U, 1 - U, 0), (0.5 + U, 0.5 - U, 0.5)]
    basis.append((0.5 - U, 0.5 + U, 0.5))
    cells = np.stack(np.meshgrid(*(np.arange(r) for r in repeat), indexing="ij"), -1).reshape(-1, 1, 3)
    edges = np.array([A, A, C])
    positions = ((cells + np.array(basis)) * edges).reshape(-1, 3)
    rng = np.random.default_rng(seed)
    shape = (3, *positions.shape)
    frequency = rng.uniform(0.003, 0.024, shape)
    phase = rng.uniform(0, 2 * np.pi, shape)
    waves = np.cos(2 * np.pi * frequency * time_fs + phase)
    moved = positions + 0.05 * np.sqrt(2 / 3) * waves.sum(axis=0)
    return Geometry(np.tile([TI, TI, O, O, O, O], len(cells)), moved, edges * repeat)


def model_pencil(geometry: Geometry, device: str = "cpu") -> Pencil:
    """H and S at Gamma, in eV and 1, on the pattern of all atoms within `RANGE`."""
    sizes = np.array([sum(2 * s[0] + 1 for s in ORBITALS[z]) for z in (TI, O)])
    offsets = np.concatenate([[0], np.cumsum(sizes[geometry.species])])
    pairs = _pairs(geometry, RANGE)
    start, columns = _block_rows(pairs, len(geometry.species))
    indptr, indices, places = _pattern(start, columns, offsets)
    overlap, hamiltonian = (np.zeros(int(indptr[-1])) for _ in range(2))
    for zi in (TI, O):
        for zj in (TI, O):
            chosen = (geometry.species[pairs.i] == zi) & (geometry.species[pairs.j] == zj)
            s, t = _blocks(_orbitals(zi), _orbitals(zj), pairs.vector[chosen], device)
            _scatter(pairs.i[chosen], pairs.j[chosen], s, start, columns, places, indptr, offsets, overlap)
            _scatter(
                pairs.i[chosen], pairs.j[chosen], t, start, columns, places, indptr, offsets, hamiltonian
            )
    near = _pairs(geometry, PROJECTOR_RANGE)
    near_start, near_columns = _block_rows(near, len(geometry.species))
    amplitudes = _amplitudes(geometry, near, near_start, near_columns, device)
    _attract(near_start, near_columns, amplitudes, start, columns, places, indptr, offsets, hamiltonian)
    return Pencil(indptr, indices, hamiltonian, overlap, offsets)


@dataclass(frozen=True)
class _Pairs:
    i: NDArray[np.int64]
    j: NDArray[np.int64]
    vector: NDArray[np.float64]


def _pairs(geometry: Geometry, reach: float) -> _Pairs:
    """Every directed pair within reach, images and the atom itself included."""
    n = len(geometry.positions)
    spans = [np.arange(-k, k + 1) for k in np.ceil((reach + 1) / geometry.edges).astype(int)]
    shifts = np.stack(np.meshgrid(*spans, indexing="ij"), -1).reshape(-1, 3) * geometry.edges
    tree = cKDTree(geometry.positions)
    images = (geometry.positions + shifts[:, None]).reshape(-1, 3)
    low, high = geometry.positions.min(0) - reach, geometry.positions.max(0) + reach
    kept = np.flatnonzero(((images >= low) & (images <= high)).all(axis=1))
    found = tree.query_ball_point(images[kept], reach)
    counts = np.array([len(f) for f in found])
    i = np.concatenate([np.asarray(f, dtype=np.int64) for f in found])
    image = np.repeat(kept, counts)
    return _Pairs(i, image % n, images[image] - geometry.positions[i])


def _block_rows(pairs: _Pairs, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Neighbouring atoms of each atom, each once: starts, (n + 1,), and columns, ascending."""
    codes = np.unique(pairs.i * n + pairs.j)
    return np.searchsorted(codes, np.arange(n + 1) * n), codes % n


@numba.njit(cache=True)
def _pattern(start, columns, offsets):  # type: ignore[no-untyped-def]
    """CSR rows and columns of orbitals, and where in its row each block of atoms begins."""
    n = len(start) - 1
    places = np.empty(len(columns), np.int64)
    indptr = np.zeros(offsets[-1] + 1, np.int64)
    for i in range(n):
        width = 0
        for k in range(start[i], start[i + 1]):
            places[k] = width
            width += offsets[columns[k] + 1] - offsets[columns[k]]
        for row in range(offsets[i], offsets[i + 1]):
            indptr[row + 1] = indptr[row] + width
    indices = np.empty(indptr[-1], np.int32)
    for i in range(n):
        for row in range(offsets[i], offsets[i + 1]):
            at = indptr[row]
            for k in range(start[i], start[i + 1]):
                for orbital in range(offsets[columns[k]], offsets[columns[k] + 1]):
                    indices[at] = orbital
                    at += 1
    return indptr, indices, places


@numba.njit(cache=True)
def _scatter(i, j, blocks, start, columns, places, indptr, offsets, values):  # type: ignore[no-untyped-def]
    """Add blocks of pairs, images of one pair on each other."""
    for p in range(len(i)):
        row = columns[start[i[p]] : start[i[p] + 1]]
        k = start[i[p]] + np.searchsorted(row, j[p])
        for a in range(blocks.shape[1]):
            at = indptr[offsets[i[p]] + a] + places[k]
            for b in range(blocks.shape[2]):
                values[at + b] += blocks[p, a, b]


@numba.njit(parallel=True, cache=True)
def _attract(near_start, near, amplitudes, start, columns, places, indptr, offsets, values):  # type: ignore[no-untyped-def]
    """Add sum_A |p_A> v <p_A|; amplitudes hold <phi|p> sqrt(-v), padded, (pairs, 19, 9)."""
    for i in numba.prange(len(start) - 1):
        for k in range(near_start[i], near_start[i + 1]):
            atom = near[k]
            for m in range(near_start[atom], near_start[atom + 1]):
                j = near[m]
                # the pair (j, atom) from the list of j
                own = near[near_start[j] : near_start[j + 1]]
                other = near_start[j] + np.searchsorted(own, atom)
                row = columns[start[i] : start[i + 1]]
                target = np.searchsorted(row, j)
                if target == len(row) or row[target] != j:
                    continue
                for a in range(offsets[i + 1] - offsets[i]):
                    at = indptr[offsets[i] + a] + places[start[i] + target]
                    for b in range(offsets[j + 1] - offsets[j]):
                        total = 0.0
                        for q in range(amplitudes.shape[2]):
                            total += amplitudes[k, a, q] * amplitudes[other, b, q]
                        values[at + b] -= total


def _amplitudes(geometry, near, start, columns, device):  # type: ignore[no-untyped-def]
    out = np.zeros((len(columns), 19, 9))
    n = len(geometry.species)
    codes = np.repeat(np.arange(n), np.diff(start)) * n + columns
    for zi in (TI, O):
        for zj in (TI, O):
            chosen = (geometry.species[near.i] == zi) & (geometry.species[near.j] == zj)
            projectors = [(l, exponent) for l, exponent, _ in PROJECTORS[zj]]
            strength = np.concatenate([[np.sqrt(-v)] * (2 * l + 1) for l, _, v in PROJECTORS[zj]])
            overlap, _ = _blocks(
                _orbitals(zi), (projectors, np.eye(len(strength))), near.vector[chosen], device
            )
            blocks = overlap * strength
            place = np.searchsorted(codes, near.i[chosen] * n + near.j[chosen])
            np.add.at(out[:, : blocks.shape[1], : blocks.shape[2]], place, blocks)
    return out


def _orbitals(species: int):  # type: ignore[no-untyped-def]
    """Shells of a species and the matrix that orthonormalises them on one atom."""
    shells = list(ORBITALS[species])
    overlap, _ = _raw_blocks(shells, shells, np.zeros((1, 3)), "cpu")
    return shells, np.linalg.inv(np.linalg.cholesky(overlap[0])).T


def _blocks(bra, ket, vectors, device):  # type: ignore[no-untyped-def]
    """Overlaps and kinetic energies (eV) of two orthonormalised sets, each (n_pairs, n_i, n_j)."""
    raw = _raw_blocks(bra[0], ket[0], vectors, device)
    return tuple(np.einsum("xa,pxy,yb->pab", bra[1], m, ket[1], optimize=True) for m in raw)


def _raw_blocks(bra, ket, vectors, device):  # type: ignore[no-untyped-def]
    r = torch.as_tensor(vectors / BOHR, device=device)
    rows = []
    for la, a in bra:
        rows.append([_integrals(la, a, lb, b, r) for lb, b in ket])
    return tuple(
        torch.cat([torch.cat([pair[which] for pair in row], dim=2) for row in rows], dim=1).cpu().numpy()
        for which in (0, 1)
    )


_POWERS = {
    0: [(0, 0, 0)],
    1: [(0, 1, 0), (0, 0, 1), (1, 0, 0)],
    2: [(1, 1, 0), (0, 1, 1), (0, 0, 2), (1, 0, 1), (2, 0, 0), (0, 2, 0)],
}
_SOLID = {
    0: [[1.0]],
    1: np.eye(3).tolist(),
    2: [
        [1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 1 / 3**0.5, 0, -0.5 / 3**0.5, -0.5 / 3**0.5],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0.5, -0.5],
    ],
}


def _norm(l: int, exponent: float) -> float:
    """Of x^l exp(-a r^2) along different axes, for which all components above have one norm."""
    return (2 * exponent / np.pi) ** 0.75 * (2 * exponent**0.5) ** l


def _integrals(la: int, a: float, lb: int, b: float, r: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """<a|b> and <a|-nabla^2/2|b> (eV) of solid harmonics, b displaced by r (bohr), (n, 2la+1, 2lb+1)."""
    p = a + b
    s = torch.zeros(la + 1, lb + 3, *r.shape, dtype=r.dtype, device=r.device)
    s[0, 0] = (np.pi / p) ** 0.5 * torch.exp(-a * b / p * r**2)
    for i in range(la + 1):
        for j in range(lb + 3):
            if i == j == 0:
                continue
            lower, centre = ((i - 1, j), b / p * r) if i else ((i, j - 1), -a / p * r)
            value = centre * s[lower]
            if lower[0]:
                value = value + lower[0] / (2 * p) * s[lower[0] - 1, lower[1]]
            if lower[1]:
                value = value + lower[1] / (2 * p) * s[lower[0], lower[1] - 1]
            s[i, j] = value
    k = torch.zeros(la + 1, lb + 1, *r.shape, dtype=r.dtype, device=r.device)
    for j in range(lb + 1):
        k[:, j] = b * (2 * j + 1) * s[:, j] - 2 * b**2 * s[:, j + 2]
        if j > 1:
            k[:, j] -= j * (j - 1) / 2 * s[:, j - 2]
    overlaps, kinetic = [], []
    for x, y, z in _POWERS[la]:
        for u, v, w in _POWERS[lb]:
            sx, sy, sz = s[x, u, :, 0], s[y, v, :, 1], s[z, w, :, 2]
            overlaps.append(sx * sy * sz)
            kinetic.append(k[x, u, :, 0] * sy * sz + sx * k[y, v, :, 1] * sz + sx * sy * k[z, w, :, 2])
    ca, cb = (torch.tensor(_SOLID[l], dtype=r.dtype, device=r.device) for l in (la, lb))
    scale = _norm(la, a) * _norm(lb, b)
    shape = (len(_POWERS[la]), len(_POWERS[lb]), len(r))
    return tuple(
        scale * unit * torch.einsum("ax,xyp,by->pab", ca, torch.stack(m).reshape(shape), cb)
        for m, unit in ((overlaps, 1.0), (kinetic, HARTREE))
    )
