"""The main output of a CP2K run: basis, atoms, images, energy, forces, stress, and what was computed how.

Numbers are returned in n2amd units, converted with the constants that the run prints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.files import read_text
from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis, Shell

#: CP2K's Hartree (eV) and Bohr (Angstrom), CODATA 2006, where the log does not print them.
HARTREE_EV = 27.2113838565563
BOHR_ANGSTROM = 0.529177208590
#: eV/A^3 in the units in which stress is printed.
_PRESSURE = {"GPa": 1 / 160.21766208, "bar": 1 / 1602176.6208}
_L = "spdfghi"
_NUMBER = r"\s+([-+]?\d\S*)"


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
        Periodic directions.
    positions, numbers
        As printed, 6 decimals, (n_atoms, 3), Angstrom; atomic numbers.
    atoms
        Basis of every element.
    images
        Lattice vector of every image of H and of S, (n_images, 3); the keys are "KS" and "S".
    n_spin
        1 (RKS) or 2 (UKS).
    n_electrons, charge
        Electrons in the cell; charge in e.
    energy, fermi_level, forces, stress
        eV, eV, eV/A, eV/A^3; None where they are not printed.
    origin
        version, functional, k_mesh, mesh_cutoff, basis.
    """

    hartree: float
    cell: NDArray[np.float64]
    pbc: tuple[bool, bool, bool]
    positions: NDArray[np.float64]
    numbers: NDArray[np.int64]
    atoms: dict[int, AtomBasis]
    images: dict[str, NDArray[np.int64] | None]
    n_spin: int
    n_electrons: float
    charge: float
    energy: float
    fermi_level: float | None
    forces: NDArray[np.float64] | None
    stress: NDArray[np.float64] | None
    eigenvalues: NDArray[np.float64] | None
    origin: dict[str, str]


class _Text:
    """The text of a log, searched with one kind of failure."""

    def __init__(self, path: Path) -> None:
        self.path, self.text = path, read_text(path)

    def fail(self, problem: str, field: str, remedy: str) -> InputError:
        return InputError(problem, file=self.path, field=field, remedy=remedy)

    def all(self, pattern: str) -> list[str]:
        return re.findall(pattern, self.text, re.MULTILINE)

    def last(self, pattern: str, field: str) -> str:
        """Return the last match, without which the log is of no use."""
        found = self.all(pattern)
        if not found:
            raise self.fail(
                f"{field} is not printed: the log is cut or its PRINT_LEVEL is below MEDIUM",
                field,
                "copy the whole log, or run the frame again with PRINT_LEVEL MEDIUM",
            )
        return found[-1]

    def constant(self, pattern: str, default: float) -> float:
        """Return a constant from the list at the head of the log, a default where the list is not printed."""
        found = self.all(pattern + _NUMBER)
        return float(found[0]) if found else default

    def rows(self, pattern: str, width: int) -> NDArray[np.float64]:
        """Numbers of all lines that match, (n, width)."""
        return np.array(self.all(pattern), dtype=float).reshape(-1, width)


def read_log(path: Path) -> Log:
    """Read the main output of a single point.

    Raises
    ------
    InputError
        If the log is cut, is of several geometries, or its SCF cycle did not converge.
    """
    log = _Text(path)
    _require_one_converged_step(log)
    try:
        return _parse(log)
    except ValueError as error:
        raise log.fail(
            f"a number in the log is damaged ({error})", "log", "copy it again from the run"
        ) from None


