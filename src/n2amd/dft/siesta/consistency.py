"""Comparisons across the files of a frame: species, basis, supercell and geometry must be of one run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.siesta.constants import CODATA_2018, LEGACY, Constants
from n2amd.dft.siesta.fdf import read_logical, read_number
from n2amd.dft.siesta.ion_xml import shell_label
from n2amd.dft.siesta.matrices import SparseMatrices
from n2amd.dft.siesta.supercell import BOND_TOLERANCE, wrong_geometry
from n2amd.dft.siesta.tables import OrbitalTable
from n2amd.errors import InputError
from n2amd.orbitals.basis import Basis
from n2amd.structure import Structure

#: Largest disagreement of orbital radii, printed with 3 decimals of a Bohr, Angstrom.
RADIUS_TOLERANCE = 1e-3
#: Largest disagreement of one Fermi level or energy between two files (eV), and of one force (eV/A).
LEVEL_TOLERANCE, FORCE_TOLERANCE = 1e-4, 1e-3
#: What the input calls the numbers of spin components, hyphens left out.
SPIN_NAMES = {
    1: ("none", "np", "nonpolarized", "nonpolarised", "unpolarized", "unpolarised"),
    2: ("p", "polarized", "polarised", "collinear", "colinear"),
    4: ("nc", "noncollinear", "noncolinear"),
    8: ("so", "soc", "spinorbit"),
}
ONE_RUN = "keep the files of one run together"


def _names(shells: tuple[tuple[int, str], ...]) -> str:
    return ", ".join(name for _, name in shells)


def _orbital(entry: tuple[int, str, int, float | None]) -> str:
    atom, name, m, radius = entry
    return f"{name} m={m} of atom {atom + 1}" + (f" with radius {radius:.3f} A" if radius else "")


def check_atoms(
    folder: Path, matrices: SparseMatrices, structure: Structure, species: NDArray[np.int64]
) -> None:
    """Compare the atoms and their species (n_atoms,) in the file of the matrices with XV."""
    known = matrices.atom_species
    if matrices.n_atoms != structure.n_atoms or (known is not None and not np.array_equal(known, species)):
        raise InputError(
            f"the {matrices.n_atoms} atoms in the file of the matrices have other species than the "
            f"{structure.n_atoms} in XV",
            file=folder,
            field="XV",
            remedy=ONE_RUN,
        )


def check_elements(
    folder: Path, structure: Structure, species: NDArray[np.int64], elements: dict[int, int]
) -> None:
    """Compare the elements in XV with those of the input's species, where it lists them."""
    for atom, (index, z) in enumerate(zip(species.tolist(), structure.numbers.tolist()), 1):
        if elements.get(index, z) != z:
            raise InputError(
                f"atom {atom} of species {index + 1} is element {z} in XV and {elements[index]} in the input",
                file=folder,
                field="ChemicalSpeciesLabel",
                remedy=ONE_RUN,
            )


def check_input(
    folder: Path, settings: Mapping[str, str], structure: Structure, n_components: int, charge: float
) -> None:
    """Compare atoms, spin and charge with the input, as far as it gives them."""
    older_keys = {"spinorbit": "so", "noncollinearspin": "nc", "spinpolarized": "p"}
    older = next((kind for key, kind in older_keys.items() if read_logical(settings.get(key))), "")
    spin = re.sub(r"[^a-z]", "", settings.get("spin", older).split("+")[0].lower())
    kinds = {kind: n for n, names in SPIN_NAMES.items() for kind in names}
    given: dict[str, tuple[float | None, float]] = {
        "NumberOfAtoms": (_number(settings.get("numberofatoms")), structure.n_atoms),
        "Spin (components)": (kinds.get(spin), n_components),
        "NetCharge": (_number(settings.get("netcharge")), charge),
    }
    if "supercell" in settings:  # the atoms are those of the smaller cell
        del given["NumberOfAtoms"]
    for key, (expected, found) in given.items():
        if expected is not None and not abs(expected - found) <= 1e-3:
            raise InputError(
                f"{key} is {expected:g} in the fdf input, {found:g} in the run",
                file=folder,
                field=key.split()[0],
                remedy=ONE_RUN,
            )


def _number(word: str | None) -> float | None:
    try:
        return read_number((word or "").split()[0])
    except (ValueError, IndexError):
        return None


def check_level(folder: Path, fermi_level: float, of_log: float | None) -> None:
    """Compare the Fermi level of EIG with that at the end of the log, where there is one (eV)."""
    if of_log is not None and not abs(fermi_level - of_log) <= LEVEL_TOLERANCE:
        raise InputError(
            f"Fermi level {fermi_level:.6f} eV in EIG, {of_log:.6f} eV at the end of the log: "
            "of two runs or steps",
            file=folder,
            field="EIG, log",
            remedy=ONE_RUN,
        )


