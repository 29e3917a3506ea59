"""Wave functions on a mesh, from their coefficients in the orbitals."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.mesh import Mesh
from n2amd.baseline.mesh_integrals import MeshOrbitals
from n2amd.baseline.mesh_kernels import box_orbitals, box_points
from n2amd.orbitals.basis import Basis
from n2amd.structure import Structure


def states_on_mesh(
    basis: Basis,
    structure: Structure,
    mesh: Mesh,
    coefficients: NDArray,
    kpoint: NDArray[np.float64] | None = None,
) -> NDArray:
    """Values psi_n(r) = sum_iR exp(2 pi i k.R) C_in phi_i(r - R) at the points of a mesh.

    Parameters
    ----------
    basis, structure, mesh
        Orbitals with radial functions, atoms, and the mesh of their cell.
    coefficients
        (n_orbitals, n_states), real or complex.
    kpoint
        Fractional, (3,); None: Gamma.

    Returns
    -------
    states
        (n_states, n1, n2, n3), A^(-3/2); real where coefficients and phases are.
    """
    orbitals = MeshOrbitals.of(basis, structure, mesh)
    offsets = basis.orbital_offsets(structure.numbers)
    # the boxes hold the orbitals of an atom in an order of their own
    order = np.concatenate([o + orbitals.orders[int(z)] for o, z in zip(offsets, structure.numbers)])
    k = np.zeros(3) if kpoint is None else np.asarray(kpoint, dtype=np.float64)
    real = not np.iscomplexobj(coefficients) and np.allclose(2 * k, np.rint(2 * k), atol=1e-12)
    n_states = coefficients.shape[1]
    parts = np.empty((n_states if real else 2 * n_states, mesh.n_points))
    _fill_states(
        orbitals.boxes.total,
        orbitals.boxes,
        orbitals.images,
        orbitals.atoms,
        orbitals.splines,
        offsets,
        np.ascontiguousarray(coefficients.real[order], dtype=np.float64),
        np.ascontiguousarray(coefficients.imag[order], dtype=np.float64),
        k,
        orbitals.workspace(),
        parts,
    )
    values = parts if real else parts[:n_states] + 1j * parts[n_states:]
    return values.reshape(n_states, *mesh.shape)


def charge_on_mesh(
    basis: Basis,
    structure: Structure,
    mesh: Mesh,
    coefficients: NDArray,
    kpoint: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Mean |psi_n(r)|^2 of some states, (n1, n2, n3), 1/A^3; of degenerate ones as symmetric as the crystal.

    Parameters as for `states_on_mesh`.
    """
    states = states_on_mesh(basis, structure, mesh, coefficients, kpoint)
    return np.asarray((np.abs(states) ** 2).mean(axis=0), dtype=np.float64)


@njit(cache=True)
def _fill_states(
    n_boxes: int,
    boxes: Any,
    images: Any,
    atoms: Any,
    splines: Any,
    offsets: Any,
    real: Any,
    imaginary: Any,
    kpoint: Any,
    work: Any,
    values: Any,
) -> None:
    """Fill `values` (n_states or 2 n_states, n_points): real parts, then imaginary ones where asked."""
    n_states = real.shape[1]
    wanted = len(values)
    for number in range(n_boxes):
        n = box_points(boxes, number, work)
        kept = box_orbitals(boxes, number, n, images, atoms, splines, work)
        rows = work.row[kept]
        weights = np.empty((rows, wanted))
        for q in range(kept):
            angle = 0.0
            for c in range(3):
                angle += kpoint[c] * work.shift[q, c]
            cosine, sine = np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)
            for r in range(work.row[q], work.row[q + 1]):
                orbital = offsets[work.atom[q]] + r - work.row[q]
                for s in range(n_states):
                    a, b = real[orbital, s], imaginary[orbital, s]
                    weights[r, s] = cosine * a - sine * b
                    if wanted > n_states:
                        weights[r, n_states + s] = sine * a + cosine * b
        phi = work.phi[: rows * n].reshape(rows, n)
        found = np.dot(np.ascontiguousarray(weights.T), phi)
        for s in range(wanted):
            for p in range(n):
                values[s, work.flat[p]] = found[s, p]
