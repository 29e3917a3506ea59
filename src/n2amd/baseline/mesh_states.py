"""Wave functions on a mesh, from their coefficients in the orbitals."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from n2amd.baseline.mesh_integrals import MeshOrbitals
from n2amd.baseline.mesh_kernels import box_orbitals, box_points
from n2amd.frames.mesh import Mesh
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
    states = StateWeights.of(basis, structure, orbitals, coefficients, kpoint)
    parts = np.empty((states.parts, mesh.n_points))
    _fill_states(
        orbitals.boxes.total,
        orbitals.boxes,
        orbitals.images,
        orbitals.atoms,
        orbitals.splines,
        states,
        orbitals.workspace(),
        parts,
    )
    n_states = coefficients.shape[1]
    values = parts if len(parts) == n_states else parts[:n_states] + 1j * parts[n_states:]
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


class StateWeights(NamedTuple):
    """Coefficients of some states, for loops over the boxes of a mesh.

    Attributes
    ----------
    offsets
        First orbital of each atom and the total, (n_atoms + 1,).
    real, imaginary
        Coefficients in the order of the boxes, (n_orbitals, n_states) each.
    kpoint
        Fractional, (3,).
    parts
        Numbers a point: one a state where all are real, else real parts and then imaginary ones.
    """

    offsets: NDArray[np.int64]
    real: NDArray[np.float64]
    imaginary: NDArray[np.float64]
    kpoint: NDArray[np.float64]
    parts: int

    @classmethod
    def of(
        cls,
        basis: Basis,
        structure: Structure,
        orbitals: MeshOrbitals,
        coefficients: NDArray,
        kpoint: NDArray[np.float64] | None,
    ) -> StateWeights:
        """Sort coefficients (n_orbitals, n_states) into the order of the boxes."""
        offsets = basis.orbital_offsets(structure.numbers)
        # the boxes hold the orbitals of an atom in an order of their own
        order = np.concatenate([o + orbitals.orders[int(z)] for o, z in zip(offsets, structure.numbers)])
        k = np.zeros(3) if kpoint is None else np.asarray(kpoint, dtype=np.float64)
        real = not np.iscomplexobj(coefficients) and np.allclose(2 * k, np.rint(2 * k), atol=1e-12)
        n_states = coefficients.shape[1]
        return cls(
            offsets,
            np.ascontiguousarray(coefficients.real[order], dtype=np.float64),
            np.ascontiguousarray(coefficients.imag[order], dtype=np.float64),
            k,
            n_states if real else 2 * n_states,
        )


@njit(cache=True)
def box_weights(kept: int, states: Any, work: Any) -> Any:
    """Coefficients of the rows of a box with the phases of their images, (n_rows, n_parts)."""
    n_states = states.real.shape[1]
    weights = np.empty((work.row[kept], states.parts))
    for q in range(kept):
        angle = 0.0
        for c in range(3):
            angle += states.kpoint[c] * work.shift[q, c]
        cosine, sine = np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)
        for r in range(work.row[q], work.row[q + 1]):
            orbital = states.offsets[work.atom[q]] + r - work.row[q]
            for s in range(n_states):
                a, b = states.real[orbital, s], states.imaginary[orbital, s]
                weights[r, s] = cosine * a - sine * b
                if states.parts > n_states:
                    weights[r, n_states + s] = sine * a + cosine * b
    return weights


@njit(cache=True)
def _fill_states(
    n_boxes: int,
    boxes: Any,
    images: Any,
    atoms: Any,
    splines: Any,
    states: Any,
    work: Any,
    values: Any,
) -> None:
    """Fill `values` (n_parts, n_points)."""
    for number in range(n_boxes):
        n = box_points(boxes, number, work)
        kept = box_orbitals(boxes, number, n, images, atoms, splines, work)
        weights = box_weights(kept, states, work)
        phi = work.phi[: len(weights) * n].reshape(len(weights), n)
        found = np.dot(np.ascontiguousarray(weights.T), phi)
        for s in range(states.parts):
            for p in range(n):
                values[s, work.flat[p]] = found[s, p]