def _parse(log: _Text) -> Log:
    hartree = log.constant(r"\[a\.u\.\] -> \[eV\]", HARTREE_EV)
    bohr = log.constant(r"\[a\.u\.\] = \[Bohr\] -> \[Angstrom\]", BOHR_ANGSTROM)
    cell = log.rows(r"^ CELL\| Vector [abc] \[angstrom\]?:?" + 3 * _NUMBER, 3)
    periodic = log.last(r"^ CELL\| Periodicity\s+(\w+)", "CELL")
    table = log.rows(r"^\s+\d+\s+\d+ [A-Z][a-z]?\s+(\d+)" + 3 * _NUMBER + r"\s+\S+\s+\S+\s*$", 4)
    if len(cell) < 3 or not len(table):
        raise log.fail("no cell or no atomic coordinates", "ATOMIC COORDINATES", "copy the whole log")
    electrons = [float(n) for n in log.all(r"^ Number of electrons:\s+(\d+)")]
    n_spin = int(log.last(r"^ DFT\| Number of spin states\s+(\d)", "Number of spin states"))
    if len(electrons) < n_spin:
        raise log.fail("the number of electrons is not printed", "Number of electrons", "copy the whole log")
    fermi = log.all(r"Fermi energy:" + _NUMBER)
    return Log(
        hartree=hartree,
        cell=cell[-3:],
        pbc=("X" in periodic, "Y" in periodic, "Z" in periodic),
        positions=table[:, 1:],
        numbers=table[:, 0].astype(np.int64),
        atoms=_basis(log),
        images={what: _images(log, what) for what in ("KS", "S")},
        n_spin=n_spin,
        n_electrons=sum(electrons[:n_spin]),
        charge=float(log.last(r"^ DFT\| Charge\s+(-?\d+)", "Charge")),
        energy=hartree * float(log.last(r"^ ENERGY\| Total FORCE_EVAL.*:\s+(\S+)", "ENERGY|")),
        fermi_level=hartree * float(fermi[-1]) if fermi else None,
        forces=_forces(log, len(table), hartree / bohr),
        stress=_stress(log),
        eigenvalues=_eigenvalues(log, n_spin, hartree),
        origin=_origin(log),
    )


def _require_one_converged_step(log: _Text) -> None:
    outcomes = log.all(r"SCF run (NOT converged|converged)")
    if not outcomes or outcomes[-1] != "converged":
        raise log.fail(
            "the log does not end with a converged SCF cycle", "SCF", "run the frame again to convergence"
        )
    if (steps := len(log.all(r"^ ENERGY\| Total FORCE_EVAL"))) > 1:
        raise log.fail(
            f"the log has {steps} energies, the CSR files are of one geometry",
            "ENERGY|",
            "run every frame as a single point in its own folder",
        )


def _basis(log: _Text) -> dict[int, AtomBasis]:
    """Shells of every kind, in the order of the orbitals: set by set, shell by shell."""
    number = {label: int(z) for label, z in _kinds(log).items()}
    atoms: dict[int, AtomBasis] = {}
    parts = re.split(r"^\s+\d+\. Atomic kind: (\S+)\s+Number of atoms:.*$", log.text, flags=re.MULTILINE)
    for label, text in zip(parts[1::2], parts[2::2]):
        shells: dict[tuple[str, str], tuple[int, str]] = {}
        orbitals = text.split("Normalised Cartesian orbitals:")
        for group, shell, n, letter in re.findall(
            r"^\s+(\d+)\s+(\d+)\s+(\d+)([spdfghi])[xyz\d]*\s+[-\d.]+\s+[-\d.]+\s*$",
            orbitals[1].split("MOLECULE KIND")[0] if len(orbitals) > 1 else "",
            re.MULTILINE,
        ):
            shells.setdefault((group, shell), (_L.index(letter), n + letter))
        charge = re.search(r"Electronic configuration \(s p d \.\.\.\):((?:\s+\d+)+)", text)
        if not shells or label not in number:
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
            number[label],
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


def _kinds(log: _Text) -> dict[str, str]:
    """Atomic number of every kind, from the table of coordinates and the list of kinds."""
    kinds = re.findall(r"^\s+(\d+)\. Atomic kind: (\S+)", log.text, re.MULTILINE)
    rows = re.findall(r"^\s+\d+\s+(\d+) [A-Z][a-z]?\s+(\d+)(?:\s+[-\d.]+){5}\s*$", log.text, re.MULTILINE)
    number = dict(rows)
    return {label: number[kind] for kind, label in kinds if kind in number}


