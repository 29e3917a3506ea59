"""Files for PYXAID (Akimov, Prezhdo, J. Chem. Theory Comput. 9, 4959 (2013)): 0_Ham_{k}_re and _im."""

from __future__ import annotations

from pathlib import Path

from n2amd.couplings.store import Couplings
from n2amd.interop.vibronic import HARTREE_EV, vibronic_hamiltonian, write_matrices


def write(folder: Path, couplings: Couplings) -> int:
    """Write the Hamiltonian of every frame interval, k from zero, in Rydberg; return how many.

    States of the window count from one in the order of the columns, valence first: column `couplings.vbm` is
    PYXAID's orbital vbm + 1. Its input names them by Ham_re_prefix = FOLDER/0_Ham_, Ham_re_suffix = _re (and
    _im), energy_units = Ry.
    """
    hamiltonian = vibronic_hamiltonian(couplings) / (HARTREE_EV / 2)
    write_matrices(folder, "0_Ham_", hamiltonian)
    return len(hamiltonian)
