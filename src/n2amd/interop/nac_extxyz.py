"""Derivative couplings as arrows on the atoms: extended XYZ for OVITO and ASE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase.io import write

from n2amd.couplings.vector_store import FrameVectors
from n2amd.storage import atomic_path

#: The vector property of atoms that OVITO draws as arrows without being told how, and that means no force.
ARROWS = "Displacement"


def write_arrows(path: str | Path, frames: Sequence[FrameVectors]) -> int:
    """Write an image for each frame and pair; return how many.

    Columns: `nac` and, the same for OVITO's arrows, `Displacement`, 1/Angstrom; off Gamma, where vectors are
    complex, they hold the real part and `nac_imaginary` the rest. The comment line has the pair and its gap.

    Parameters
    ----------
    path
        Where to; the file appears under its name only when it is whole.
    frames
        The couplings.
    """
    count = 0
    with atomic_path(path) as part, open(part, "w") as stream:
        for frame in frames:
            found, coupling = frame.vectors, frame.coupling
            for pair, (bands, energies) in enumerate(zip(found.bands, found.energies)):
                atoms = found.structure.to_ase()
                nac = found.nac[pair]
                atoms.arrays["nac"] = atoms.arrays[ARROWS] = np.ascontiguousarray(nac.real)
                if np.iscomplexobj(nac):
                    atoms.arrays["nac_imaginary"] = np.ascontiguousarray(nac.imag)
                atoms.info["frame"], atoms.info["bands"] = frame.frame, bands
                atoms.info["gap_eV"] = float(energies[1] - energies[0])
                if coupling is not None:
                    atoms.info["coupling_meV"] = 1000 * float(np.abs(coupling[pair]))
                write(stream, atoms, format="extxyz")
                count += 1
    return count
