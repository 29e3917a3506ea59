"""The main output of a CP2K run: basis, atoms, images, energy, forces, stress, and what was computed how.

Numbers are returned in n2amd units, converted with the constants that the run prints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.cp2k.observables import (
    read_eigenvalues,
    read_energies,
    read_fermi_level,
    read_forces,
    read_stress,
)
from n2amd.dft.cp2k.setup import Setup, read_setup
from n2amd.dft.cp2k.text import NUMBER, LogText
from n2amd.orbitals.basis import AtomBasis, Shell

#: CP2K's Hartree (eV) and Bohr (Angstrom), CODATA 2006, where the log does not print them.
HARTREE_EV = 27.2113838565563
BOHR_ANGSTROM = 0.529177208590
_L = "spdfghi"
_KIND = r"^\s*(\d+)\. Atomic kind: (\S+)\s+Number of atoms:.*$"


@dataclass(frozen=True)
class Log:
    """What the main output of a single point says.

    Attributes
    ----------
    hartree
        CP2K's Hartree in eV, the unit of the matrices.
    cell
        Lattice vectors as printed, 3 decimals, (3, 3), Angstrom.
    pbc
        Periodic directions; None where they are not printed, before version 2023.
    positions, numbers
        As printed, 6 decimals, (n_atoms, 3), Angstrom; atomic numbers.
    atoms
        Basis of every element.
    images
        Lattice vector of every image of H and of S, (n_images, 3); the keys are "KS" and "S".
    n_spin
        1 (RKS) or 2 (UKS).
    n_electrons, spin, charge
        Electrons in the cell; those of spin up less those of spin down (UKS); charge in e.
    energy, fermi_level, forces, stress
        eV, eV, eV/A, eV/A^3; None where they are not printed.
    eigenvalues
        Of the last print of &MO, eV, (n_spin, n_bands); None where they are not printed.
    setup
        Pseudopotentials, grid, k points, occupation.
    origin
        version, functional, k_mesh, mesh_cutoff, basis, smearing, k_points.
    """

    hartree: float
    cell: NDArray[np.float64]
    pbc: tuple[bool, bool, bool] | None
    positions: NDArray[np.float64]
    numbers: NDArray[np.int64]
    atoms: dict[int, AtomBasis]
    images: dict[str, NDArray[np.int64] | None]
    n_spin: int
    n_electrons: float
    spin: float | None
    charge: float
    energy: float
    fermi_level: float | None
    forces: NDArray[np.float64] | None
    stress: NDArray[np.float64] | None
    eigenvalues: NDArray[np.float64] | None
    setup: Setup
    origin: dict[str, str]


def read_log(path: Path) -> Log:
    """Read the main output of a single point.

    Raises
    ------
    InputError
        If the log is cut, is of several geometries, or its SCF cycle did not converge.
    """
    log = LogText(path)
    _require_convergence(log)
    try:
        return _parse(log)
    except ValueError as error:
        raise log.fail(
            f"a number in the log is damaged ({error})", "log", "copy it again from the run"
        ) from None


def _parse(log: LogText) -> Log:
    hartree = log.constant(r"\[a\.u\.\] -> \[eV\]", HARTREE_EV)
    bohr = log.constant(r"\[a\.u\.\] = \[Bohr\] -> \[Angstrom\]", BOHR_ANGSTROM)
    lengths = {"angstrom": 1.0, "bohr": bohr, "pm": 0.01}
    vectors = log.all(r"^ CELL\| Vector [abc] \[(\w+)\]:?" + 3 * NUMBER)[-3:]
    kinds, numbers, positions = _coordinates(log, lengths)
    if len(vectors) < 3 or not len(numbers):
        raise log.fail("no cell or no atomic coordinates", "ATOMIC COORDINATES", "copy the whole log")
    electrons = [float(n) for n in log.all(r"^ Number of electrons:\s+(\d+)")]
    n_spin = int(log.last(r"^ DFT\| Number of spin states\s+(\d)", "Number of spin states"))
    if len(electrons) < n_spin:
        raise log.fail("the number of electrons is not printed", "Number of electrons", "copy the whole log")
    of_kinds = _texts_of_kinds(log, dict(zip(kinds, numbers.tolist())))
    setup = read_setup(log, of_kinds, hartree, bohr)
    periodic = log.all(r"^ CELL\| Periodicity\s+(\w+)")
    return Log(
        hartree=hartree,
        cell=np.array([row[1:] for row in vectors], dtype=float) * log.unit(vectors[0][0], lengths, "CELL"),
        pbc=periodic_axes(periodic[-1]) if periodic else None,
        positions=positions,
        numbers=numbers,
        atoms=_basis(log, dict(zip(kinds, numbers.tolist()))),
        images={what: _images(log, what) for what in ("KS", "S")},
        n_spin=n_spin,
        n_electrons=sum(electrons[:n_spin]),
        spin=electrons[0] - electrons[1] if n_spin == 2 else None,
        charge=float(log.last(r"^ DFT\| Charge\s+(-?\d+)", "Charge")),
        energy=_energy(log, hartree),
        fermi_level=read_fermi_level(log, hartree),
        forces=read_forces(log, len(numbers), hartree, bohr),
        stress=read_stress(log),
        eigenvalues=read_eigenvalues(log, n_spin, hartree),
        setup=setup,
        origin=_origin(log, setup),
    )


def periodic_axes(word: str) -> tuple[bool, bool, bool]:
    """Return the periodic directions that a word such as "XY" or "NONE" names."""
    return ("X" in word, "Y" in word, "Z" in word)


def _require_convergence(log: LogText) -> None:
    outcomes = log.all(r"SCF run (NOT converged|converged)")
    if not outcomes or outcomes[-1] != "converged":
        raise log.fail(
            "the log does not end with a converged SCF cycle", "SCF", "run the frame again to convergence"
        )


def _energy(log: LogText, hartree: float) -> float:
    energies = read_energies(log, hartree)
    if len(energies) > 1:
        raise log.fail(
            f"the log has {len(energies)} energies, the CSR files are of one geometry",
            "ENERGY|",
            "run every frame as a single point in its own folder",
        )
    if not energies:
        raise log.fail(
            "the total energy is not printed: the log is cut, its PRINT_LEVEL is below MEDIUM, or it is of a "
            "version of CP2K that is not known",
            "ENERGY|",
            "copy the whole log, or run the frame again with PRINT_LEVEL MEDIUM",
        )
    return energies[0]


def _coordinates(
    log: LogText, lengths: dict[str, float]
) -> tuple[list[str], NDArray[np.int64], NDArray[np.float64]]:
    """Number of the kind, atomic number and position (Angstrom) of every atom."""
    parts = re.split(r"^ MODULE \w+: +ATOMIC COORDINATES IN (\w+).*$", log.text, flags=re.MULTILINE)
    if len(parts) < 3:
        return [], np.empty(0, np.int64), np.empty((0, 3))
    rows = re.findall(
        r"^\s+\d+\s+(\d+) [A-Z][a-z]?\s+(\d+)" + 3 * NUMBER + r"\s+\S+\s+\S+\s*$", parts[-1], re.MULTILINE
    )
    unit = log.unit(parts[-2], lengths, "ATOMIC COORDINATES")
    table = np.array([row[1:] for row in rows], dtype=float).reshape(-1, 4)
    return [row[0] for row in rows], table[:, 0].astype(np.int64), unit * table[:, 1:]


def _basis(log: LogText, numbers: dict[str, int]) -> dict[int, AtomBasis]:
    """Shells of every kind, in the order of the orbitals: set by set, shell by shell.

    `numbers` has the atomic number of every kind by the number of the kind.
    """
    atoms: dict[int, AtomBasis] = {}
    parts = re.split(_KIND, log.text, flags=re.MULTILINE)
    for kind, label, text in zip(parts[1::3], parts[2::3], parts[3::3]):
        shells: dict[tuple[str, str], tuple[int, str]] = {}
        orbitals = text.split("Normalised Cartesian orbitals:")
        for group, shell, n, letter in re.findall(
            r"^\s+(\d+)\s+(\d+)\s+(\d+)([spdfghi])[xyz\d]*\s+[-\d.*]+\s+[-\d.*]+\s*$",
            orbitals[1].split("MOLECULE KIND")[0] if len(orbitals) > 1 else "",
            re.MULTILINE,
        ):
            shells.setdefault((group, shell), (_L.index(letter), n + letter))
        charge = re.search(r"Electronic configuration \(s p d \.\.\.\):((?:\s+\d+)+)", text)
        if not shells or kind not in numbers:
            raise log.fail(
                f"the orbitals of kind {label} are not printed", "ATOMIC KIND INFORMATION",
                "run the frame again with PRINT_LEVEL MEDIUM",
            )  # fmt: skip
        names = [name for _, name in shells.values()]
        unique = [
            name if names.count(name) == 1 else f"{name} z{names[: k + 1].count(name)}"
            for k, name in enumerate(names)
        ]
        atom = AtomBasis(
            numbers[kind],
            tuple(Shell(l, name) for (l, _), name in zip(shells.values(), unique)),
            float(sum(map(int, charge[1].split()))) if charge else 0.0,
        )
        if atoms.setdefault(atom.number, atom) != atom:
            raise log.fail(
                f"kind {label} has other orbitals than another kind of element {atom.number}",
                "ATOMIC KIND INFORMATION",
                "use one basis for each element",
            )
    return atoms


def _images(log: LogText, what: str) -> NDArray[np.int64] | None:
    """Lattice vectors of the images, None of a run without &KPOINTS.

    The number of an image has three digits: CP2K prints asterisks from 1000 on.
    """
    found = re.search(
        rf"^ *{what} CSR write\| *(\d+) periodic images\n *Number +X +Y +Z\n"
        r"((?: +(?:\d+|\*+)(?: +-?\d+){3} *\n)+)",
        log.text,
        re.MULTILINE,
    )
    if found is None:
        return None
    rows = [row.split() for row in found[2].splitlines()]
    order = [n for n, row in enumerate(rows, 1) if row[0] not in (str(n), "*" * len(row[0]))]
    if len(rows) != int(found[1]) or order:
        raise log.fail(
            f"{len(rows)} images of {what} are listed, {found[1]} announced", f"{what} CSR write|",
            "copy the whole log",
        )  # fmt: skip
    return np.array([row[1:] for row in rows], dtype=np.int64)


def _texts_of_kinds(log: LogText, numbers: dict[str, int]) -> dict[int, list[str]]:
    """What the log tells of every kind, by the atomic number of its element."""
    parts = re.split(_KIND, log.text.split(" MOLECULE KIND INFORMATION")[0], flags=re.MULTILINE)
    texts: dict[int, list[str]] = {}
    for kind, text in zip(parts[1::3], parts[3::3]):
        if kind in numbers:
            texts.setdefault(numbers[kind], []).append(text)
    return texts


def _origin(log: LogText, setup: Setup) -> dict[str, str]:
    entries = {
        "version": log.all(r"^ CP2K\| version string:\s+CP2K version (\S+)"),
        "functional": log.all(r"^ FUNCTIONAL\| (\w+):"),
        "k_mesh": [" ".join(mesh) for mesh in log.all(r"^ BRILLOUIN\| K-Point grid" + 3 * r"\s+(\d+)")],
        "mesh_cutoff": [
            f"{2 * float(cutoff):g} Ry" for cutoff in log.all(r"^ QS\| Density cutoff \[a\.u\.\]:" + NUMBER)
        ],
        "smearing": [setup.smearing],
        "k_points": [setup.k_points],
        "basis": [", ".join(dict.fromkeys(log.all(r"^\s+Orbital Basis Set\s+(\S+)")))],
    }
    return {name: found[0] for name, found in entries.items() if found and found[0]}
