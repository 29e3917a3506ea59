"""Radial functions from `.ion.xml`: the basis as the code really used it.

The values are R(r) / r^l in Bohr^(-3/2 - l) on a uniform grid; they are the only trustworthy source of a
radius, since HONPAS may have replaced the orbitals asked for by Gaussian fits with longer tails.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

from n2amd.dft.files import DECOMPRESSORS, read_text
from n2amd.dft.siesta.constants import Constants
from n2amd.dft.siesta.ion_potentials import read_potentials
from n2amd.dft.siesta.ion_radial import entry, read_radial
from n2amd.errors import InputError
from n2amd.frames.ingredients import AtomIngredients
from n2amd.orbitals.basis import AtomBasis, Shell

LETTERS = "spdfghi"


def shell_label(n: int, l: int, zeta: int) -> str:
    """Name a shell, e.g. "3d", "3d z2"."""
    return f"{n}{LETTERS[l]}" + (f" z{zeta}" if zeta > 1 else "")


@dataclass(frozen=True)
class Ion:
    """What an .ion.xml file says of a species.

    Attributes
    ----------
    label
        SIESTA's label of the species.
    atom
        Shells in the code's own order, with radial functions in Angstrom.
    projector_radius
        Largest radius of the pseudopotential's projectors, Angstrom.
    ingredients
        What H0 needs of the species beside the shells; None where the file lacks it.
    lacks
        Why there are none; empty where there are.
    """

    label: str
    atom: AtomBasis
    projector_radius: float
    ingredients: AtomIngredients | None = None
    lacks: str = ""


def read_ion_xml(path: str | Path, constants: Constants) -> Ion:
    """Read one species.

    Parameters
    ----------
    path
        LABEL.ion.xml, plain or compressed.
    constants
        Those of the run.

    Raises
    ------
    InputError
        If the file is not an ion file, is cut, or describes a ghost or mixed atom.
    """
    path = Path(path)
    stat = path.stat()
    return _read(path, stat.st_mtime_ns, stat.st_size, constants)


@lru_cache(maxsize=64)
def _read(path: Path, modified: int, size: int, constants: Constants) -> Ion:
    """Read the file; the time and size are part of the cache's key."""
    # the preamble is free text of the program's log, not XML
    text = re.sub(r"<preamble>.*?</preamble>", "", read_text(path), flags=re.DOTALL)
    try:
        root = ElementTree.fromstring(text)
        number = int(entry(root, "z"))
        shells = tuple(_shell(orbital, constants.bohr) for orbital in root.findall("paos/orbital"))
        valence = float(entry(root, "valence"))
        projectors = [float(entry(radial, "cutoff")) for radial in root.findall("kbs/projector/radfunc")]
        label = entry(root, "label").strip()
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
    atom = AtomBasis(number, shells, valence)
    radius = max(projectors, default=0.0) * constants.bohr
    return Ion(label, atom, radius, *read_potentials(root, atom, constants))


def _shell(orbital: ElementTree.Element, bohr: float) -> Shell:
    n, l, zeta = (int(orbital.attrib[key]) for key in ("n", "l", "z"))
    label = shell_label(n, l, zeta)
    return Shell(l, label, read_radial(orbital, label, bohr, 1.5 + l))


def find_ion_files(folder: Path) -> list[Path]:
    """List the .ion.xml files of a frame folder, or those of the folder above; none where neither has any."""
    for place in (folder, folder.parent):
        if found := sorted({path for end in ("", *DECOMPRESSORS) for path in place.glob(f"*.ion.xml{end}")}):
            return found
    return []


def read_ions(folder: str | Path, constants: Constants, labels: Collection[str] = ()) -> tuple[Ion, ...]:
    """Read the species of a run from the .ion.xml files in its folder, or in the folder above.

    Parameters
    ----------
    folder
        Frame folder.
    constants
        Those of the run.
    labels
        Labels of the run's species, where they are known: the files of others are left aside.

    Returns
    -------
    ions
        One for each label that has a file; none where there are no files.

    Raises
    ------
    InputError
        If two species of one element have different orbitals, or one species has two files.
    """
    ions: dict[str, Ion] = {}
    for path in find_ion_files(Path(folder)):
        if labels and path.name.partition(".ion.xml")[0] not in labels:
            continue
        ion = read_ion_xml(path, constants)
        if ion.label in ions:
            raise InputError(
                f"a second file of species {ion.label}",
                file=path,
                remedy="keep the files of one run together",
            )
        if any(ion.atom != other.atom for other in ions.values() if other.atom.number == ion.atom.number):
            raise InputError(
                f"a second species of element {ion.atom.number} has other orbitals",
                file=path,
                remedy="use one basis for each element",
            )
        ions[ion.label] = ion
    return tuple(ions.values())