def _images(log: _Text, what: str) -> NDArray[np.int64] | None:
    """Lattice vectors of the images, None of a run without &KPOINTS."""
    found = re.search(
        rf"^ *{what} CSR write\| *(\d+) periodic images\n *Number +X +Y +Z\n((?:(?: +-?\d+){{4}} *\n)+)",
        log.text,
        re.MULTILINE,
    )
    if found is None:
        return None
    table = np.array([row.split() for row in found[2].splitlines()], dtype=np.int64)
    if len(table) != int(found[1]) or not np.array_equal(table[:, 0], np.arange(1, len(table) + 1)):
        raise log.fail(
            f"{len(table)} images of {what} are listed, {found[1]} announced", f"{what} CSR write|",
            "copy the whole log",
        )  # fmt: skip
    return table[:, 1:]


def _eigenvalues(log: _Text, n_spin: int, hartree: float) -> NDArray[np.float64] | None:
    """Eigenvalues of the last print of &MO, eV, (n_spin, n_bands); without &KPOINTS those of Gamma."""
    tables = re.findall(
        r"^ MO\|.*EIGENVALUES.*\n(?: MO\|\s*\n)? MO\|\s+Index.*\n((?: MO\|(?:\s+[-+\d.E]+){3,4}\s*\n)+)",
        log.text,
        re.MULTILINE,
    )[-n_spin:]
    energies = [[float(row.split()[2]) for row in table.splitlines()] for table in tables]
    if len(energies) < n_spin or len({len(spin) for spin in energies}) != 1:
        return None
    return hartree * np.array(energies)


def _forces(log: _Text, n_atoms: int, unit: float) -> NDArray[np.float64] | None:
    if "ATOMIC FORCES in [a.u.]" in log.text:
        block = log.text.split("ATOMIC FORCES in [a.u.]")[-1].split("SUM OF ATOMIC FORCES")[0]
        pattern = r"^\s+\d+\s+\d+\s+[A-Z]\S*" + 3 * _NUMBER + r"\s*$"
    elif "FORCES| Atomic forces [hartree/bohr]" in log.text:
        block = log.text.split("FORCES| Atomic forces [hartree/bohr]")[-1]
        pattern = r"^ FORCES\|\s+\d+" + 3 * _NUMBER + r"\s+\S+\s*$"
    else:
        return None
    forces = np.array(re.findall(pattern, block, re.MULTILINE), dtype=float).reshape(-1, 3)
    if len(forces) != n_atoms:
        raise log.fail(f"forces on {len(forces)} of {n_atoms} atoms", "ATOMIC FORCES", "copy the whole log")
    return forces * unit


def _stress(log: _Text) -> NDArray[np.float64] | None:
    """CP2K prints the pressure tensor, positive under compression: minus the stress."""
    found = re.search(
        r"^ STRESS\| Analytical stress tensor \[(GPa|bar)\]\n.*\n((?: STRESS\|\s+[xyz].*\n){3})",
        log.text,
        re.MULTILINE,
    )
    if found is None:
        return None
    rows = [line.split()[2:5] for line in found[2].splitlines()]
    return -np.array(rows, dtype=float) * _PRESSURE[found[1]]


def _origin(log: _Text) -> dict[str, str]:
    entries = {
        "version": log.all(r"^ CP2K\| version string:\s+CP2K version (\S+)"),
        "functional": log.all(r"^ FUNCTIONAL\| (\w+):"),
        "k_mesh": [" ".join(mesh) for mesh in log.all(r"^ BRILLOUIN\| K-Point grid" + 3 * r"\s+(\d+)")],
        "mesh_cutoff": [
            f"{2 * float(cutoff):g} Ry" for cutoff in log.all(r"^ QS\| Density cutoff \[a\.u\.\]:" + _NUMBER)
        ],
        "basis": [", ".join(dict.fromkeys(log.all(r"^\s+Orbital Basis Set\s+(\S+)")))],
    }
    return {name: found[0] for name, found in entries.items() if found and found[0]}
