"""Spherical neutral atoms from orbitals and their mean occupation, where a code's own are not at hand.

Any density with the right charge serves: V_NA + V_H[rho - rho_atoms] does not change when V_NA contains the
Hartree potential of the same rho_atoms.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_simpson
from scipy.special import erf

from n2amd.blocks.matrix import BlockMatrix
from n2amd.errors import InputError
from n2amd.frames.ingredients import Ingredients
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction
from n2amd.orbitals.bessel_transform import interpolate

#: Widths of the two Gaussian charges that are exchanged to shift the zero of the potential, Angstrom.
EXCHANGED = 0.5, 0.75
#: Spacing of densities and potentials, Angstrom.
STEP = 0.01


def mean_populations(
    basis: Basis, matrices: Iterable[tuple[BlockMatrix, BlockMatrix]]
) -> dict[int, NDArray[np.float64]]:
    """Mean electrons per shell of each element, those of on-site blocks of D S alone, (n_shells,).

    Parameters
    ----------
    basis
        Orbitals of the matrices.
    matrices
        Density matrices (spins are added) and overlaps of frames.
    """
    sums: dict[int, NDArray[np.float64]] = {}
    for density, overlap in matrices:
        for (z, other), index in density.pairs.items():
            if z != other or not index.on_site.any():
                continue
            here = density.values[z, z][:, index.on_site].sum(axis=0)
            of_orbitals = np.einsum("nab,nab->a", here, overlap.values[z, z][0, index.on_site])
            shells = np.add.reduceat(of_orbitals, np.array(basis[z].offsets))
            sums[z] = sums.get(z, np.zeros(len(shells))) + np.maximum(shells, 0.0)
    return {z: value / value.sum() for z, value in sums.items()}


def atomic_density(atom: AtomBasis, populations: NDArray[np.float64]) -> RadialFunction:
    """Density of a neutral atom whose shells hold given shares of its valence electrons, 1/A^3.

    Raises
    ------
    InputError
        If the valence charge is unknown.
    """
    if atom.valence_charge <= 0:
        raise InputError(f"the valence charge of element {atom.number} is unknown", field="basis")
    radii = [shell.radial.cutoff for shell in atom.shells if isinstance(shell.radial, RadialFunction)]
    r = STEP * np.arange(int(np.ceil(max(radii) / STEP - 1e-9)) + 1)
    total = np.zeros(len(r))
    for shell, share in zip(atom.shells, populations):
        radial = shell.radial
        assert isinstance(radial, RadialFunction)
        inside = r < radial.cutoff
        total[inside] += share * (interpolate(radial)(r[inside]) * r[inside] ** shell.l) ** 2
    charge = float(cumulative_simpson(4 * np.pi * r**2 * total, dx=STEP)[-1])
    return RadialFunction(STEP, total * (atom.valence_charge / charge), max(radii))


def screened_nucleus(
    density: RadialFunction, charge: float, width: float, rydberg: float, bohr: float
) -> RadialFunction:
    """Potential energy of an electron near a neutral atom: a Gaussian core of charge and its electrons, eV.

    Parameters
    ----------
    density
        Of the electrons, 1/A^3; their number is `charge`.
    charge
        Of the core, e.
    width
        Its potential is -charge erf(r / width) / r, Angstrom.
    rydberg, bohr
        One Rydberg in eV and one Bohr in Angstrom.
    """
    r = density.step * np.arange(len(density.values))
    inner = cumulative_simpson(4 * np.pi * r**2 * density.values, dx=density.step, initial=0)
    shell = cumulative_simpson(4 * np.pi * r * density.values, dx=density.step, initial=0)
    beyond = np.maximum(r, 1e-9)
    core = np.where(r > 1e-6, erf(beyond / width) / beyond, 2 / (np.sqrt(np.pi) * width))
    scale = charge / inner[-1]
    electrons = scale * (np.where(r > 1e-6, inner / beyond, 0.0) + shell[-1] - shell)
    return RadialFunction(density.step, 2 * rydberg * bohr * (electrons - charge * core), density.cutoff)


def with_shifted_zero(
    density: RadialFunction, potential: RadialFunction, shift: float, units: Ingredients
) -> tuple[RadialFunction, RadialFunction]:
    """Change an atom's density and, by the Hartree potential of the change, its neutral potential.

    Parameters
    ----------
    density, potential
        Of one spacing, 1/A^3 and eV.
    shift
        Wanted change of the integral of the potential over space, eV A^3.
    units
        For the Rydberg and the Bohr.
    """
    coulomb = 2 * units.rydberg * units.bohr
    r = density.step * np.arange(len(density.values))
    shapes = [np.exp(-((r / w) ** 2)) / (np.pi**1.5 * w**3) for w in EXCHANGED]
    potentials = [erf(np.maximum(r, 1e-9) / w) / np.maximum(r, 1e-9) for w in EXCHANGED]
    moments = [1.5 * w**2 for w in EXCHANGED]
    # the potential of a neutral change integrates to -2 pi / 3 times its second moment
    amount = -3 * shift / (2 * np.pi * coulomb * (moments[1] - moments[0]))
    changed = density.values + amount * (shapes[1] - shapes[0])
    shifted = potential.values + amount * coulomb * (potentials[1] - potentials[0])
    return (
        RadialFunction(density.step, changed, density.cutoff),
        RadialFunction(potential.step, shifted, potential.cutoff),
    )
