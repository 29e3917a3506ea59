"""How each code puts H on its mesh: the numbers that make H0 the code's own Hamiltonian."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.frames.mesh import Mesh, cp2k_mesh, openmx_mesh, pyscf_mesh, siesta_mesh

#: Gaussians end, on the mesh, where the square root of the norm left out falls to this. Measured for silicon
#: in DZVP-MOLOPT-SR, max |H - H_DFT| and largest error of a band up to n_occupied + 5: 1e-6 0.008 and 0.06
#: meV, 1e-5 0.08 and 0.5 meV, 1e-4 0.8 and 3.7 meV, at 1, 0.6 and 0.35 of the time.
GAUSSIAN_TAIL: Final = 1e-5
#: The same for the functions that densities are written in, which are products of two orbitals.
DENSITY_TAIL: Final = 1e-3
#: Blocks of Gaussians that overlap less than this are left out of H0: in silicon they have 0.01 meV.
SMALLEST_OVERLAP: Final = 1e-7


@dataclass(frozen=True)
class Discretisation:
    """Rules of a code.

    Attributes
    ----------
    mesh
        Mesh of a cell (rows, Angstrom) for a cutoff (Ry) with the code's Bohr (Angstrom).
    gradient
        Of the density on the mesh, see `n2amd.baseline.mesh_gradient`.
    digits
        Whose parameters the functional has, see `n2amd.baseline.functionals`.
    centred
        The mesh has its middle on the atoms, not its first point on the corner of the cell.
    bare_blocks
        Projectors alone do not connect two orbitals: blocks without overlap are left out.
    tail
        Orbitals end where this much of their norm (square root) is left; 0: where their tables end.
    density_tail
        The same, of the orbitals that density functions are made of.
    smallest_overlap
        Blocks end where overlaps do, at this value; 0: where orbitals (and projectors) end.
    no_average
        What has a Coulomb potential without an average in the cell, which sets the zero of energies: the
        "change" of the density of neutral atoms, all electrons and nuclei as "points", or as "cores", the
        Gaussian charges whose potential is the long-ranged part of a pseudopotential.
    energies
        Neutral atoms repel each other as SIESTA has it, so that total energies and forces are known.
    """

    mesh: Callable[[NDArray[np.float64], float, float], Mesh]
    gradient: str
    digits: str = "siesta"
    centred: bool = False
    bare_blocks: bool = False
    tail: float = 0.0
    density_tail: float = 0.0
    smallest_overlap: float = 0.0
    no_average: Literal["change", "points", "cores"] = "change"
    energies: bool = False


# PBE's parameters in CP2K are those of SIESTA (src/xc/xc_pbe.F of its 2022 and 2023 versions)
_KNOWN: Final = {
    "siesta": Discretisation(siesta_mesh, "siesta", energies=True),
    "openmx": Discretisation(openmx_mesh, "openmx", centred=True, bare_blocks=True, energies=True),
    "pyscf": Discretisation(
        pyscf_mesh,
        "fourier",
        "libxc",
        tail=GAUSSIAN_TAIL,
        density_tail=DENSITY_TAIL,
        smallest_overlap=SMALLEST_OVERLAP,
        no_average="points",
    ),
    "cp2k": Discretisation(
        cp2k_mesh,
        "fourier",
        tail=GAUSSIAN_TAIL,
        density_tail=DENSITY_TAIL,
        smallest_overlap=SMALLEST_OVERLAP,
        no_average="cores",
    ),
}


def find_discretisation(scheme: str) -> Discretisation:
    """Return the rules of a code.

    Raises
    ------
    InputError
        If there are none.
    """
    if scheme not in _KNOWN:
        raise InputError(
            f"H0 does not know how {scheme!r} discretises",
            field="ingredients",
            remedy=f"use data of one of {', '.join(_KNOWN)}, or a newer n2amd",
        )
    return _KNOWN[scheme]
