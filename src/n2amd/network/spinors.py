"""Spinor Hamiltonians of a model that was trained without spin: what it predicts, and V_SO of the atoms."""

from __future__ import annotations

from dataclasses import dataclass, replace

from numpy.typing import NDArray

from n2amd.baseline.spin_orbit import SpinOrbit, between_spin_states, with_spin_orbit
from n2amd.blocks.matrix import BlockMatrix
from n2amd.config.states import Channel
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.network.predict import HamiltonianPredictor
from n2amd.orbitals.basis import Basis
from n2amd.states.cross_time import CrossOverlap, OverlapKind
from n2amd.structure import Structure


def spin_orbit_of(predictor: HamiltonianPredictor) -> SpinOrbit:
    """Return the spin-orbit coupling of the pseudopotentials that a model's H0 knows.

    Raises
    ------
    InputError
        If the model has no H0, or its pseudopotentials are scalar relativistic.
    """
    if predictor.model.zeroth is None:
        raise InputError(
            "the model has no H0: it knows no pseudopotentials, whose spin-orbit coupling is added",
            field="spin_orbit",
            remedy="train it on data with the ingredients of H0 (OpenMX: .vps files)",
        )
    return SpinOrbit.of(predictor.basis, predictor.model.zeroth.ingredients)


@dataclass(frozen=True)
class WithSpinOrbit:
    """A model that was trained without spin, with the spin-orbit coupling of its pseudopotentials.

    Attributes
    ----------
    scalar
        The model.
    coupling
        V_SO of any structure.
    spinors
        Whether it predicts spinor matrices; else the scalar ones, with V_SO between states beside.
    """

    scalar: HamiltonianPredictor
    coupling: SpinOrbit
    spinors: bool

    @classmethod
    def of(cls, predictor: HamiltonianPredictor, *, spinors: bool) -> WithSpinOrbit:
        """Prepare the tables.

        Raises
        ------
        InputError
            If the model has spins or no H0, or its pseudopotentials are scalar relativistic.
        """
        _require_scalar(predictor.n_spin)
        return cls(predictor, spin_orbit_of(predictor), spinors)

    @property
    def basis(self) -> Basis:
        """Orbital basis."""
        return self.scalar.basis

    def electrons_in(self, structure: Structure, spin: Channel | None) -> float:
        """Return the electrons of a cell."""
        return self.scalar.electrons_in(structure, spin)

    def cross_overlap(self, kind: OverlapKind) -> CrossOverlap:
        """Return the function that gives S between two geometries, which knows no spin."""
        return self.scalar.cross_overlap(kind)

    def predict(self, structure: Structure) -> tuple[BlockMatrix, BlockMatrix]:
        """Return (H, S), the Hermitian half; H with V_SO where spinors are predicted."""
        hamiltonian, overlap = self.scalar.predict(structure)
        if not self.spinors:
            return hamiltonian, overlap
        return with_spin_orbit(hamiltonian, self.coupling.matrix(structure, hamiltonian.pairs)), overlap

    def spin_orbit_elements(
        self, structure: Structure, vectors: NDArray, kpoint: NDArray | None = None
    ) -> NDArray:
        """V_SO between states without spin; see `n2amd.states.spin_orbit.SpinOrbitElements`."""
        offsets = self.basis.orbital_offsets(structure.numbers)
        return between_spin_states(self.coupling.matrix(structure), offsets, vectors, kpoint)


def _require_scalar(n_spin: int) -> None:
    if n_spin != 1:
        raise InputError(
            f"H has {n_spin} spin components already",
            field="spin_orbit",
            remedy="use a model that was trained without spin",
        )


def spinor_hamiltonian(
    predictor: HamiltonianPredictor, structure: Structure, hamiltonian: BlockMatrix
) -> BlockMatrix:
    """Add the spin-orbit coupling of the pseudopotentials to a scalar H of a structure.

    Parameters
    ----------
    predictor
        Its H0 knows the pseudopotentials.
    structure
        Atoms.
    hamiltonian
        Without spin, Hermitian half, eV.

    Returns
    -------
    spinors
        On the same pairs, n_spin = 4.

    Raises
    ------
    InputError
        If the model has no H0, or its pseudopotentials are scalar relativistic.
    """
    _require_scalar(hamiltonian.n_spin)
    coupling = spin_orbit_of(predictor)
    return with_spin_orbit(hamiltonian, coupling.matrix(structure, hamiltonian.pairs))


def scalar_part(frame: Frame) -> Frame:
    """Return a frame of spinors without what depends on spin.

    Raises
    ------
    InputError
        If it has no spinors.
    """
    if frame.hamiltonian.n_spin != 4:
        raise InputError(
            f"spin components of the Hamiltonian: {frame.hamiltonian.n_spin}, not the four of spinors",
            frame=frame.name,
            field="hamiltonian",
            remedy="lay bands with spin-orbit coupling over a run that has it",
        )
    values = {
        key: (blocks[:1].real + blocks[3:].real) / 2 for key, blocks in frame.hamiltonian.values.items()
    }
    return replace(frame, hamiltonian=BlockMatrix(frame.hamiltonian.pairs, values))
