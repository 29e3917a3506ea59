"""Files for Libra's NBRA workflow (Akimov, J. Comput. Chem. 37, 1626 (2016)): Hvib_sd and St_sd."""

from __future__ import annotations

from pathlib import Path

from n2amd.couplings.store import Couplings
from n2amd.interop.vibronic import HARTREE_EV, vibronic_hamiltonian, write_matrices


def write(folder: Path, couplings: Couplings) -> int:
    """Write Hvib_sd_{k}_re and _im (Hartree) and St_sd_{k}_re and _im of every interval; return how many.

    Hvib = E - i hbar d at t + dt/2 with d = (St - St^dagger) / 2 dt; St = <i(t)|j(t+dt)> is what local
    diabatisation needs. They are the text files of step4.get_Hvib2 with Hvib_re_prefix = Hvib_sd_ and
    Hvib_re_suffix = _re. The time step of Libra is in atomic units (41.341 for 1 fs), its states count from
    zero.
    """
    hamiltonian = vibronic_hamiltonian(couplings) / HARTREE_EV
    write_matrices(folder, "Hvib_sd_", hamiltonian)
    write_matrices(folder, "St_sd_", couplings.overlap)
    return len(hamiltonian)
