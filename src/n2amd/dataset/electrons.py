"""How many electrons each element brings, where only the frames say how many they have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from n2amd.dataset.frame import Frame
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis

#: Electrons that a frame may differ from the sum over its atoms.
TOLERANCE = 1e-4


def with_valence_charges(basis: Basis, frames: Sequence[Frame]) -> Basis:
    """Return the basis with the electrons per element, taken from the frames where it has none.

    The smallest charges that add up in every frame. Frames of one composition do not part them between the
    elements: cells of that composition are right all the same, and others mostly give no whole number.

    Parameters
    ----------
    basis
        Basis of a data set; DeepH folders give it no valence charges.
    frames
        Frames of the data set.

    Raises
    ------
    InputError
        If electrons of frames are not a sum over their atoms.
    """
    if any(atom.valence_charge for atom in basis.atoms.values()):
        return basis
    counts = np.array(
        [[np.sum(f.structure.numbers == z) for z in basis.numbers] for f in frames], dtype=float
    )
    electrons = np.array([f.n_electrons + f.charge for f in frames])
    charges = np.linalg.lstsq(counts, electrons, rcond=None)[0]
    off = np.abs(counts @ charges - electrons)
    if off.max() > TOLERANCE:
        worst = int(off.argmax())
        raise InputError(
            f"{electrons[worst]:g} electrons are not the sum over the atoms that the other frames tell",
            frame=frames[worst].name,
            field="n_electrons",
            remedy="ingest neutral cells of one basis and one set of pseudopotentials into one data set",
        )
    rounded = np.where(np.abs(charges - np.rint(charges)) < TOLERANCE, np.rint(charges), charges)
    atoms = {z: replace(basis[z], valence_charge=float(charge)) for z, charge in zip(basis.numbers, rounded)}
    return Basis(atoms)
