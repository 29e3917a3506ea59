"""Whole run folders of SIESTA made from a model H, for what no sample at hand has.

The model is random but Hermitian, its S that of its own radial functions. The eigenvalues are those of the
matrix that SIESTA's `diag2k` and `diag3k` build from the stored components, summed here element by element.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.linalg
from hsx_writer import shell_numbers, write_hsx, write_tshs
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, with_partners
from n2amd.blocks.pairs import find_pairs
from n2amd.dft.siesta.constants import LEGACY, Constants
from n2amd.dft.siesta.matrices import Geometry, SparseMatrices, Species
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.orbitals.conventions import from_canonical
from n2amd.orbitals.two_centre import OverlapTable
from n2amd.structure import Structure

#: Beyond the sum of two orbital radii (4.4 A), as projectors make it.
H_RANGE = 5.0
RADIUS = 2.2
PROJECTOR_RADIUS = 1.3
KPOINTS = np.array([[0.0, 0.0, 0.0], [0.13, -0.21, 0.38]])
SYMBOLS = {31: "Ga", 33: "As"}


def radial_function(l: int, cutoff: float) -> RadialFunction:
    r = np.linspace(0, cutoff, 301)
    values = (1 - (r / cutoff) ** 2) ** 3
    return RadialFunction(r[1], values / np.sqrt(np.trapezoid((values * r ** (l + 1)) ** 2, r)), cutoff)


def model_basis() -> Basis:
    shells = {31: ((0, "4s"), (1, "4p")), 33: ((0, "4s"), (1, "4p"), (2, "4d"))}
    return Basis(
        {
            z: AtomBasis(
                z, tuple(Shell(l, name, radial_function(l, RADIUS)) for l, name in listed), float(z - 28)
            )
            for z, listed in shells.items()
        }
    )


def model_structure() -> Structure:
    cell = np.array([[4.3, 0.2, 0.0], [0.1, 4.5, 0.3], [-0.4, 0.0, 4.4]])
    return Structure(cell, np.array([[0.1, 0.0, 0.2], [2.2, 1.9, 2.5]]), np.array([31, 33]))


@dataclass(frozen=True)
class Model:
    """A run: canonical blocks and the auxiliary supercell (nsc) it is written with."""

    structure: Structure
    basis: Basis
    hamiltonian: BlockMatrix
    overlap: BlockMatrix
    cells: tuple[int, int, int] = (5, 5, 5)
    constants: Constants = LEGACY
    fermi_ev: float = -3.217


def random_model(n_spin: int, structure: Structure | None = None, **settings: object) -> Model:
    """Random Hermitian blocks (n_spin 1, 2 or 4) up to `H_RANGE`, on top of -8 S."""
    structure, basis = structure or model_structure(), model_basis()
    rng = np.random.default_rng(n_spin)
    table = OverlapTable.from_basis(basis)
    present = sorted({int(z) for z in structure.numbers})
    pairs = find_pairs(structure, {(a, b): H_RANGE for a in present for b in present if a <= b}, half=True)
    h_values, s_values = {}, {}
    for key, index in pairs.items():
        s = table.evaluate(key, index.vectors(structure))[None]
        shape = (n_spin, *s.shape[1:])
        h = rng.normal(size=shape) + (1j * rng.normal(size=shape) if n_spin == 4 else 0)
        on_site = index.on_site
        adjoint = {1: [0], 2: [0, 1], 4: [0, 2, 1, 3]}[n_spin]
        if on_site.any():
            h[:, on_site] = (h[:, on_site] + h[adjoint][:, on_site].conj().swapaxes(-1, -2)) / 2
        diagonal = np.array({1: [1], 2: [1, 1], 4: [1, 0, 0, 1]}[n_spin])[:, None, None, None]
        h_values[key], s_values[key] = 0.3 * h - 8 * diagonal * s, s
    return Model(structure, basis, BlockMatrix(pairs, h_values), BlockMatrix(pairs, s_values), **settings)


def supercell(cells: tuple[int, int, int]) -> NDArray[np.int64]:
    """The lattice vectors of the auxiliary supercell in SIESTA's order, (n_images, 3)."""
    along = [np.where(np.arange(n) > n // 2, np.arange(n) - n, np.arange(n)) for n in cells]
    c, b, a = np.meshgrid(along[2], along[1], along[0], indexing="ij")
    return np.stack([a.ravel(), b.ravel(), c.ravel()], axis=-1)


def sparse_matrices(model: Model, n_components: int) -> SparseMatrices:
    """The model as SIESTA stores it: native orbitals, Ry, Bohr, and components by `diag3k`'s rule."""
    structure, basis = model.structure, model.basis
    hamiltonian = with_partners(from_canonical(model.hamiltonian, basis, "siesta"))
    overlap = with_partners(from_canonical(model.overlap, basis, "siesta"))
    offsets = basis.orbital_offsets(structure.numbers)
    shifts, cells = supercell(model.cells), np.array(model.cells)
    position = {tuple(s % cells): n for n, s in enumerate(shifts)}
    parts = []
    for key, index in hamiltonian.pairs.items():
        h, s = hamiltonian.values[key], overlap.values[key][0]
        bonds = index.vectors(structure)
        for n, (i, j, shift) in enumerate(zip(index.i, index.j, index.shift)):
            row, column = np.meshgrid(
                offsets[i] + np.arange(s.shape[1]), offsets[j] + np.arange(s.shape[2]), indexing="ij"
            )
            column = column + position[tuple(shift % cells)] * offsets[-1]
            components = stored_components(h[:, n], n_components).reshape(n_components, -1)
            bond = np.broadcast_to(bonds[n], (row.size, 3))
            parts.append((row.ravel(), column.ravel(), components, s[n].ravel(), bond))
    row, column, h, s, bonds = (
        np.concatenate(part, axis=-1 if k == 2 else 0) for k, part in enumerate(zip(*parts))
    )
    order = np.lexsort((column, row))
    rydberg, bohr = model.constants.rydberg, model.constants.bohr
    numbers = sorted(basis.numbers)
    species = tuple(
        Species(SYMBOLS[z], basis[z].valence_charge, tuple((x.l, x.label) for x in basis[z].shells))
        for z in numbers
    )
    return SparseMatrices(
        int(offsets[-1]),
        len(shifts),
        row[order],
        column[order],
        h[:, order] / rydberg,
        s[order],
        basis.valence_electrons(structure.numbers),
        np.repeat(np.arange(structure.n_atoms), np.diff(offsets)),
        double_precision=True,
        fermi_level=model.fermi_ev / rydberg,
        bonds=bonds[order] / bohr,
        geometry=Geometry(structure.cell / bohr, structure.positions / bohr, shifts),
        species=species,
        atom_species=np.searchsorted(numbers, structure.numbers),
    )


def stored_components(h: NDArray, n_components: int) -> NDArray[np.float64]:
    """Components at (i, j) of a block <i s|H|j s'> (n_spin, n_i, n_j): those of its adjoint <j s|H|i s'>."""
    if n_components <= 2:
        return h
    uu, ud, du, dd = (block.conj() for block in (h[0], h[2], h[1], h[3]))
    eight = [uu.real, dd.real, ud.real, -ud.imag, uu.imag, dd.imag, du.real, du.imag]
    return np.stack(eight[:n_components])


def siesta_eigenvalues(m: SparseMatrices, k: NDArray, cell: NDArray) -> NDArray[np.float64]:
    """Eigenvalues in Ry at a fractional k, (n_spin, n_bands), by the loops of SIESTA's diagonalisers."""
    n, (i, j) = m.n_orbitals, (m.row, m.column % m.n_orbitals)
    phase = np.exp(-1j * m.bonds @ (2 * np.pi * np.linalg.inv(cell) @ k))

    def matrix(values: NDArray) -> NDArray:
        dense = np.zeros((n, n), complex)
        np.add.at(dense, (j, i), values * phase)
        return dense

    s, h = matrix(m.overlap), m.hamiltonian
    if len(h) <= 2:
        return np.array([scipy.linalg.eigvalsh(matrix(spin), s) for spin in h])
    if len(h) == 4:
        h = np.stack([*h, np.zeros_like(h[0]), np.zeros_like(h[0]), h[2], h[3]])
    dense = np.block(
        [
            [matrix(h[0] + 1j * h[4]), matrix(h[2] - 1j * h[3])],
            [matrix(h[6] + 1j * h[7]), matrix(h[1] + 1j * h[5])],
        ]
    )
    return scipy.linalg.eigvalsh(dense, np.kron(np.eye(2), s))[None]


def write_run(
    folder: Path, model: Model, n_components: int, format: str, label: str = "model"
) -> SparseMatrices:
    """Write a run; `format` is "HSX 0", "HSX 1", "HSX 2" or "TSHS"."""
    folder.mkdir(parents=True, exist_ok=True)
    matrices, bohr = sparse_matrices(model, n_components), model.constants.bohr
    kind, _, version = format.partition(" ")
    if kind == "TSHS":
        write_tshs(folder / f"{label}.TSHS", matrices)
    else:
        stored = replace(matrices, bonds=None) if model.cells == (1, 1, 1) else matrices
        write_hsx(folder / f"{label}.HSX", stored, int(version))
    is_gamma = model.cells == (1, 1, 1)
    kpoints = KPOINTS[: 1 if is_gamma else 2]
    cell = model.structure.cell / bohr
    bands = np.array([siesta_eigenvalues(matrices, k, cell) for k in kpoints]) * model.constants.rydberg
    write_eig(folder / f"{label}.EIG", model.fermi_ev, bands, 4 if n_components > 2 else bands.shape[1])
    if not is_gamma:
        reciprocal = 2 * np.pi * kpoints @ np.linalg.inv(cell).T
        lines = [f"{n} {x:.12E} {y:.12E} {z:.12E} 0.5" for n, (x, y, z) in enumerate(reciprocal, 1)]
        (folder / f"{label}.KP").write_text("\n".join(["2", *lines]))
    write_xv(folder / f"{label}.XV", model)
    for z in model.basis.numbers:
        write_ion_xml(folder / f"{SYMBOLS[z]}.ion.xml", z, model.basis[z], bohr)
    return matrices


def write_eig(path: Path, fermi: float, bands: NDArray, n_spin: int) -> None:
    rows = [" ".join([str(n), *(f"{e:.12E}" for e in row.ravel())]) for n, row in enumerate(bands, 1)]
    path.write_text("\n".join([f"{fermi:.9E}", f"{bands.shape[2]} {n_spin} {len(bands)}", *rows]))


def write_xv(path: Path, model: Model) -> None:
    structure, bohr = model.structure, model.constants.bohr
    numbers = sorted(model.basis.numbers)
    lines = [" ".join(f"{x:.12f}" for x in [*row / bohr, 0, 0, 0]) for row in structure.cell]
    atoms = [
        " ".join([str(numbers.index(z) + 1), str(z), *(f"{x:.12f}" for x in [*r / bohr, 0, 0, 0])])
        for z, r in zip(structure.numbers, structure.positions)
    ]
    path.write_text("\n".join([*lines, str(structure.n_atoms), *atoms]))


def write_ion_xml(path: Path, z: int, atom: AtomBasis, bohr: float) -> None:
    def radfunc(step: float, cutoff: float, values: NDArray) -> str:
        table = "\n".join(f"{n * step:.14E} {value:.14E}" for n, value in enumerate(values))
        return (
            f"<radfunc><npts>{len(values)}</npts><delta>{step:.14E}</delta><cutoff>{cutoff:.14E}</cutoff>"
            f"<data>{table}</data></radfunc>"
        )

    orbitals = []
    for shell in atom.shells:
        n, l, zeta = shell_numbers(shell.label)
        radial = shell.radial
        values = radial.values * bohr ** (1.5 + l)
        orbitals.append(
            f'<orbital l="{l}" n="{n}" z="{zeta}" ispol="0" population="0">'
            + radfunc(radial.step / bohr, radial.cutoff / bohr, values)
            + "</orbital>"
        )
    projector = radfunc(0.1, PROJECTOR_RADIUS / bohr, np.zeros(3))
    path.write_text(
        f'<ion version="0.1"><symbol>{SYMBOLS[z]}</symbol><label>{SYMBOLS[z]}</label><z>{z}</z>'
        f"<valence>{atom.valence_charge}</valence><paos>{''.join(orbitals)}</paos>"
        f'<kbs><projector l="0" n="1">{projector}</projector></kbs></ion>'
    )
