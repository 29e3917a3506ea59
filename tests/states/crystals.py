"""H and S of real crystals: rutile of 48 atoms, supercells of GaAs and of silicon, whose VBM is threefold."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.baseline.zeroth import ZerothHamiltonian
from n2amd.blocks.csr import fold_csr
from n2amd.blocks.matrix import BlockMatrix, PairIndex, with_partners
from n2amd.blocks.pairs import find_pairs
from n2amd.dft.siesta.frame import read_frame
from n2amd.orbitals.basis import Basis
from n2amd.states.solvers.pencil import Pencil

ROOT = Path(__file__).parents[2]


@cache
def rutile(frame: str = "0000", k: tuple[float, float, float] = (0, 0, 0)) -> tuple[Pencil, int]:
    """48 atoms, 720 orbitals: pencil and number of occupied bands."""
    found, basis = read_frame(ROOT / "resources" / "tio2-honpas" / "TiO2_48_mlff300" / f"frame_{frame}")
    numbers = found.structure.numbers
    offsets = basis.orbital_offsets(numbers)
    h, s = fold_csr([found.hamiltonian, found.overlap], offsets, np.array(k))
    return Pencil.from_csr(h, s, offsets), 192


@cache
def gallium_arsenide(repeat: int = 4) -> tuple[Pencil, int]:
    """2 repeat^3 atoms of a crystal at Gamma, with four valence bands a cell."""
    return _supercell("honpas-gaas2-hse06-sz/frame_0001", repeat)


@cache
def perfect_gallium_arsenide(repeat: int = 4) -> tuple[Pencil, int]:
    """H0 of neutral atoms in zincblende: a VBM that is threefold up to the symmetry of the mesh (1.5 meV)."""
    frame, basis = read_frame(ROOT / "tests" / "data" / "honpas-gaas2-hse06-sz" / "frame_0001")
    assert frame.ingredients is not None
    cell = frame.structure.cell
    structure = frame.structure.with_positions(np.array([np.zeros(3), cell.sum(axis=0) / 4]))
    h0 = ZerothHamiltonian.of_neutral_atoms(basis, frame.ingredients)
    pairs = find_pairs(structure, h0.ranges, half=True)
    mesh = frame.ingredients.mesh_of(cell)
    atoms = h0.densities(frame.ingredients.on_mesh(structure), mesh)
    hamiltonian = h0.assemble(structure, mesh, h0.potential_of(mesh, atoms, np.zeros(mesh.shape)), pairs)
    overlap = {
        key: h0.overlap.evaluate(key, index.vectors(structure)).reshape(hamiltonian.values[key].shape)
        for key, index in pairs.items()
    }
    return _repeated_pencil(hamiltonian, BlockMatrix(pairs, overlap), basis, structure.numbers, repeat)


@cache
def silicon(repeat: int = 3) -> tuple[Pencil, int]:
    """2 repeat^3 atoms of the perfect crystal at Gamma: levels are up to twelvefold."""
    return _supercell("honpas-si2/frame_0000", repeat)


def _supercell(name: str, repeat: int) -> tuple[Pencil, int]:
    frame, basis = read_frame(ROOT / "tests" / "data" / name)
    return _repeated_pencil(frame.hamiltonian, frame.overlap, basis, frame.structure.numbers, repeat)


def _repeated_pencil(
    hamiltonian: BlockMatrix, overlap: BlockMatrix, basis: Basis, numbers: NDArray, repeat: int
) -> tuple[Pencil, int]:
    offsets = basis.orbital_offsets(np.tile(numbers, repeat**3))
    h, s = fold_csr([repeated(m, repeat) for m in (hamiltonian, overlap)], offsets)
    return Pencil.from_csr(h, s, offsets), 4 * repeat**3


def repeated(matrix: BlockMatrix, repeat: int) -> BlockMatrix:
    """Matrix of a supercell; atoms of one cell after those of another, every pair listed."""
    directed = with_partners(matrix)
    cells = np.stack(np.meshgrid(*[np.arange(repeat)] * 3, indexing="ij"), -1).reshape(-1, 3)
    n = 1 + max(int(index.i.max()) for index in directed.pairs.values())
    pairs, values = {}, {}
    for key, index in directed.pairs.items():
        target = cells[:, None] + index.shift
        wrap, inside = np.divmod(target, repeat)
        number = (inside[..., 0] * repeat + inside[..., 1]) * repeat + inside[..., 2]
        here = np.arange(len(cells))[:, None]
        pairs[key] = PairIndex(
            (here * n + index.i).ravel(), (number * n + index.j).ravel(), wrap.reshape(-1, 3)
        )
        values[key] = np.tile(directed.values[key], (1, len(cells), 1, 1))
    return BlockMatrix(pairs, values, hermitian=False)


def dense_states(pencil: Pencil, low: int, high: int) -> tuple[NDArray, NDArray, NDArray]:
    """LAPACK's energies and states low <= index < high, and S."""
    h, s = (pencil.csr(m).toarray() for m in (pencil.hamiltonian, pencil.overlap))
    energies, states = scipy.linalg.eigh(h, s, subset_by_index=(low, high - 1))
    return energies, states, s
