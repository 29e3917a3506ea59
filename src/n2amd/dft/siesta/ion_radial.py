"""Tables of a function of the radius in `.ion.xml`: orbitals, projectors, potentials, densities."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from n2amd.orbitals.basis import RadialFunction


def entry(element: ElementTree.Element, name: str) -> str:
    """Text of a child; raise `KeyError` where there is none."""
    text = element.findtext(name)
    if text is None:
        raise KeyError(f"<{name}> is missing")
    return text


def read_radial(parent: ElementTree.Element, what: str, bohr: float, power: float) -> RadialFunction:
    """Read the <radfunc> of an element.

    Parameters
    ----------
    parent
        The element that holds it.
    what
        Its name in messages.
    bohr
        One Bohr in Angstrom.
    power
        The values are in Bohr^-power; they come back in Angstrom^-power.

    Raises
    ------
    KeyError, ValueError
        If it is missing, cut, or its grid is not uniform.
    """
    radial = parent.find("radfunc")
    if radial is None:
        raise KeyError("<radfunc> is missing")
    points, step = int(entry(radial, "npts")), float(entry(radial, "delta"))
    table = np.array(entry(radial, "data").split(), dtype=float).reshape(-1, 2)
    if len(table) != points:
        raise ValueError(f"{what} has {len(table)} of {points} points")
    if not np.allclose(table[:, 0], step * np.arange(points), atol=1e-6):
        raise ValueError(f"the grid of {what} is not uniform")
    return RadialFunction(step * bohr, table[:, 1] * bohr**-power, float(entry(radial, "cutoff")) * bohr)
