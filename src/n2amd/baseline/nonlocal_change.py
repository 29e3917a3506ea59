"""How elements of the non-local pseudopotential between states change along a motion of the atoms.

With b_pj = sum_iR <p|phi_iR> exp(2 pi i k.R) C_ij the element is sum_p e_p b_pi* b_pj.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.nonlocal_potential import batches, find_neighbours
from n2amd.baseline.projector_table import ProjectorTable
from n2amd.structure import Structure


def nonlocal_changes(
    table: ProjectorTable,
    structure: Structure,
    velocities: NDArray[np.float64],
    offsets: NDArray[np.int64],
    vectors: NDArray,
    kpoint: NDArray[np.float64],
) -> NDArray:
    """Derivatives of the elements between states, at fixed coefficients of the states.

    Parameters
    ----------
    table
        Overlaps of orbitals and projectors, from `projector_table`.
    structure, velocities
        Atoms and how they move, (n_atoms, 3), A/fs.
    offsets
        First orbital of each atom and the total.
    vectors
        States, (n_orbitals, w).
    kpoint
        Fractional, (3,).

    Returns
    -------
    changes
        Hermitian, (w, w), eV/fs.
    """
    off_gamma = bool(np.any(kpoint))
    dtype = np.complex128 if off_gamma or np.iscomplexobj(vectors) else np.float64
    neighbours = find_neighbours(table, structure)
    half = np.zeros((vectors.shape[1],) * 2, dtype=dtype)
    for z, first, last in batches(neighbours, structure):
        energies = table.energies[z]
        value, rate = (np.zeros((last - first, len(energies), vectors.shape[1]), dtype) for _ in range(2))
        for o in (orbital for orbital, projector in neighbours if projector == z):
            found, splines = neighbours[o, z].around(first, last), table.splines[o, z]
            rows = offsets[found.atom][:, None] + np.arange(splines.shape[0])
            states = vectors[rows]
            if off_gamma:
                states = states * np.exp(2j * np.pi * (found.shift @ kpoint))[:, None, None]
            motion = velocities[found.centre] - velocities[found.atom]
            for blocks, out in (
                (splines.evaluate(found.vector), value),
                (splines.derivative(found.vector, motion), rate),
            ):
                np.add.at(out, found.centre - first, blocks.swapaxes(1, 2) @ states)
        half += np.einsum("api,p,apj->ij", value.conj(), energies, rate, optimize=True)
    return half + half.conj().T
