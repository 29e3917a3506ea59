"""Radial functions from `.ion.xml`: the basis as the code really used it.

The values are R(r) / r^l in Bohr^(-3/2 - l) on a uniform grid; they are the only trustworthy source of a
radius, since HONPAS may have replaced the orbitals asked for by Gaussian fits with longer tails.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from n2amd.dft.files import read_text
from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.units import SIESTA_BOHR_ANGSTROM

LETTERS = "spdfghi"


def shell_label(n: int, l: int, zeta: int) -> str:
    """Name a shell, e.g. "3d", "3d z2"."""
    return f"{n}{LETTERS[l]}" + (f" z{zeta}" if zeta > 1 else "")


def read_ion_xml(path: str | Path) -> AtomBasis:
    """Read the orbitals of one species.

    Parameters
    ----------
    path
        LABEL.ion.xml or LABEL.ion.xml.xz.

    Returns
    -------
    atom
        Shells in the code's own order, with radial functions in Angstrom.

    Raises
    ------
    InputError
        If the file is not an ion file, is cut, or describes a ghost or mixed atom.
    """
    path = Path(path)
    stat = path.stat()
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _read(path: Path, modified: int, size: int) -> AtomBasis:
    """Read the file; the time and size are part of the cache's key."""
    # the preamble is free text of the program's log, not XML
    text = re.sub(r"<preamble>.*?</preamble>", "", read_text(path), flags=re.DOTALL)
    try:
        root = ElementTree.fromstring(text)
        number = int(_entry(root, "z"))
        shells = tuple(_shell(orbital) for orbital in root.findall("paos/orbital"))
        valence = float(_entry(root, "valence"))
    except (ElementTree.ParseError, ValueError, KeyError, IndexError) as error:
        raise InputError(
            f"not a complete .ion.xml file ({error})", file=path, remedy="copy it again from the run"
        ) from None
    if not 1 <= number <= 118:
        raise InputError(
            f"atomic number {number} is a ghost or mixed atom",
            file=path,
            field="z",
            remedy="use real elements only",
        )
    labels = [shell.label for shell in shells]
    if not shells or len(set(labels)) != len(labels):
        raise InputError(
            f"the orbitals are {labels or 'absent'}; each must be listed once",
            file=path,
            field="paos",
            remedy="check the basis of the run",
        )
    return AtomBasis(number, shells, valence)


def _entry(element: ElementTree.Element, name: str) -> str:
    text = element.findtext(name)
    if text is None:
        raise KeyError(f"<{name}> is missing")
    return text


def _shell(orbital: ElementTree.Element) -> Shell:
    n, l, zeta = (int(orbital.attrib[key]) for key in ("n", "l", "z"))
    radial = orbital.find("radfunc")
    if radial is None:
        raise KeyError("<radfunc> is missing")
    points, step = int(_entry(radial, "npts")), float(_entry(radial, "delta"))
    table = np.array(_entry(radial, "data").split(), dtype=float).reshape(-1, 2)
    if len(table) != points:
        raise ValueError(f"{shell_label(n, l, zeta)} has {len(table)} of {points} points")
    if not np.allclose(table[:, 0], step * np.arange(points), atol=1e-6):
        raise ValueError(f"the grid of {shell_label(n, l, zeta)} is not uniform")
    function = RadialFunction(
        step=step * SIESTA_BOHR_ANGSTROM,
        values=table[:, 1] * SIESTA_BOHR_ANGSTROM ** -(1.5 + l),
        cutoff=float(_entry(radial, "cutoff")) * SIESTA_BOHR_ANGSTROM,
    )
    return Shell(l, shell_label(n, l, zeta), function)


def find_ion_files(folder: Path) -> list[Path]:
    """List the .ion.xml files of a frame folder, or those of the folder above."""
    for place in (folder, folder.parent):
        if found := sorted({*place.glob("*.ion.xml"), *place.glob("*.ion.xml.xz")}):
            return found
    raise InputError(
        "no .ion.xml file here nor in the folder above",
        file=folder,
        remedy="copy LABEL.ion.xml of every species",
    )


def read_basis(folder: str | Path) -> Basis:
    """Read the basis of a run from the .ion.xml files in its folder, or in the folder above.

    Raises
    ------
    InputError
        If there is none, or two species of one element have different orbitals.
    """
    atoms: dict[int, AtomBasis] = {}
    for path in find_ion_files(Path(folder)):
        atom = read_ion_xml(path)
        if atoms.setdefault(atom.number, atom) != atom:
            raise InputError(
                f"a second species of element {atom.number} has other orbitals",
                file=path,
                remedy="use one basis for each element",
            )
    return Basis(atoms)
