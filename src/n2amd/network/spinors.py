"""Spinor Hamiltonians of a model that was trained without spin: what it predicts, and V_SO of the atoms."""

from __future__ import annotations

from dataclasses import replace

from n2amd.baseline.spin_orbit import SpinOrbit, with_spin_orbit
from n2amd.blocks.matrix import BlockMatrix
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.network.predict import HamiltonianPredictor
from n2amd.structure import Structure


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
    if predictor.model.zeroth is None:
        raise InputError(
            "the model has no H0: it knows no pseudopotentials, whose spin-orbit coupling is added",
            field="spin_orbit",
            remedy="train it on data with the ingredients of H0 (OpenMX: .vps files)",
        )
    if hamiltonian.n_spin != 1:
        raise InputError(
            f"H has {hamiltonian.n_spin} spin components already",
            field="spin_orbit",
            remedy="use a model that was trained without spin",
        )
    coupling = SpinOrbit.of(predictor.basis, predictor.model.zeroth.ingredients)
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
            f"the Hamiltonian has {frame.hamiltonian.n_spin} spin component, not the four of spinors",
            frame=frame.name,
            field="hamiltonian",
            remedy="lay bands with spin-orbit coupling over a run that has it",
        )
    values = {
        key: (blocks[:1].real + blocks[3:].real) / 2 for key, blocks in frame.hamiltonian.values.items()
    }
    return replace(frame, hamiltonian=BlockMatrix(frame.hamiltonian.pairs, values))
