"""PySCF's basis as n2amd's, and its overlap in real space."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyscf import gto as molecules
from pyscf.pbc import gto

from n2amd.blocks.pairs import find_pairs
from n2amd.orbitals.basis import AtomBasis, Basis
from n2amd.orbitals.gaussians import ContractedShell, gaussian_atom
from n2amd.structure import Structure
from n2amd.units import BOHR_ANGSTROM

#: Elements of S below this count as zero.
NEGLIGIBLE = 1e-12


def shells_of(cell: gto.Cell) -> Basis:
    """Return the shells of every element in PySCF's order, radial functions included."""
    atoms: dict[int, AtomBasis] = {}
    for atom in range(cell.natm):
        number = int(molecules.charge(cell.atom_pure_symbol(atom)))
        if number in atoms:
            continue
        shells = [
            ContractedShell(int(cell.bas_angular(shell)), cell.bas_exp(shell) / BOHR_ANGSTROM**2, column)
            for shell in cell.atom_shell_ids(atom)
            for column in cell.bas_ctr_coeff(shell).T
        ]
        atoms[number] = gaussian_atom(number, shells, float(cell.atom_charge(atom)))
    return Basis(atoms)


def crystal_overlap(
    cell: gto.Cell, structure: Structure, images: NDArray[np.int64], hamiltonian: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """S(R) from integrals between the home cell and every image that it reaches.

    Parameters
    ----------
    cell, structure
        The crystal.
    images, hamiltonian
        Lattice vectors (n_R, 3) and H(R) (n_R, n, n).

    Returns
    -------
    images, hamiltonian, overlap
        On the images where either is not zero; S(R) is exact, H(R) is zero where its mesh did not reach.
    """
    home = _molecule(cell, np.zeros(3))
    reach = 2 * max(atom.cutoff or 0.0 for atom in shells_of(cell).atoms.values())
    present = sorted({int(z) for z in structure.numbers})
    pairs = find_pairs(structure, {(a, b): reach for a in present for b in present if a <= b}, half=False)
    near = {tuple(shift) for index in pairs.values() for shift in index.shift.tolist()}
    known = {tuple(image): h for image, h in zip(images.tolist(), hamiltonian)}
    found: dict[tuple[int, ...], NDArray[np.float64]] = {}
    for image in sorted(known.keys() | near):
        shifted = _molecule(cell, np.array(image) @ structure.cell / BOHR_ANGSTROM)
        block = molecules.intor_cross("int1e_ovlp", home, shifted)
        if image in known or np.abs(block).max() > NEGLIGIBLE:
            found[image] = block
    order = sorted(found)
    nothing = np.zeros_like(hamiltonian[0])
    return (
        np.array(order),
        np.array([known.get(image, nothing) for image in order]),
        np.array([found[image] for image in order]),
    )


def _molecule(cell: gto.Cell, shift: NDArray[np.float64]) -> Any:
    """The atoms of a cell as a molecule, moved by a vector (Bohr)."""
    molecule = molecules.Mole()
    molecule.unit = "B"
    molecule.atom = [(cell.atom_symbol(a), cell.atom_coord(a) + shift) for a in range(cell.natm)]
    molecule.basis, molecule.pseudo = cell._basis, cell._pseudo
    molecule.spin, molecule.charge, molecule.verbose = None, 0, 0
    molecule.build(dump_input=False, parse_arg=False)
    return molecule
