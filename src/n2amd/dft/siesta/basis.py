"""The basis of a run: its .ion.xml files, or without them the shells that the HSX file lists."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.siesta.constants import Constants
from n2amd.dft.siesta.hsx import read_hsx
from n2amd.dft.siesta.ion_xml import Ion, read_ions
from n2amd.dft.siesta.matrices import SparseMatrices, Species
from n2amd.dft.siesta.run import Run
from n2amd.dft.siesta.tables import OrbitalTable
from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis, Basis, Shell
from n2amd.structure import Structure


def read_run_ions(
    run: Run, matrices: SparseMatrices, table: OrbitalTable | None, constants: Constants
) -> tuple[Ion, ...]:
    """Read the .ion.xml files of the run's own species; none where there are no files."""
    labels = {entry.label for entry in matrices.species}
    if not labels and table is not None:
        labels = {str(label) for label in table.species}
    return read_ions(run.folder, constants, labels)


def basis_of_run(
    run: Run,
    matrices: SparseMatrices,
    structure: Structure,
    species: NDArray[np.int64],
    ions: tuple[Ion, ...],
) -> Basis:
    """Put together the basis of the elements of a structure.

    Parameters
    ----------
    run, matrices, structure
        The run.
    species
        Species index of each atom, (n_atoms,).
    ions
        Its .ion.xml files. Without any, the shells are those of HSX and have no radial functions.

    Raises
    ------
    InputError
        If the file of an element is missing, or two species of one element have different orbitals.
    """
    present = sorted({int(z) for z in structure.numbers})
    if ions:
        atoms = {ion.atom.number: ion.atom for ion in ions}
        for z in present:
            if z not in atoms:
                raise InputError(
                    f"no .ion.xml file of element {z}, only of {sorted(atoms)}",
                    file=run.folder,
                    field="basis",
                    remedy="copy LABEL.ion.xml of every species from the run",
                )
        return Basis({z: atoms[z] for z in present})
    listed: dict[int, AtomBasis] = {}
    for index, entry in enumerate(_species_tables(run, matrices)):
        for z in np.unique(structure.numbers[species == index]):
            atom = AtomBasis(int(z), tuple(Shell(*shell) for shell in entry.shells), entry.valence)
            if listed.setdefault(int(z), atom) != atom:
                raise InputError(
                    f"a second species of element {z} has other orbitals",
                    file=run.folder,
                    field="basis",
                    remedy="use one basis for each element",
                )
    return Basis(listed)


def _species_tables(run: Run, matrices: SparseMatrices) -> tuple[Species, ...]:
    """Species tables of the matrices' own file, or of the HSX beside a TSHS."""
    if matrices.species:
        return matrices.species
    if (hsx := run.find("HSX")) is not None:
        return read_hsx(hsx).species
    raise InputError(
        "the shells of the basis are unknown: there is no .ion.xml file here nor in the folder above, and no "
        f"{run.label}.HSX",
        file=run.folder,
        field="basis",
        remedy="copy LABEL.ion.xml of every species from the run",
    )


def interaction_reach(structure: Structure, ions: tuple[Ion, ...]) -> NDArray[np.float64] | None:
    """For each atom, its largest orbital radius and any projector's, Angstrom (n_atoms,); None if unknown.

    H connects two orbitals that overlap, and two that reach the projectors of one third atom.
    """
    if not ions:
        return None
    projector = max(ion.projector_radius for ion in ions)
    radius = {ion.atom.number: ion.atom.cutoff or 0.0 for ion in ions}
    return np.array([radius[int(z)] + projector for z in structure.numbers])
