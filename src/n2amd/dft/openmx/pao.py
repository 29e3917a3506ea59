"""The radial tables of a basis, SPECIES.pao: where they are found and what they hold."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from n2amd.dft.files import read_text
from n2amd.dft.openmx.keywords import LETTERS, RunInput, Species
from n2amd.dft.openmx.tables import find_table, read_block
from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis, Basis, PaoTable, Shell
from n2amd.units import OPENMX_BOHR_ANGSTROM

REMEDY = "copy it again from the PAO folder of OpenMX' DFT_DATA"


def read_basis(folder: Path, run: RunInput) -> Basis:
    """Basis of the elements of a run, with radial functions where their .pao file is found.

    See `n2amd.dft.openmx.tables.find_table` for the places.

    Raises
    ------
    InputError
        If two species of one element have different orbitals, or a .pao file lacks what the input asks for.
    """
    atoms: dict[int, AtomBasis] = {}
    for species, valence in sorted(set(zip(run.species, run.valence)), key=lambda entry: entry[0].name):
        path = find_table(folder, species.table, "pao", run.values.get("data.path"))
        shells = shells_of(species, path)
        atom = AtomBasis(atomic_numbers[species.element], shells, valence)
        if atoms.setdefault(atom.number, atom) != atom:
            raise InputError(
                f"two kinds of {species.element} atoms: with other orbitals or another valence "
                f"({species.basis}, {valence:g} electrons)",
                file=folder,
                field="basis",
                remedy="use one basis for each element",
            )
    return Basis(dict(sorted(atoms.items())))


def shells_of(species: Species, path: Path | None) -> tuple[Shell, ...]:
    """List the shells of a species in OpenMX' order, with radial functions where there is a .pao file."""
    kinds = [(l, n) for l, count in enumerate(species.multiplicity) for n in range(count)]
    if path is None:
        return tuple(Shell(l, f"{LETTERS[l]}{n + 1}") for l, n in kinds)
    stat = path.stat()
    cutoff, tables = _read(path, stat.st_mtime_ns, stat.st_size)
    shells = []
    for l, n in kinds:
        if l >= len(tables) or n + 2 >= tables[l].shape[1]:
            raise InputError(
                f"the basis {species.basis} needs {n + 1} functions of l = {l}, the file has fewer",
                file=path,
                field=f"pseudo.atomic.orbitals.L={l}",
                remedy="use the .pao file of the run",
            )
        radii, values = tables[l][:, 1], tables[l][:, 2 + n]
        radial = PaoTable(
            radii * OPENMX_BOHR_ANGSTROM, values * OPENMX_BOHR_ANGSTROM**-1.5, cutoff * OPENMX_BOHR_ANGSTROM
        )
        shells.append(Shell(l, f"{LETTERS[l]}{n + 1}", radial))
    return tuple(shells)


@lru_cache(maxsize=32)
def _read(path: Path, modified: int, size: int) -> tuple[float, list[NDArray[np.float64]]]:
    """Cutoff (Bohr) and, for each l, the table ln r, r, R_0(r), R_1(r), ...; all as in the file.

    The time and size of the file are part of the cache's key.
    """
    text = read_text(path)
    entry = re.search(r"^\s*radial\.cutoff\.pao\s+([\d.]+)", text, re.MULTILINE)
    highest = re.search(r"^\s*PAO\.Lmax\s+(\d+)", text, re.MULTILINE)
    if entry is None or highest is None:
        raise InputError(
            "no radial.cutoff.pao or no PAO.Lmax: not a .pao file, or cut", file=path, remedy=REMEDY
        )
    return float(entry[1]), [
        read_block(path, text, f"pseudo.atomic.orbitals.L={l}", 3, REMEDY) for l in range(int(highest[1]) + 1)
    ]
