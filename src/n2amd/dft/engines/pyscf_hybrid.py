"""HSE06 in PySCF at any k point, also between those of the SCF mesh.

PySCF leaves out the exchange at G = 0 where two k points coincide, and puts an Ewald correction (J. Paier
et al., J. Chem. Phys. 122, 234102, 2005) in its place, on the mesh alone: its bands jump between the mesh
and the rest. The short-range kernel 4 pi (1 - exp(-G^2 / 4 omega^2)) / G^2 has the finite limit pi /
omega^2 at G = 0. With that limit the sum is smooth in k, and what the Ewald correction adds is a constant
for every occupied state, which any k point can have. On the mesh the result is PySCF's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyscf.pbc.tools.pbc import madelung

#: HSE06 in libxc: short-range exchange with omega (1/Bohr) and its share.
OMEGA, SHARE = 0.11, 0.25


def hybrid_fock(scf: Any, points: NDArray[np.float64]) -> NDArray[np.complex128]:
    """H(k) of HSE06 with the density of a converged SCF cycle.

    Parameters
    ----------
    scf
        KRKS on FFTDF: of HSE06, or of PBE for a one-shot hybrid.
    points
        K points, (n_k, 3), 1/Bohr.

    Returns
    -------
    hamiltonian
        (n_k, n, n), Hartree.
    """
    cell, density = scf.cell, scf.make_rdm1()
    semilocal = _semilocal(scf, "hse06", density, points)
    overlaps = np.asarray(scf.get_ovlp(cell, points))
    exchange = scf.with_df.get_jk(
        density, hermi=1, kpts=scf.kpts, kpts_band=points, with_j=False, omega=-OMEGA, exxdiv=None
    )[1]
    limit = np.pi / OMEGA**2 / (len(scf.kpts) * cell.vol)
    for k, q in _coincident(cell, points, scf.kpts):
        exchange[k] += limit * overlaps[k] @ density[q] @ overlaps[k]
    hamiltonian = semilocal - 0.5 * SHARE * exchange
    # the states whose density it is: those of PBE, or of HSE06 itself, which the correction does not mix
    parent = hamiltonian if scf.xc == "hse06" else _semilocal(scf, scf.xc, density, points)
    constant = madelung(cell.copy().set(omega=-OMEGA), scf.kpts) - limit
    for k, (h, s) in enumerate(zip(parent, overlaps)):
        occupied = s @ scf._eigh(h, s)[1][:, : cell.nelectron // 2]
        hamiltonian[k] -= SHARE * constant * (occupied @ occupied.conj().T)
    return hamiltonian


def _semilocal(
    scf: Any, functional: str, density: NDArray[np.complex128], points: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Core Hamiltonian, Coulomb, and the semilocal part of exchange and correlation."""
    coulomb = scf.with_df.get_jk(density, hermi=1, kpts=scf.kpts, kpts_band=points, with_k=False)[0]
    if scf.grids.coords is None:
        scf.grids.build()
    potential = scf._numint.nr_rks(
        scf.cell, scf.grids, functional, density, hermi=1, kpts=scf.kpts, kpts_band=points
    )[2]
    return np.asarray(scf.get_hcore(scf.cell, points)) + np.asarray(coulomb) + np.asarray(potential)


def _coincident(cell: Any, points: NDArray[np.float64], mesh: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Indices of points that are a mesh point, up to a reciprocal lattice vector."""
    difference = cell.get_scaled_kpts(points)[:, None] - cell.get_scaled_kpts(mesh)
    return [(int(k), int(q)) for k, q in np.argwhere(np.abs(difference - np.rint(difference)).max(-1) < 1e-6)]