def check_energy(path: Path, energy: float, of_log: tuple[float, ...]) -> None:
    """Compare the energy of FORCE_STRESS with those at the end of the log, where there are any (eV)."""
    # an unknown version may have either Rydberg
    ratio = CODATA_2018.rydberg / LEGACY.rydberg
    known = [x * factor for x in of_log for factor in (1, ratio, 1 / ratio)]
    if known and not min(abs(energy - x) for x in known) <= LEVEL_TOLERANCE + 1e-7 * abs(energy):
        raise InputError(
            f"the energy is {energy:.6f} eV, {of_log[0]:.6f} eV at the end of the log: of two runs or steps",
            file=path,
            field="energy",
            remedy=ONE_RUN,
        )


def check_forces(path: Path, forces: NDArray[np.float64], others: NDArray[np.float64]) -> None:
    """Compare the forces (n_atoms, 3) of LABEL.FA with those of FORCE_STRESS, zero where atoms are held."""
    if forces.shape != others.shape:
        problem = f"forces on {len(forces)} atoms, FORCE_STRESS has {len(others)}"
    elif (error := float(np.abs(np.where(others == 0, 0.0, forces - others)).max())) > FORCE_TOLERANCE:
        problem = (
            f"the forces differ from those of FORCE_STRESS by up to {error:.3g} eV/A: of two runs or steps"
        )
    else:
        return
    raise InputError(problem, file=path, field="forces", remedy=ONE_RUN)


def check_basis(
    folder: Path,
    matrices: SparseMatrices,
    structure: Structure,
    species: NDArray[np.int64],
    basis: Basis,
) -> None:
    """Compare the shells in the file of the matrices with those of the .ion.xml files."""
    remedy = "use the .ion.xml files of this run, and one basis in a data set"
    for index, entry in enumerate(matrices.species):
        for z in np.unique(structure.numbers[species == index]):
            expected, valence = tuple((s.l, s.label) for s in basis[z].shells), basis[z].valence_charge
            if entry.shells != expected or abs(entry.valence - valence) > 1e-6:
                raise InputError(
                    f"another basis: HSX has {_names(entry.shells)} (valence {entry.valence:g}) for "
                    f"{entry.label}, the .ion.xml file {_names(expected)} (valence {valence:g})",
                    file=folder,
                    field="basis",
                    remedy=remedy,
                )
    counts = np.bincount(matrices.orbital_atom, minlength=structure.n_atoms)
    if np.any(wrong := counts != basis.orbital_counts(structure.numbers)):
        atom = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"another basis: atom {atom + 1} has {counts[atom]} orbitals in the file of the matrices, "
            f"{basis[structure.numbers[atom]].n_orbitals} in the .ion.xml file",
            file=folder,
            field="basis",
            remedy=remedy,
        )


def check_orbitals(
    folder: Path,
    matrices: SparseMatrices,
    table: OrbitalTable,
    structure: Structure,
    basis: Basis,
    constants: Constants,
) -> None:
    """Compare ORB_INDX with the matrices and with the .ion.xml files; raise `InputError` if they differ."""
    n_supercell = matrices.n_orbitals * matrices.n_images
    in_cell = np.arange(n_supercell) % matrices.n_orbitals
    same_cell = np.array_equal(matrices.orbital_atom, table.atom[: table.n_orbitals])
    if not same_cell or not np.array_equal(in_cell, table.unit_orbital):
        raise InputError(
            f"the file of the matrices has {matrices.n_orbitals} orbitals in the cell and {n_supercell} in "
            f"the supercell, ORB_INDX {table.n_orbitals} and {len(table.unit_orbital)}, or another order",
            file=folder,
            field="ORB_INDX",
            remedy="use the ORB_INDX of a run with the same cell, atoms and supercell",
        )
    orbitals = [
        (atom, shell.label, m, shell.radial.cutoff if shell.radial else None)
        for atom, z in enumerate(structure.numbers)
        for shell in basis[z].shells
        for m in range(-shell.l, shell.l + 1)
    ]
    found = [
        (int(atom), shell_label(int(n), int(l), int(zeta)), int(m), float(radius) * constants.bohr)
        for atom, (n, l, m, zeta), radius in zip(table.atom, table.quantum[: table.n_orbitals], table.radius)
    ]
    for number, (ours, theirs) in enumerate(zip(orbitals, found, strict=True), 1):
        same_radius = ours[3] is None or abs(ours[3] - theirs[3]) <= RADIUS_TOLERANCE
        if ours[:3] != theirs[:3] or not same_radius:
            raise InputError(
                f"another basis: orbital {number} is {_orbital(theirs)} in ORB_INDX, "
                f"{_orbital(ours)} in .ion.xml",
                file=folder,
                field="basis",
                remedy="use the ORB_INDX and .ion.xml files of this run",
            )


def check_geometry(
    folder: Path, matrices: SparseMatrices, structure: Structure, constants: Constants
) -> None:
    """Compare the cell and the positions in the file of the matrices, where it has them, with XV."""
    if matrices.geometry is None:
        return
    cell, positions = matrices.geometry.cell * constants.bohr, matrices.geometry.positions * constants.bohr
    found, expected = np.concatenate([structure.cell, structure.positions]), np.concatenate([cell, positions])
    error = float(np.abs(found - expected).max())
    if error > BOND_TOLERANCE:
        ratio = float(np.linalg.norm(structure.cell) / np.linalg.norm(cell))
        raise wrong_geometry(folder, ratio, error)
