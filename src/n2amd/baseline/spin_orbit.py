"""Spin-orbit coupling of a fully relativistic pseudopotential: exact, and nothing to learn.

With |p_jm> of j = l + 1/2 and l - 1/2 the potential is sum_j |p_j> e_j P_j <p_j|, where the projections on j
are P_+ = (l + 1 + L.sigma) / (2l + 1) and P_- = (l - L.sigma) / (2l + 1). What does not depend on spin is
that of a scalar relativistic run; the rest is

    V_SO = sum_p +-1 / (2l + 1) |p> e_p L.sigma <p| ,

upper sign for j = l + 1/2 (L. Kleinman, Phys. Rev. B 21, 2630 (1980)). In real harmonics L is i times a real
antisymmetric matrix, so that three real three-centre matrices, one for each component, make the four
spin components.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from n2amd.baseline.nonlocal_potential import nonlocal_matrix
from n2amd.baseline.projector_table import ProjectorTable, projector_table
from n2amd.blocks.csr import between_states
from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair
from n2amd.errors import InputError
from n2amd.frames.ingredients import AtomIngredients, Ingredients, Projector
from n2amd.orbitals.basis import Basis
from n2amd.structure import Structure


def angular_momentum(l: int) -> NDArray[np.float64]:
    """Imaginary part of L_x, L_y, L_z in real harmonics m = -l..l, (3, 2l + 1, 2l + 1), in units of hbar.

    The real part is zero and each component antisymmetric.
    """
    n = 2 * l + 1
    m = np.arange(-l, l + 1)
    raising = np.diag(np.sqrt(l * (l + 1) - m[:-1] * (m[:-1] + 1)), -1)
    complex_ = np.array([(raising + raising.T) / 2, (raising - raising.T) / 2j, np.diag(m).astype(complex)])
    turn = np.zeros((n, n), complex)  # rows: real harmonics, cos for m > 0, sin for m < 0, without signs
    turn[l, l] = 1.0
    for k in range(1, l + 1):
        sign = (-1) ** k
        turn[l + k, [l - k, l + k]] = np.array([1, sign]) / np.sqrt(2)
        turn[l - k, [l - k, l + k]] = np.array([1j, -1j * sign]) / np.sqrt(2)
    return np.array([(turn.conj() @ component @ turn.T).imag for component in complex_])


@dataclass(frozen=True)
class SpinOrbit:
    """V_SO of any structure of some elements.

    Attributes
    ----------
    basis
        The orbitals, as the ingredients know them.
    table
        Overlaps of orbitals and split projectors.
    between
        +-e_p / (2l + 1) times the antisymmetric part of L, by element, (3, n_functions, n_functions), eV.
    """

    basis: Basis
    table: ProjectorTable
    between: Mapping[int, NDArray[np.float64]]

    @classmethod
    def of(cls, basis: Basis, ingredients: Ingredients) -> SpinOrbit:
        """Prepare the tables.

        Raises
        ------
        InputError
            If no element's pseudopotential tells its projectors of j = l + 1/2 and l - 1/2 apart.
        """
        atoms = {z: ingredients[z] for z in basis.numbers}
        if not any(atom.split_projectors for atom in atoms.values()):
            raise InputError(
                "the pseudopotentials are scalar relativistic: they do not tell j = l + 1/2 from l - 1/2",
                field="spin_orbit",
                remedy="ingest runs of OpenMX with the .vps files of DFT_DATA beside them (vps/), whose "
                "j.dependent.pseudo.potentials are on",
            )
        split = {z: replace(atom, projectors=_as_projectors(atom)) for z, atom in atoms.items()}
        orbitals = ingredients.orbitals(basis)
        table = projector_table(orbitals, replace(ingredients, atoms=split))
        return cls(orbitals, table, {z: _between(atoms[z]) for z in table.energies})

    def matrix(
        self, structure: Structure, pairs: Mapping[SpeciesPair, PairIndex] | None = None
    ) -> BlockMatrix:
        """V_SO of a structure, eV.

        Parameters
        ----------
        structure
            Atoms.
        pairs
            Hermitian half of the pairs wanted; default: all that a projector connects.

        Returns
        -------
        potential
            Hermitian half, complex, n_spin = 4: up-up, up-down, down-up, down-down.
        """
        real = nonlocal_matrix(self.table, self.basis, structure, pairs, self.between)
        values = {}
        for key, (x, y, z) in real.values.items():
            # sigma_x, sigma_y, sigma_z times i (x, y, z)
            values[key] = np.stack([1j * z, 1j * x + y, 1j * x - y, -1j * z])
        return BlockMatrix(real.pairs, values)


def with_spin_orbit(hamiltonian: BlockMatrix, spin_orbit: BlockMatrix) -> BlockMatrix:
    """Spinor Hamiltonian H 1 + V_SO on the pairs of a scalar one.

    Parameters
    ----------
    hamiltonian
        Without spin, Hermitian half.
    spin_orbit
        On the same pairs.
    """
    values = {}
    for key, blocks in hamiltonian.values.items():
        both = spin_orbit.values[key].copy()
        both[[0, 3]] += blocks[0]
        values[key] = both
    return BlockMatrix(hamiltonian.pairs, values)


def between_spin_states(
    spin_orbit: BlockMatrix, offsets: NDArray[np.int64], vectors: NDArray, k: NDArray[np.float64] | None
) -> NDArray[np.complex128]:
    """Elements A between states without spin, of which V_SO is A_x sigma_x + A_y sigma_y + A_z sigma_z.

    Parameters
    ----------
    spin_orbit
        V_SO, n_spin = 4.
    offsets
        First orbital of each atom and the total, (n_atoms + 1,).
    vectors
        States, (n_orbitals, w).
    k
        Fractional k point, (3,), or None for Gamma.

    Returns
    -------
    elements
        (3, w, w), Hermitian, eV; purely imaginary between real states.
    """
    found = []
    for part in range(3):
        values = {}
        for key, (upup, updown, downup, _) in spin_orbit.values.items():
            values[key] = ((updown + downup) / 2, 1j * (updown - downup) / 2, upup)[part][None]
        found.append(between_states(spin_orbit.map(values), offsets, vectors, k))
    return np.array(found, dtype=np.complex128)


def _as_projectors(atom: AtomIngredients) -> tuple[Projector, ...]:
    return tuple(Projector(p.shell, p.energy) for p in atom.split_projectors)


def _between(atom: AtomIngredients) -> NDArray[np.float64]:
    parts = []
    for p in atom.split_projectors:
        sign = 1 if p.upper else -1
        parts.append(sign * p.energy / (2 * p.shell.l + 1) * angular_momentum(p.shell.l))
    return np.array([scipy.linalg.block_diag(*(part[k] for part in parts)) for k in range(3)])
