"""Is a structure one that can be computed: a cell with volume, atoms of known elements, none on another."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
from ase.data import atomic_masses, chemical_symbols

from n2amd.config.job import Config
from n2amd.config.section import parse_supercell
from n2amd.errors import InputError
from n2amd.frames.checks import BY_NAME
from n2amd.structure import Structure
from n2amd.trajectory.health import contact

#: More atoms than this are no supercell that anything here is made for.
MOST_ATOMS = 200_000
#: Volume over the product of the lengths of the vectors, below which these nearly lie in a plane.
FLATTEST = 0.02
#: Time steps, fs: shorter ones are usually picoseconds, longer ones too long where there is hydrogen.
SHORTEST_STEP, LONGEST_STEP_OF_HYDROGEN = 0.1, 1.0
LIGHT_MASS = 4.0


def structure_faults(structure: Structure, file: Path) -> Iterator[InputError]:
    """Say what is wrong with a structure."""
    remedy = "correct the file, or take another structure"
    if not structure.n_atoms:
        yield InputError("the structure has no atoms", file=file, remedy=remedy)
        return
    if not (np.isfinite(structure.cell).all() and np.isfinite(structure.positions).all()):
        yield InputError("a position or lattice vector is not a finite number", file=file, remedy=remedy)
        return
    unknown = [int(z) for z in structure.numbers if not 1 <= z < len(chemical_symbols)]
    if unknown:
        yield InputError(
            "an atom is of no element (symbol X)", file=file, field="elements", remedy="name its element"
        )
        return
    lengths = np.linalg.norm(structure.cell, axis=1)
    flatness = structure.volume / max(float(np.prod(lengths)), 1e-300)
    least = BY_NAME["volume_per_atom"].low
    if structure.volume < 1e-6 or flatness < FLATTEST:
        yield InputError(
            f"the lattice vectors nearly lie in a plane (volume {structure.volume:.3g} A^3)",
            file=file,
            field="cell",
            remedy=remedy,
        )
    elif structure.volume / structure.n_atoms < least:
        yield InputError(
            f"the cell has {structure.volume / structure.n_atoms:.2f} A^3 an atom, less than {least:g}",
            file=file,
            field="cell",
            remedy="check the number of atoms and that lengths are in Angstrom",
        )
    elif (overlap := contact(structure)) is not None:
        yield InputError(f"{overlap}: they overlap", file=file, field="positions", remedy=remedy)


def supercell_faults(structure: Structure, supercells: list[str], file: Path) -> Iterator[InputError]:
    """Say which supercells are too large to be meant."""
    for text in supercells:
        if (n_atoms := structure.n_atoms * prod(parse_supercell(text))) > MOST_ATOMS:
            yield InputError(
                f"the supercell {text} has {n_atoms} atoms, more than {MOST_ATOMS}",
                file=file,
                field="supercells",
                remedy="take a smaller one",
            )


def timestep_warnings(job: Config, name: str, structure: Structure) -> Iterator[str]:
    """Say where a time step is likely in another unit, or too long for the lightest atoms."""
    step = job.section("trajectory", name).timestep_fs
    if step < SHORTEST_STEP:
        yield f"trajectory.timestep_fs = {step:g} is short: it is in femtoseconds (1 ps = 1000 fs)"
    lightest = float(atomic_masses[structure.numbers].min())
    if step > LONGEST_STEP_OF_HYDROGEN and lightest < LIGHT_MASS:
        yield (
            f"trajectory.timestep_fs = {step:g} is long for atoms as light as {lightest:.3g} u, whose "
            f"fastest motion takes about 10 fs: {LONGEST_STEP_OF_HYDROGEN:g} at most"
        )
