"""running_scf.log: what ABACUS computed, and the atoms as it read them.

Labels changed their capitals and tables their columns from version to version: labels are searched without
regard to capitals, tables by their heading. Source: ABACUS v3.2 to v3.8 (unitcell.cpp, klist.cpp,
output_log.cpp) and develop of 2025 and 2026 (print_cell.cpp, k_vector_utils.cpp, cal_nelec_nband.cpp).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.abacus.stru import BOHR_ANGSTROM
from n2amd.dft.files import read_text
from n2amd.errors import InputError

#: ABACUS' Rydberg in eV.
RYDBERG_EV = 13.605698
#: eV/A^3 in a kbar.
_KBAR = 1 / 1602.1766208
_NUMBER = r"\s+([-+]?\d\S*)"


@dataclass(frozen=True)
class Log:
    """What the log of a single point says.

    Attributes
    ----------
    n_spin
        1, 2 (collinear) or 4 (spinors).
    zetas
        Number of radial functions for l = 0, 1, ... of each species label.
    valence
        Valence electrons of each species label.
    n_electrons
        Electrons in the cell, with `nelec_delta`; None where `nelec` of INPUT sets them and is not printed.
    labels, coordinates
        Species label of each atom (with its number before version 3.9), and its coordinates, (n_atoms, 3):
        fractional where `direct`, else Cartesian, Angstrom, with the 6 digits of the lattice constant.
    direct
        Whether the coordinates are fractional.
    cell
        Lattice vectors, 6 digits, (3, 3), Angstrom.
    kpoints, weights
        Fractional k points (n_k, 3) and weights (n_k,).
    energy, fermi_level, forces, stress
        eV, eV, eV/A, eV/A^3; None where they are not printed.
    origin
        version, functional, k_mesh where they are known.
    """

    n_spin: int
    zetas: dict[str, tuple[int, ...]]
    valence: dict[str, float]
    n_electrons: float | None
    labels: tuple[str, ...]
    coordinates: NDArray[np.float64]
    direct: bool
    cell: NDArray[np.float64]
    kpoints: NDArray[np.float64]
    weights: NDArray[np.float64]
    energy: float | None
    fermi_level: float | None
    forces: NDArray[np.float64] | None
    stress: NDArray[np.float64] | None
    origin: dict[str, str]


def read_log(path: Path) -> Log:
    """Read running_scf.log.

    Raises
    ------
    InputError
        If the log is cut, or its SCF cycle did not converge.
    """
    text = read_text(path)
    _require_convergence(path, text)
    try:
        return _parse(path, text)
    except ValueError as error:
        raise InputError(
            f"a number in the log is damaged ({error})",
            file=path,
            field="log",
            remedy="copy it again from the run",
        ) from None


def _parse(path: Path, text: str) -> Log:
    constant = float(_last(path, text, r"lattice constant \(Bohr\) =" + _NUMBER, "lattice constant"))
    constant *= BOHR_ANGSTROM
    cell = constant * _table(
        path,
        text,
        r"Lattice vectors: \(Cartesian.*\n((?:(?:\s+[-+\d.eE]+){3}\s*\n){3})",
        "Lattice vectors",
        slice(0, 3),
    )
    labels, direct, coordinates = _atoms(path, text)
    zetas = _zetas(text)
    kpoints = _kpoints(path, text)
    energies = re.findall(
        r"FINAL_ETOT_IS\s+(\S+)\s+eV|final etot is\s+(\S+)\s+eV|#TOTAL ENERGY#\s+(\S+)\s+eV", text
    )
    fermi = re.findall(
        r"^\s*E_Fermi\s+[-+\d.]+\s+([-+\d.]+)|EFERMI\s*=\s*([-+\d.eE]+)\s*eV", text, re.MULTILINE
    )
    return Log(
        n_spin=int(_last(path, text, r"^\s+nspin\s*=\s*(\d)", "nspin")),
        zetas=zetas,
        valence=_valence(path, text),
        n_electrons=_electrons(path, text),
        labels=labels,
        coordinates=coordinates * (1.0 if direct else constant),
        direct=direct,
        cell=cell,
        kpoints=kpoints[:, :3],
        weights=kpoints[:, 3] / kpoints[:, 3].sum(),
        energy=float("".join(energies[-1])) if energies else None,
        fermi_level=float("".join(fermi[-1])) if fermi else None,
        forces=_forces(path, text, len(labels)),
        stress=_stress(text),
        origin=_origin(text),
    )


def _kpoints(path: Path, text: str) -> NDArray[np.float64]:
    """Fractional k points and weights, (n_k, 4), of the first table.

    It has all k points; a later one those of the first pool alone (`kpar`), spin after spin.
    """
    rows = re.search(r"KPOINTS +DIRECT_X.*\n((?:\s+\d+(?:\s+[-+\d.eE]+){4}.*\n)+)", text)
    if rows is None:
        raise _cut(path, "K-POINTS DIRECT COORDINATES")
    table = np.array([line.split()[1:5] for line in rows[1].splitlines() if line.strip()], dtype=float)
    half = len(table) // 2
    if half and np.array_equal(table[:half], table[half : 2 * half]) and 2 * half == len(table):
        return table[:half]  # of both spins
    return table


def _electrons(path: Path, text: str) -> float | None:
    """Electrons in the cell; None where `nelec` of INPUT sets them.

    ABACUS prints the sum over the pseudopotentials only where `nelec` does not, species by species and, since
    version 3.3, as "AUTOSET number of electrons"; then what is left after `nelec_delta`.
    """
    changed = re.findall(r"nelec now:?\s*=\s*(\S+)", text, re.IGNORECASE)
    if changed:
        return float(changed[-1])
    if re.search(r"nelec_delta is NOT zero", text):
        raise _cut(path, "nelec now")
    summed = re.findall(r"autoset (?:the )?number of electrons:?\s*=\s*(\S+)", text, re.IGNORECASE)
    if summed:
        return float(summed[-1])
    species = re.findall(r"total electron number of element \S+\s*=\s*(\S+)", text, re.IGNORECASE)
    return sum(map(float, species)) if species else None


def _valence(path: Path, text: str) -> dict[str, float]:
    """Valence electrons of each label, as the pseudopotentials have them, in the order of the species."""
    labels = re.findall(r"^\s+atom label\s*=\s*(\S+)", text, re.MULTILINE | re.IGNORECASE)
    charges = re.findall(r"^\s+valence electrons\s*=\s*(\S+)", text, re.MULTILINE | re.IGNORECASE)
    if len(charges) == len(labels):
        return {label: float(charge) for label, charge in zip(labels, charges)}
    found = re.findall(
        r"^\s+electron number of element (\S+)\s*=\s*(\S+)", text, re.MULTILINE | re.IGNORECASE
    )
    if {label for label, _ in found} != set(labels):
        raise _cut(path, "valence electrons")
    return {label: float(charge) for label, charge in found}


def _require_convergence(path: Path, text: str) -> None:
    outcomes = re.findall(
        r"charge density convergence is achieved|#SCF IS CONVERGED#|convergence has NOT been achieved"
        r"|[#!]SCF IS NOT CONVERGED",
        text,
    )
    if not outcomes or "NOT" in outcomes[-1]:
        raise InputError(
            "the log does not end with a converged SCF cycle",
            file=path,
            field="SCF",
            remedy="run the frame again to convergence (scf_nmax, scf_thr)",
        )


def _atoms(path: Path, text: str) -> tuple[tuple[str, ...], bool, NDArray[np.float64]]:
    """Labels, whether the coordinates are fractional, and these, else in units of the lattice constant.

    Rows begin with "tauc_Mo1" or "taud_Mo1" before version 3.9, with "Mo" since.
    """
    row = r"[ \t]*[A-Za-z]\S*(?:[ \t]+[-+\d.eE]+){3}.*\n"
    heading = r"^\s*(CARTESIAN|DIRECT) COORDINATES.*\n\s*atom .*\n"
    found = re.search(heading + f"((?:{row})+)", text, re.MULTILINE)
    if found is None:
        raise _cut(path, "COORDINATES")
    rows = [line.split() for line in found[2].splitlines()]
    labels = tuple(re.sub(r"^tau[cd]_", "", row[0]) for row in rows)
    announced = re.findall(r"TOTAL ATOM NUMBER\s*=\s*(\d+)", text)
    if announced and len(rows) != int(announced[-1]):
        raise _cut(path, "COORDINATES")
    table = np.array([row[1:4] for row in rows], dtype=float)
    return labels, found[1] == "DIRECT", table


def _zetas(text: str) -> dict[str, tuple[int, ...]]:
    zetas = {}
    for part in text.split("READING ATOM TYPE")[1:]:
        label = re.search(r"atom label\s*=\s*(\S+)", part, re.IGNORECASE)
        counts = re.findall(r"L=(\d+), number of zeta\s*=\s*(\d+)", part, re.IGNORECASE)
        if label and counts:
            zetas[label[1]] = tuple(int(count) for _, count in counts)
    return zetas


def _forces(path: Path, text: str, n_atoms: int) -> NDArray[np.float64] | None:
    parts = re.split(r"(?<!\S)#?TOTAL-FORCE \(eV/Angstrom\)", text)
    if len(parts) < 2:
        return None
    rows = re.findall(r"^\s*[A-Z][a-z]?\S*" + 3 * _NUMBER + r"\s*$", parts[-1], re.MULTILINE)[:n_atoms]
    if len(rows) != n_atoms:
        raise _cut(path, "TOTAL-FORCE")
    return np.array(rows, dtype=float)


def _stress(text: str) -> NDArray[np.float64] | None:
    """ABACUS prints the pressure tensor, positive under compression: minus the stress."""
    parts = re.split(r"#?TOTAL-STRESS \((?:KBAR|kbar)\)", text)
    rows = re.findall(r"^" + 3 * _NUMBER + r"\s*$", parts[-1], re.MULTILINE)[:3] if len(parts) > 1 else []
    return -_KBAR * np.array(rows, dtype=float) if len(rows) == 3 else None


def _origin(text: str) -> dict[str, str]:
    entries = {
        "version": re.findall(r"ABACUS v(\S+)", text),
        "functional": re.findall(r"exchange-correlation functional\s*=\s*(\S+)", text, re.IGNORECASE),
    }
    return {name: found[0] for name, found in entries.items() if found}


def _table(path: Path, text: str, pattern: str, field: str, columns: slice) -> NDArray[np.float64]:
    """Columns of the last table that a pattern finds."""
    found = re.findall(pattern, text)
    if not found:
        raise _cut(path, field)
    return np.array([line.split()[columns] for line in found[-1].splitlines() if line.strip()], dtype=float)


def _last(path: Path, text: str, pattern: str, field: str) -> str:
    found = re.findall(pattern, text, re.MULTILINE | re.IGNORECASE)
    if not found:
        raise _cut(path, field)
    return found[-1]


def _cut(path: Path, field: str) -> InputError:
    return InputError(
        f"{field} is not complete in the log: it is cut, or of a version of ABACUS that is not known",
        file=path,
        field=field,
        remedy="copy the whole running_scf.log of the run",
    )
