"""running_scf.log: what ABACUS computed, and the atoms as it read them."""

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
        Electrons in the cell, as ABACUS set them from the pseudopotentials.
    labels, positions
        Species label of each atom, and positions as read, (n_atoms, 3), Angstrom.
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
    n_electrons: float
    labels: tuple[str, ...]
    positions: NDArray[np.float64]
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
        path, text, r"Lattice vectors:.*\n((?:(?:\s+[-+\d.eE]+){3}\s*\n){3})", "Lattice vectors", slice(0, 3)
    )
    labels, positions = _atoms(path, text, constant, cell)
    valence = re.findall(r"^\s+electron number of element (\S+)\s*=\s*(\S+)", text, re.MULTILINE)
    electrons = re.findall(r"number of electrons\s*:?\s*=\s*([\d.]+)", text, re.IGNORECASE)
    if not electrons:
        raise _cut(path, "number of electrons")
    kpoints = _table(
        path, text, r"K-POINTS DIRECT COORDINATES\s*\n.*\n((?:\s+\d+(?:\s+[-+\d.eE]+){4}.*\n)+)",
        "K-POINTS DIRECT COORDINATES", slice(1, 5),
    )  # fmt: skip
    n_spin = int(_last(path, text, r"^\s+nspin\s*=\s*(\d)", "nspin"))
    if n_spin == 2:  # the k points of the second spin follow those of the first
        kpoints = kpoints[: len(kpoints) // 2]
    energies = re.findall(
        r"FINAL_ETOT_IS\s+(\S+)\s+eV|final etot is\s+(\S+)\s+eV|#TOTAL ENERGY#\s+(\S+)\s+eV", text
    )
    fermi = re.findall(
        r"^\s*E_Fermi\s+[-+\d.]+\s+([-+\d.]+)|EFERMI\s*=\s*([-+\d.eE]+)\s*eV", text, re.MULTILINE
    )
    return Log(
        n_spin=n_spin,
        zetas=_zetas(text),
        valence={label: float(charge) for label, charge in valence},
        n_electrons=float(electrons[-1]),
        labels=labels,
        positions=positions,
        cell=cell,
        kpoints=kpoints[:, :3],
        weights=kpoints[:, 3] / kpoints[:, 3].sum(),
        energy=float("".join(energies[-1])) if energies else None,
        fermi_level=float("".join(fermi[-1])) if fermi else None,
        forces=_forces(path, text, len(labels)),
        stress=_stress(text),
        origin=_origin(text),
    )


def _require_convergence(path: Path, text: str) -> None:
    outcomes = re.findall(
        r"charge density convergence is achieved|#SCF IS CONVERGED#|convergence has NOT been achieved"
        r"|#SCF IS NOT CONVERGED#",
        text,
    )
    if not outcomes or "NOT" in outcomes[-1]:
        raise InputError(
            "the log does not end with a converged SCF cycle",
            file=path,
            field="SCF",
            remedy="run the frame again to convergence (scf_nmax, scf_thr)",
        )


def _atoms(
    path: Path, text: str, constant: float, cell: NDArray[np.float64]
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    found = re.search(
        r"^\s*(CARTESIAN|DIRECT) COORDINATES.*\n\s+atom.*\n((?:\s*tau[cd]_\S+(?:\s+[-+\d.eE]+){3}.*\n)+)",
        text,
        re.MULTILINE,
    )
    if found is None:
        raise _cut(path, "COORDINATES")
    rows = [line.split() for line in found[2].splitlines()]
    labels = tuple(row[0].split("_", 1)[1] for row in rows)
    table = np.array([row[1:4] for row in rows], dtype=float)
    return labels, table @ (cell if found[1] == "DIRECT" else constant * np.eye(3))


def _zetas(text: str) -> dict[str, tuple[int, ...]]:
    zetas = {}
    for part in text.split("READING ATOM TYPE")[1:]:
        label = re.search(r"atom label\s*=\s*(\S+)", part)
        counts = re.findall(r"L=(\d+), number of zeta\s*=\s*(\d+)", part)
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
        "functional": re.findall(r"exchange-correlation functional\s*=\s*(\S+)", text),
    }
    return {name: found[0] for name, found in entries.items() if found}


def _table(path: Path, text: str, pattern: str, field: str, columns: slice) -> NDArray[np.float64]:
    """Columns of the last table that a pattern finds."""
    found = re.findall(pattern, text)
    if not found:
        raise _cut(path, field)
    return np.array([line.split()[columns] for line in found[-1].splitlines() if line.strip()], dtype=float)


def _last(path: Path, text: str, pattern: str, field: str) -> str:
    found = re.findall(pattern, text, re.MULTILINE)
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
