"""DeepH folders out: one folder a frame, in the present layout or the legacy one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, with_partners
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.conventions import from_canonical
from n2amd.storage import make_folder

#: Highest l that DeepH's legacy folders, in OpenMX' orbital order, can have.
LEGACY_MAX_L = 3


def write_deeph(folder: str | Path, frames: Iterable[Frame], basis: Basis, *, legacy: bool = False) -> int:
    """Write frames as DeepH folders folder/000000, folder/000001, ...

    Energies in eV, lengths in Angstrom. A collinear Hamiltonian becomes a spinful one without spin-flip
    blocks, which is the only form that DeepH has for it. `occupation` in info.json, the valence electrons of
    both spins, is what DeepH-pack and DeepH-dock find the Fermi level by. Energy, forces and bands have no
    place in such a folder.

    Parameters
    ----------
    folder
        Folder of the frames' folders; made where it does not exist.
    frames
        Frames in canonical orbital order.
    basis
        Their basis.
    legacy
        Write the layout of DeepH-pack and DeepH-E3 (lat.dat, hamiltonians.h5, OpenMX' orbital order).

    Returns
    -------
    count
        Number of frames written.

    Raises
    ------
    InputError
        If a frame's folder exists already, or a legacy folder cannot hold the basis.
    """
    _check_layout(basis, legacy)
    count = 0
    for count, frame in enumerate(frames, 1):
        write_deeph_frame(Path(folder) / f"{count - 1:06d}", frame, basis, legacy=legacy)
    return count


def write_deeph_frame(folder: str | Path, frame: Frame, basis: Basis, *, legacy: bool = False) -> None:
    """Write one frame as a DeepH folder, which appears under its name when it is whole.

    Parameters as for `write_deeph`, but that the folder is the frame's own.

    Raises
    ------
    InputError
        If the folder exists already or cannot be made, or a legacy folder cannot hold the basis.
    """
    _check_layout(basis, legacy)
    target = Path(folder)
    if target.exists():
        raise InputError("the folder exists already", file=target, remedy="write into an empty folder")
    part = target.with_name(target.name + ".part")
    make_folder(part)
    (_write_legacy if legacy else _write_present)(part, frame, basis)
    os.replace(part, target)


def _check_layout(basis: Basis, legacy: bool) -> None:
    high = max((shell.l for atom in basis.atoms.values() for shell in atom.shells), default=0)
    if legacy and high > LEGACY_MAX_L:
        raise InputError(
            f"legacy DeepH folders have no order for shells of l = {high}",
            field="legacy",
            remedy=f"write the present layout (l up to {LEGACY_MAX_L} in the legacy one)",
        )


def _write_present(folder: Path, frame: Frame, basis: Basis) -> None:
    from ase.data import chemical_symbols

    structure = frame.structure
    symbols = [chemical_symbols[z] for z in structure.numbers]
    runs = [(symbol, len(list(members))) for symbol, members in groupby(symbols)]
    rows = [f"  {x!r}  {y!r}  {z!r}" for x, y, z in [*structure.cell.tolist(), *structure.positions.tolist()]]
    header = [" ".join(symbol for symbol, _ in runs), " ".join(str(n) for _, n in runs), "Cartesian"]
    (folder / "POSCAR").write_text("\n".join([frame.name, "1.0", *rows[:3], *header, *rows[3:], ""]))
    info = {
        "atoms_quantity": structure.n_atoms,
        "orbits_quantity": int(basis.orbital_counts(structure.numbers).sum()),
        "orthogonal_basis": False,
        "spinful": frame.hamiltonian.n_spin > 1,
        "fermi_energy_eV": frame.fermi_level,
        "elements_orbital_map": {
            chemical_symbols[z]: [shell.l for shell in basis[z].shells]
            for z in sorted(set(structure.numbers))
        },
        "occupation": _occupation(frame),
    }
    (folder / "info.json").write_text(json.dumps(info))
    for name, matrix in (("hamiltonian", frame.hamiltonian), ("overlap", frame.overlap)):
        pairs, chunks = directed_chunks(from_canonical(matrix, basis, "deeph"))
        shapes = np.array([chunk.shape for chunk in chunks])
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file["atom_pairs"] = pairs
            file["chunk_shapes"] = shapes
            file["chunk_boundaries"] = np.concatenate([[0], np.cumsum(shapes.prod(axis=1))])
            file["entries"] = np.concatenate([chunk.ravel() for chunk in chunks])


def _write_legacy(folder: Path, frame: Frame, basis: Basis) -> None:
    structure = frame.structure
    np.savetxt(folder / "lat.dat", structure.cell.T, fmt="%.17g")
    np.savetxt(folder / "rlat.dat", 2 * np.pi * np.linalg.inv(structure.cell), fmt="%.17g")
    np.savetxt(folder / "site_positions.dat", structure.positions.T, fmt="%.17g")
    np.savetxt(folder / "element.dat", structure.numbers, fmt="%d")
    types = [" ".join(str(shell.l) for shell in basis[z].shells) for z in structure.numbers]
    (folder / "orbital_types.dat").write_text("\n".join([*types, ""]))
    info = {
        "nsites": structure.n_atoms,
        "norbits": int(basis.orbital_counts(structure.numbers).sum()),
        "isorthogonal": False,
        "isspinful": frame.hamiltonian.n_spin > 1,
        "fermi_level": frame.fermi_level,
        "occupation": _occupation(frame),
    }
    (folder / "info.json").write_text(json.dumps(info))
    for name, matrix in (("hamiltonians", frame.hamiltonian), ("overlaps", frame.overlap)):
        pairs, chunks = directed_chunks(from_canonical(matrix, basis, "openmx"))
        with h5py.File(folder / f"{name}.h5", "w") as file:
            for pair, chunk in zip((pairs + np.array([0, 0, 0, 1, 1])).tolist(), chunks):
                file[json.dumps(pair)] = chunk


def _occupation(frame: Frame) -> int | float:
    """Electrons of a frame, whole numbers as integers."""
    return int(frame.n_electrons) if float(frame.n_electrons).is_integer() else frame.n_electrons


def directed_chunks(matrix: BlockMatrix) -> tuple[NDArray[np.int64], list[NDArray]]:
    """(R1, R2, R3, i, j) of every directed pair, sorted, and its block; spinors as [[uu, ud], [du, dd]]."""
    pairs, chunks = [], []
    directed = with_partners(matrix)
    for key, index in directed.pairs.items():
        pairs.append(np.column_stack([index.shift, index.i, index.j]))
        chunks += list(_joined(directed.values[key]))
    listed = np.concatenate(pairs)
    order = np.lexsort(listed.T[::-1])
    return listed[order], [chunks[k] for k in order]


def _joined(blocks: NDArray) -> NDArray:
    """Blocks (n_spin, n_pairs, n_i, n_j) with both spins in one matrix, up before down."""
    if len(blocks) == 1:
        return blocks[0]
    if len(blocks) == 2:
        empty = np.zeros_like(blocks[0])
        blocks = np.stack([blocks[0], empty, empty, blocks[1]])
    upper, lower = np.concatenate(blocks[:2], axis=-1), np.concatenate(blocks[2:], axis=-1)
    return np.concatenate([upper, lower], axis=-2)
