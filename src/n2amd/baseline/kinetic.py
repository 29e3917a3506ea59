"""The kinetic energy, T_ij = <phi_i| -1/2 nabla^2 |phi_j>, as a two-centre table."""

from __future__ import annotations

from dataclasses import replace

from n2amd.orbitals.basis import Basis
from n2amd.orbitals.bessel_transform import radial_transforms
from n2amd.orbitals.two_centre import SPLINE_STEP, OverlapTable


def kinetic_table(basis: Basis, rydberg: float, bohr: float, step: float = SPLINE_STEP) -> OverlapTable:
    """Tabulate the kinetic energy of every species pair.

    It is the overlap's quadrature with k^2 in it, hence with the DFT code's own radial grid: what a code
    calls T of orbitals that end with a slope depends on that grid. Nothing is cut below the sum of the radii,
    so that the energy of nearly empty directions is exact.

    Parameters
    ----------
    basis
        Every shell with its radial function.
    rydberg, bohr
        One Rydberg in eV and one Bohr in Angstrom: hbar^2 / 2m is their product, eV A^2.
    step
        Knot spacing, Angstrom.

    Returns
    -------
    table
        For `n2amd.orbitals.two_centre.overlap(table, structure)`, eV.

    Raises
    ------
    InputError
        If a shell has no radial function.
    """
    transforms = radial_transforms(basis)
    weights = transforms.weights * transforms.k**2 * (rydberg * bohr**2)
    return OverlapTable.from_transforms(basis, replace(transforms, weights=weights), step, tolerance=0.0)
