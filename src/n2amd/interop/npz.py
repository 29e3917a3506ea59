"""H(R) and S(R) of one structure in a numpy archive, to use without n2amd."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.interop.deeph import directed_chunks
from n2amd.orbitals.basis import Basis
from n2amd.storage import atomic_path


def write_npz(path: str | Path, frame: Frame, basis: Basis) -> None:
    """Write a frame whose H knows no spin; the layout is in docs/bands-and-dos.md.

    Parameters
    ----------
    path
        File to write.
    frame
        H and S on the same pairs, canonical orbital order.
    basis
        Its basis.

    Raises
    ------
    InputError
        If H has spins.
    """
    if frame.hamiltonian.n_spin != 1:
        raise InputError(
            f"an archive holds H without spin, this one has {frame.hamiltonian.n_spin} components",
            file=path,
            field="spin",
            remedy="name a folder instead (DeepH layout)",
        )
    structure = frame.structure
    pairs, hamiltonian = directed_chunks(frame.hamiltonian)
    _, overlap = directed_chunks(frame.overlap)
    shapes = np.array([block.shape for block in hamiltonian])
    shells = [(atom, shell) for atom, z in enumerate(structure.numbers) for shell in basis[z].shells]
    with atomic_path(path) as part, open(part, "wb") as stream:
        np.savez_compressed(
            stream,
            cell=structure.cell,
            positions=structure.positions,
            numbers=structure.numbers,
            n_electrons=frame.n_electrons,
            first_orbital=basis.orbital_offsets(structure.numbers),
            shell_atom=np.array([atom for atom, _ in shells]),
            shell_l=np.array([shell.l for _, shell in shells]),
            shell_label=np.array([shell.label for _, shell in shells]),
            pairs=pairs,
            block_shapes=shapes,
            block_starts=np.concatenate([[0], np.cumsum(shapes.prod(axis=1))]),
            hamiltonian=np.concatenate([block.ravel() for block in hamiltonian]),
            overlap=np.concatenate([block.ravel() for block in overlap]),
        )
