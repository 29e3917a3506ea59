"""Columns of the linear fit of ingredients: what each trial function contributes to a frame's H."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.frame_rest import MeshFrame
from n2amd.baseline.nonlocal_potential import nonlocal_matrix
from n2amd.baseline.projector_table import ProjectorTable, projector_table
from n2amd.baseline.trial_functions import TrialSpace, combine, symmetric_directions
from n2amd.blocks.matrix import BlockMatrix
from n2amd.frames.ingredients import AtomIngredients, Ingredients, Projector
from n2amd.orbitals.basis import Basis, RadialFunction, Shell

#: Electrons by which a Gaussian of the partial core is changed to see what it does to V_xc.
CORE_STEP = 0.01


@dataclass(frozen=True)
class Layout:
    """Elements and trial functions, in the order of the unknowns.

    Attributes
    ----------
    numbers
        Atomic numbers, ascending.
    space
        Trial functions, the same for every element.
    """

    numbers: tuple[int, ...]
    space: TrialSpace

    @property
    def n_local(self) -> int:
        """Splines of the local potential of one element."""
        return len(self.space.local_functions())

    @property
    def n_nonlocal(self) -> int:
        """Projections of one element."""
        return sum(len(symmetric_directions(n)) for n in self.space.n_projectors)

    @property
    def n_core(self) -> int:
        """Gaussians of the partial core of one element."""
        return len(self.space.core_widths)

    @property
    def n_linear(self) -> int:
        """Unknowns in which H is linear, of all elements."""
        return len(self.numbers) * (self.n_local + self.n_nonlocal + 1)

    def split(self, unknowns: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
        """Local and non-local coefficients, zeros of the potential, cores: each (n_elements, n_functions)."""
        n = len(self.numbers)
        ends = np.cumsum([n * self.n_local, n * self.n_nonlocal, n])
        return tuple(part.reshape(n, -1) for part in np.split(unknowns, ends))


def flatten(matrix: BlockMatrix, spin: int = 0) -> NDArray[np.float64]:
    """Elements of a matrix in one row."""
    return np.concatenate([matrix.values[key][spin].ravel() for key in matrix.pairs])


def flatten_all(matrix: BlockMatrix) -> NDArray[np.float64]:
    """Elements of several matrices on the spin axis, (n_matrices, n_elements)."""
    return np.concatenate([v.reshape(len(v), -1) for v in (matrix.values[k] for k in matrix.pairs)], axis=1)


def _for_each(
    numbers: Sequence[int], present: Sequence[int], functions: Sequence[RadialFunction]
) -> Iterator[dict[int, list[RadialFunction | None]]]:
    """Functions on the atoms of one element at a time, none on the others."""
    for z in numbers:
        yield {other: [f if other == z else None for f in functions] for other in present}


def local_columns(frame: MeshFrame, layout: Layout) -> NDArray[np.float64]:
    """Matrix elements of the local splines of every element, (n_unknowns, n_elements_of_H)."""
    present = sorted({int(z) for z in frame.structure.numbers})
    functions = layout.space.local_functions()
    rows = []
    for by_element in _for_each(layout.numbers, present, functions):
        rows.append(flatten_all(frame.integrate(frame.fields(by_element))))
    return np.concatenate(rows)


def nonlocal_shells(layout: Layout) -> list[tuple[Shell, float]]:
    """Functions whose projections span the non-local potential of one element, with unit energies."""
    functions = []
    for l in range(len(layout.space.n_projectors)):
        shapes = layout.space.projector_shapes(l)
        for k, weights in enumerate(symmetric_directions(len(shapes))):
            functions.append((combine(shapes, weights, f"{l}.{k}"), 1.0))
    return functions


def nonlocal_tables(basis: Basis, layout: Layout, scheme: Ingredients) -> ProjectorTable:
    """Two-centre tables of the functions of `nonlocal_shells`, the same on every element."""
    projectors = tuple(Projector(shell, energy) for shell, energy in nonlocal_shells(layout))
    nothing = RadialFunction(0.1, np.zeros(2), 0.1)
    atoms = {z: AtomIngredients(z, projectors, nothing, nothing) for z in basis.numbers}
    return projector_table(basis, replace(scheme, atoms=atoms))


def nonlocal_columns(frame: MeshFrame, layout: Layout, table: ProjectorTable) -> NDArray[np.float64]:
    """Projections on each function of every element in turn, (n_unknowns, n_elements_of_H)."""
    shells = [shell for shell, _ in nonlocal_shells(layout)]
    ends = np.cumsum([0, *(shell.n_orbitals for shell in shells)])
    pairs = frame.frame.hamiltonian.pairs
    rows = []
    for z in layout.numbers:
        for start, end in pairwise(ends):
            energies = {other: np.zeros(ends[-1]) for other in table.energies}
            energies[z][start:end] = 1.0
            one = ProjectorTable(table.splines, energies)
            rows.append(flatten(nonlocal_matrix(one, frame.basis, frame.structure, pairs)))
    return np.array(rows)


def zero_columns(frame: MeshFrame, layout: Layout) -> NDArray[np.float64]:
    """Shift of the potential by 1 eV A^3 for every atom of an element, (n_unknowns, n_elements_of_H).

    The average of V_NA depends on the second moment of rho_atoms, that of V_H[rho - rho_atoms] is zero:
    rho_atoms of another width shift H by a multiple of S that is inverse to the volume of the cell.
    """
    overlap = flatten(frame.frame.overlap) / frame.mesh.volume
    return np.array([overlap * np.sum(frame.structure.numbers == z) for z in layout.numbers])


def core_fields(frame: MeshFrame, layout: Layout) -> NDArray[np.float64]:
    """Gaussians of the partial core of every element on the mesh, (n_unknowns, n1, n2, n3)."""
    present = sorted({int(z) for z in frame.structure.numbers})
    functions = layout.space.core_functions()
    if not functions:
        return np.zeros((0, *frame.mesh.shape))
    return np.concatenate([frame.fields(f) for f in _for_each(layout.numbers, present, functions)])


def core_row(frame: MeshFrame, fields: NDArray[np.float64], core: NDArray[np.float64]) -> NDArray[np.float64]:
    """Matrix elements of V_xc with a partial core, (n_elements_of_H,)."""
    return flatten(frame.integrate(frame.exchange_correlation(np.tensordot(core, fields, axes=1))))


def core_columns(
    frame: MeshFrame, fields: NDArray[np.float64], core: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How the matrix elements of V_xc change with each Gaussian, (n_unknowns, n_elements_of_H)."""
    if not len(fields):
        return np.zeros((0, sum(v.size for v in frame.frame.hamiltonian.values.values())))
    here = np.tensordot(core, fields, axes=1)
    base = frame.exchange_correlation(here)
    changes = [(frame.exchange_correlation(here + CORE_STEP * f) - base) / CORE_STEP for f in fields]
    return flatten_all(frame.integrate(np.array(changes)))
