"""Radial functions on a uniform grid, whatever form the DFT code gives them in: meshes need it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis, Basis, PaoTable, RadialFunction, Shell
from n2amd.orbitals.openmx_quadrature import interpolate

#: Spacing, Angstrom. Of the Si, S, Mo and H tables of OpenMX the splines on it differ by less than 1e-6.
STEP = 0.005


def on_uniform_grid(
    radii: NDArray[np.float64], values: NDArray[np.float64], l: int, cutoff: float, step: float = STEP
) -> RadialFunction:
    """Interpolate a table of f(r) as OpenMX does and divide it by r^l.

    Parameters
    ----------
    radii, values
        The table, (n_points,); below its first point f / r^l is constant.
    l
        Angular momentum.
    cutoff
        Where the function ends, Angstrom.
    step
        Spacing, Angstrom.
    """
    r = np.maximum(step * np.arange(int(np.ceil(cutoff / step - 1e-9)) + 1), radii[0])
    return RadialFunction(step, interpolate(radii, values, np.minimum(r, radii[-1])) / r**l, cutoff)


def uniform_basis(basis: Basis, tail: float = 0.0) -> Basis:
    """Return a basis with every radial function on a uniform grid; those that are on one stay as they are.

    Parameters
    ----------
    basis
        With radial functions.
    tail
        Functions end where the square root of the norm left out falls below this; 0: where their tables do.

    Raises
    ------
    InputError
        If a radial function is unknown.
    """
    return Basis({z: AtomBasis(z, _shells(basis[z], tail), basis[z].valence_charge) for z in basis.numbers})


def _shells(atom: AtomBasis, tail: float) -> tuple[Shell, ...]:
    return tuple(
        replace(shell, radial=_ended(_uniform(shell, atom.number), shell.l, tail)) for shell in atom.shells
    )


def _ended(radial: RadialFunction, l: int, tail: float) -> RadialFunction:
    if not tail:
        return radial
    r = radial.step * np.arange(len(radial.values))
    outside = np.cumsum(((radial.values * r ** (l + 1)) ** 2)[::-1])[::-1] * radial.step
    last = int(np.count_nonzero(outside > tail**2))
    cutoff = min(radial.cutoff, radial.step * last)
    return RadialFunction(radial.step, radial.values[: last + 1], cutoff)


def _uniform(shell: Shell, number: int) -> RadialFunction:
    radial = shell.radial
    if isinstance(radial, PaoTable):
        return on_uniform_grid(radial.radii, radial.values, shell.l, radial.cutoff)
    if radial is None:
        raise InputError(
            f"the radial function of shell {shell.label!r} of element {number} is unknown",
            field="basis",
            remedy="ingest the runs with their basis files (.ion.xml, .pao)",
        )
    return radial
