"""The vibronic Hamiltonian E - i hbar d of every frame interval, as PYXAID and Libra take it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.couplings.store import Couplings
from n2amd.storage import atomic_path

#: Hartree in eV (CODATA 2018).
HARTREE_EV = 27.211386245988


def vibronic_hamiltonian(couplings: Couplings) -> NDArray[np.complex128]:
    """Return E(t + dt/2) delta_ij - i hbar d_ij(t + dt/2), (F - 1, n, n), eV.

    Energies are the mean of both ends (Akimov, Prezhdo, J. Chem. Theory Comput. 9, 4959 (2013)). Hermitian,
    because hbar d is anti-Hermitian.
    """
    hamiltonian = -1j * couplings.nac
    diagonal = np.arange(couplings.energies.shape[1])
    hamiltonian[:, diagonal, diagonal] += 0.5 * (couplings.energies[1:] + couplings.energies[:-1])
    return hamiltonian


def write_matrices(folder: Path, name: str, matrices: NDArray) -> None:
    """Write NAME{k}_re and NAME{k}_im of every matrix as text, k from zero, row by row."""
    for number, matrix in enumerate(np.asarray(matrices, complex)):
        for suffix, part_of in (("re", matrix.real), ("im", matrix.imag)):
            with atomic_path(folder / f"{name}{number}_{suffix}") as part:
                np.savetxt(part, part_of, fmt="%23.15e")
