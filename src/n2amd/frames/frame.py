"""One DFT calculation, as readers hand it over and as the data set gives it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix
from n2amd.frames.ingredients import Ingredients
from n2amd.structure import Structure


@dataclass(frozen=True)
class BandReference:
    """The DFT code's own eigenvalues.

    Attributes
    ----------
    kpoints
        Fractional k points, (n_k, 3).
    weights
        Weights that sum to 1, (n_k,).
    energies
        Eigenvalues on the same energy zero as H, (n_k, n_spin, n_bands), eV; n_spin is 2 for collinear
        spins and 1 otherwise, spinors included.
    """

    kpoints: NDArray[np.float64]
    weights: NDArray[np.float64]
    energies: NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """Structure, matrices and observables of one DFT frame, in canonical orbital order and n2amd units.

    Attributes
    ----------
    name
        Where it came from (folder or file name), for messages.
    structure
        Atoms and cell.
    hamiltonian, overlap
        Hermitian half, float64 (complex128 for spinors); the overlap has n_spin = 1. Same pairs in both.
    n_electrons
        Valence electrons in the cell.
    energy, forces, stress, fermi_level, charge
        eV, eV/A (n_atoms, 3), eV/A^3 (3, 3), eV, e; None where the code did not give it.
    velocities
        A/fs, (n_atoms, 3), where the frame belongs to a trajectory.
    bands
        The code's own eigenvalues, for the ingestion gate.
    origin
        DFT provenance: code, version, functional, k mesh, ...
    hermiticity_error
        Largest difference between the two copies of a block in the code's file, in H (eV) or S; None where
        the file has one copy only.
    ingredients
        What H0 needs of the run, shared by the frames of a set; None where the run does not give it.
    spin
        Electrons of spin up less those of spin down, of collinear runs that fix or tell it; None elsewhere
        (`n2amd.frames.channels` then takes it from the bands).
    fixed_moment
        Electrons of spin up minus those of spin down that the run fixed, so that each spin has a Fermi level
        of its own; None where one level fills both, and without collinear spins.
    """

    name: str
    structure: Structure
    hamiltonian: BlockMatrix
    overlap: BlockMatrix
    n_electrons: float
    energy: float | None = None
    forces: NDArray[np.float64] | None = None
    stress: NDArray[np.float64] | None = None
    fermi_level: float | None = None
    charge: float = 0.0
    velocities: NDArray[np.float64] | None = None
    bands: BandReference | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    hermiticity_error: float | None = None
    ingredients: Ingredients | None = None
    spin: float | None = None
    fixed_moment: float | None = None

    @property
    def n_occupied(self) -> int:
        """Occupied bands: doubly occupied ones of a closed shell, singly occupied ones of spinors.

        Raises
        ------
        ValueError
            For a collinear frame, whose channels hold electrons of their own (`n2amd.frames.channels`).
        """
        if self.hamiltonian.n_spin == 2:
            raise ValueError("the channels of a collinear frame have numbers of occupied bands of their own")
        return round(self.n_electrons / (1 if self.hamiltonian.n_spin == 4 else 2))
