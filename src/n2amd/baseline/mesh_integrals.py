"""Matrix elements of a potential on a mesh, and the density of a density matrix on it.

The two are adjoint to each other: <D, V> = sum over points of density x potential x volume element, exactly.
Cost and memory are linear in the number of atoms; beside fields and blocks, memory is that of one box. The
matrix products are BLAS's, whose threads the caller sets (one is best for boxes of this size).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.mesh_boxes import EDGE, Boxes, Images, check_cell, cut, find_images
from n2amd.baseline.mesh_kernels import Atoms, Real, Workspace, density_boxes, integrate_boxes, workspace
from n2amd.baseline.pair_lookup import PairLayout
from n2amd.baseline.radial_splines import SplineSet, radial_of, spline_set
from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.errors import InputError
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction
from n2amd.structure import Structure


@dataclass(frozen=True)
class MeshOrbitals:
    """The orbitals of a structure, ready to be evaluated box by box.

    Attributes
    ----------
    boxes, images
        Boxes of the mesh, and the atom images that reach them.
    atoms, splines
        Atoms and the radial functions of their elements.
    orders
        Orbitals of each element, by atomic number, in the order of the boxes: longest reach first.
    """

    boxes: Boxes
    images: Images
    atoms: Atoms
    splines: SplineSet
    orders: Mapping[int, NDArray[np.int64]]

    @classmethod
    def of(cls, basis: Basis, structure: Structure, mesh: Mesh, edge: int = EDGE) -> MeshOrbitals:
        """Prepare the orbitals of a structure on the mesh of its cell.

        Raises
        ------
        InputError
            If a radial function is unknown, an element not in the basis, or the mesh that of another cell.
        """
        check_cell(structure, mesh)
        numbers, element = np.unique(structure.numbers, return_inverse=True)
        shells = [_longest_first(basis[z]) for z in numbers]
        splines = spline_set([_functions(basis[z], s) for z, s in zip(numbers, shells)])
        reach = splines.reach[splines.first[:-1]]
        boxes = cut(mesh, edge)
        counts = basis.orbital_counts(structure.numbers)
        # of elements that do not occur a matrix may still have an empty list of pairs
        orders = {z: np.arange(basis[z].n_orbitals) for z in basis.numbers}
        orders |= {int(z): _orbitals_of(basis[z], s) for z, s in zip(numbers, shells)}
        return cls(
            boxes,
            find_images(boxes, structure, reach[element]),
            Atoms(structure.positions, element.astype(np.int64), counts),
            splines,
            orders,
        )

    def layout(self, pairs: Mapping[SpeciesPair, PairIndex]) -> PairLayout:
        """Lay out the blocks of a matrix in the order of the boxes."""
        return PairLayout.of(pairs, self.orders, self.atoms.orbitals)

    def workspace(self, dtype: Real = np.float64) -> Workspace:
        """Reserve memory for the largest box, its orbitals in this precision."""
        starts = self.images.starts
        orbitals = np.concatenate([[0], np.cumsum(self.atoms.orbitals[self.images.atom])])
        return workspace(
            self.boxes.largest,
            int(np.diff(starts).max()),
            int(np.diff(orbitals[starts]).max()),
            int(self.atoms.orbitals.max()),
            int(self.splines.l.max()),
            dtype,
        )


def _longest_first(atom: AtomBasis) -> list[int]:
    """Shells of an element by their reach, longest first."""
    radials = [radial_of(shell, atom.number) for shell in atom.shells]
    reach = np.array([min(r.cutoff, r.step * (len(r.values) - 1)) for r in radials])
    return [int(k) for k in np.argsort(-reach, kind="stable")]


def _functions(atom: AtomBasis, shells: Sequence[int]) -> list[tuple[int, RadialFunction]]:
    """Radial functions of shells in this order, with their l."""
    return [(atom.shells[k].l, radial_of(atom.shells[k], atom.number)) for k in shells]


def _orbitals_of(atom: AtomBasis, shells: Sequence[int]) -> NDArray[np.int64]:
    """Orbitals of shells in this order."""
    slices = [part for _, part in atom.shell_slices()]
    return np.concatenate([np.arange(slices[k].start, slices[k].stop) for k in shells])


def box_count(mesh: Mesh, edge: int = EDGE) -> int:
    """Number of boxes of a mesh, for a caller who splits the work."""
    return cut(mesh, edge).total


def potential_matrix(
    basis: Basis,
    structure: Structure,
    mesh: Mesh,
    potential: NDArray[np.float64],
    pairs: Mapping[SpeciesPair, PairIndex],
    *,
    edge: int = EDGE,
    boxes: range | None = None,
    dtype: Real = np.float64,
) -> BlockMatrix:
    """Matrix elements <phi_i0 | V | phi_jR> of a periodic potential, by a sum over the points of a mesh.

    Parameters
    ----------
    basis
        Orbitals with radial functions; each ends at its own cutoff.
    structure
        Atoms; all three directions are periodic, whatever `pbc` says.
    mesh
        Mesh of the structure's cell.
    potential
        One field (n1, n2, n3) or several (n_fields, n1, n2, n3), e.g. eV.
    pairs
        Pairs of a Hermitian matrix, each once, in any order: from `find_pairs(..., half=True)`, or those of a
        matrix. Orbitals that overlap but are not listed are left out.
    edge
        Points along an edge of a box.
    boxes
        Consecutive boxes, of `box_count(mesh, edge)`; the matrices of disjoint ranges add up. Default: all.
    dtype
        Of the orbitals at the points of a box and of their products there; boxes add up in float64. With
        float32 elements are off by 4e-8 (rms) and 3e-6 eV (largest, on an atom; rutile).

    Returns
    -------
    matrix
        On the spin axis the fields, (n_fields, n_pairs, n_i, n_j), in the potential's units.

    Raises
    ------
    InputError
        If a shape does not fit, a pair is listed twice, or a radial function is unknown.
    """
    fields = as_fields(potential, mesh)
    orbitals = MeshOrbitals.of(basis, structure, mesh, edge)
    layout = orbitals.layout(pairs)
    values = np.zeros((len(fields), layout.size))
    todo = range(orbitals.boxes.total) if boxes is None else boxes
    integrate_boxes(
        todo.start,
        todo.stop,
        orbitals.boxes,
        orbitals.images,
        orbitals.atoms,
        orbitals.splines,
        layout.lookup,
        fields,
        mesh.volume_element,
        orbitals.workspace(dtype),
        values,
    )
    return BlockMatrix(dict(pairs), layout.unpack(values))


def density_on_mesh(
    basis: Basis,
    structure: Structure,
    mesh: Mesh,
    density_matrix: BlockMatrix,
    *,
    edge: int = EDGE,
    boxes: range | None = None,
) -> NDArray[np.float64]:
    """Density sum_ij,R D_ij(R) phi_i phi_jR at the points of a mesh.

    Parameters
    ----------
    basis, structure, mesh, edge
        As for `potential_matrix`.
    density_matrix
        Real, Hermitian half, n_spin 1 or 2; implied partners count. Pairs not listed count as zero.
    boxes
        Consecutive boxes; the density is zero in all others. Default: all.

    Returns
    -------
    density
        (n_spin, n1, n2, n3), electrons/A^3.

    Raises
    ------
    InputError
        If the density matrix is complex or not the Hermitian half, or as `potential_matrix`.
    """
    blocks = real_half(density_matrix)
    orbitals = MeshOrbitals.of(basis, structure, mesh, edge)
    layout = orbitals.layout(density_matrix.pairs)
    values = layout.pack(blocks)
    density = np.zeros((len(values), mesh.n_points))
    todo = range(orbitals.boxes.total) if boxes is None else boxes
    density_boxes(
        todo.start,
        todo.stop,
        orbitals.boxes,
        orbitals.images,
        orbitals.atoms,
        orbitals.splines,
        layout.lookup,
        values,
        orbitals.workspace(),
        density,
    )
    return density.reshape(-1, *mesh.shape)


def real_half(matrix: BlockMatrix) -> dict[SpeciesPair, NDArray[np.float64]]:
    """Blocks of a real Hermitian matrix, in the order of its pairs.

    Raises
    ------
    InputError
        If it is complex or lists every directed pair.
    """
    blocks = {key: matrix.values[key] for key in matrix.pairs}
    if not matrix.hermitian or any(np.iscomplexobj(b) for b in blocks.values()):
        raise InputError(
            "the density on a mesh is that of a real density matrix, each pair listed once",
            field="density_matrix",
            remedy="pass the Hermitian half of D(R), without spinors",
        )
    return blocks


def as_fields(potential: NDArray[np.float64], mesh: Mesh) -> NDArray[np.float64]:
    """Fields as (n_fields, n_points)."""
    if potential.shape[-3:] != mesh.shape or potential.ndim not in (3, 4):
        raise InputError(
            f"a potential of shape {potential.shape} on a mesh of {mesh.shape} points",
            field="potential",
            remedy="pass (n1, n2, n3) or (n_fields, n1, n2, n3)",
        )
    return np.ascontiguousarray(potential, dtype=np.float64).reshape(-1, mesh.n_points)
