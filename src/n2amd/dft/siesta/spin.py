"""Spin of a SIESTA run: its components, the spin axis of a `BlockMatrix`, a spin that was held."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.siesta.fdf import read_logical, read_number
from n2amd.dft.siesta.log import Origin
from n2amd.errors import InputError

#: By the length of the spin axis: where the adjoint of a matrix finds its components.
ADJOINT_SPIN = {1: (0,), 2: (0, 1), 4: (0, 2, 1, 3)}


def spin_axis(components: NDArray[np.float64]) -> NDArray:
    """Bring the components of H to one (spinless), two (up, down) or four (uu, ud, du, dd) matrices.

    SIESTA diagonalises the matrix whose element of *column* orbital j and *row* orbital i is, with the
    phase exp(-i k (r_j - r_i)) and h1 .. h8 the components stored at (i, j):

        <j up|H|i up> = h1 + i h5,  <j up|H|i down> = h3 - i h4,
        <j down|H|i up> = h7 + i h8,  <j down|H|i down> = h2 + i h6

    (its `diag3k`; without spin-orbit coupling, `diag2k`, h5 = h6 = 0, h7 = h3, h8 = h4). The adjoint of
    that is <i s|H|j s'>, which is what a block holds. Taking the components as <i s|H|j s'> at once would
    transpose the orbitals, which is the opposite sign of spin-orbit coupling.

    Parameters
    ----------
    components
        (n, n_elements), n = 1, 2, 4 or 8.

    Returns
    -------
    hamiltonian
        (1, n_elements), (2, n_elements), or complex (4, n_elements).
    """
    if len(components) <= 2:
        return components
    if len(components) == 4:
        up, down, real, imaginary = components
        zero = np.zeros_like(up)
        components = np.stack([up, down, real, imaginary, zero, zero, real, imaginary])
    h1, h2, h3, h4, h5, h6, h7, h8 = components
    return np.stack([h1 - 1j * h5, h7 - 1j * h8, h3 + 1j * h4, h2 - 1j * h6])


def held_spin(origin: Origin) -> float | None:
    """Electrons of spin up less those of spin down that a run held; None where it held none.

    Such a run has a Fermi level for each spin, and writes 0 for the Fermi level. Spin.Fix and Spin.Total are
    called FixSpin and TotalSpin by older versions.

    Raises
    ------
    InputError
        If the input does not tell at how many.
    """
    settings = origin.settings
    if not read_logical(settings.get("spinfix", settings.get("fixspin"))):
        return None if settings or origin.facts is None else origin.facts.held_spin
    text = settings.get("spintotal", settings.get("totalspin", "0"))
    try:
        return read_number(text.split()[0])
    except (ValueError, IndexError):
        raise InputError(
            f"FixSpin holds the total spin at {text!r}, which is no number",
            field="TotalSpin",
            remedy="state TotalSpin in the input, and run the frame again with it",
        ) from None
