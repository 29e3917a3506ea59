"""Energy, Fermi level, eigenvalues, forces and stress as CP2K prints them, version 7 to 2026.

Formats and units: CP2K's source, tags v7.1 to v2026.2 (force_env_methods.F, force_env_utils.F, qs_mo_io.F,
virial_methods.F, cp_units.F). Since 2025.1 the units of energy, forces and stress can be chosen.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.cp2k.text import NUMBER, LogText

#: eV in a kJ/mol.
_KJ_MOL = 1 / 96.48533212
#: eV/A^3 in the units in which stress is printed.
_PRESSURE = {
    "gpa": 1 / 160.21766208,
    "mpa": 1 / 160217.66208,
    "pa": 1 / 160.21766208e9,
    "bar": 1 / 1602176.6208,
    "kbar": 1 / 1602.1766208,
    "atm": 1.01325 / 1602176.6208,
}
#: "[a.u.]:" up to 2024, "(a.u.):" in version 7, "[hartree]" since 2025; a gap and a free energy may follow.
_ENERGY = r"^ ENERGY\| Total FORCE_EVAL \( \w+ \) energy [\[(]([^\])]+)[\])]:?\s+(\S+)"


def energy_units(hartree: float) -> dict[str, float]:
    """Return eV in every unit of energy that CP2K may print."""
    atomic = dict.fromkeys(("a.u.", "hartree", "au_e"), hartree)
    return {
        **atomic,
        "ev": 1.0,
        "kev": 1000.0,
        "ry": hartree / 2,
        "kjmol": _KJ_MOL,
        "kcalmol": 4.184 * _KJ_MOL,
    }


def read_energies(log: LogText, hartree: float) -> list[float]:
    """Read the total energy of every geometry, eV."""
    units = energy_units(hartree)
    return [log.unit(unit, units, "ENERGY|") * float(value) for unit, value in log.all(_ENERGY)]


def read_fermi_level(log: LogText, hartree: float) -> float | None:
    """Read the Fermi level of a smeared run, eV; None without smearing, where version 7 prints the HOMO."""
    found = log.all(
        r"(?:Electronic entropic energy|Smearing free energy correction):.*\n\s+Fermi energy:" + NUMBER
    )
    return hartree * float(found[-1]) if found else None


def read_eigenvalues(log: LogText, n_spin: int, hartree: float) -> NDArray[np.float64] | None:
    """Eigenvalues of the last print of &MO, eV, (n_spin, n_bands); without &KPOINTS those of Gamma."""
    row = r"(?:\s+[-+\d.E]+){3,4}\s*\n"
    tables = log.all(r"^ MO\|.*EIGENVALUES.*\n(?: MO\|\s*\n)? MO\|\s+Index.*\n((?: MO\|" + row + ")+)")
    column = 2
    if not tables:  # version 7
        tables, column = log.all(r"^# MO index +MO eigenvalue \[a\.u\.\].*\n((?:" + row + ")+)"), 1
    energies = [[float(line.split()[column]) for line in table.splitlines()] for table in tables[-n_spin:]]
    if len(energies) < n_spin or len({len(spin) for spin in energies}) != 1:
        return None
    return hartree * np.array(energies)


def read_forces(log: LogText, n_atoms: int, hartree: float, bohr: float) -> NDArray[np.float64] | None:
    """Forces of the last print, (n_atoms, 3), eV/A; None where they are not printed.

    Raises
    ------
    InputError
        If atoms are missing, or the unit is not known.
    """
    if headings := list(re.finditer(r"^ FORCES\| Atomic forces \[(.+)\]", log.text, re.MULTILINE)):
        block = log.text[headings[-1].end() :]
        pattern = r"^ FORCES\|\s+\d+" + 3 * NUMBER + r"\s+\S+\s*$"
        units = {
            name: energy / length
            for e, energy in energy_units(hartree).items()
            for l, length in {"bohr": bohr, "angstrom": 1.0, "au_l": bohr}.items()
            for name in (f"{e}/{l}", f"{e}*{l}^-1")
        } | {"au_f": hartree / bohr}
        unit = log.unit(headings[-1][1], units, "FORCES|")
    elif "ATOMIC FORCES in [a.u.]" in log.text:  # up to 2024
        block = log.text.split("ATOMIC FORCES in [a.u.]")[-1].split("SUM OF ATOMIC FORCES")[0]
        pattern = r"^\s+\d+\s+\d+\s+[A-Z]\S*" + 3 * NUMBER + r"\s*$"
        unit = hartree / bohr
    else:
        return None
    forces = np.array(re.findall(pattern, block, re.MULTILINE), dtype=float).reshape(-1, 3)
    if len(forces) != n_atoms:
        raise log.fail(f"forces on {len(forces)} of {n_atoms} atoms", "ATOMIC FORCES", "copy the whole log")
    return forces * unit


def read_stress(log: LogText) -> NDArray[np.float64] | None:
    """Stress, (3, 3), eV/A^3; CP2K prints the pressure tensor, positive under compression: minus the stress.

    Raises
    ------
    InputError
        If the unit is not known.
    """
    rows = r".*\n((?:(?: STRESS\|)? +[xyzXYZ]" + r" +\S+" * 3 + r" *\n){3})"
    found = log.all(r"^ STRESS\| (?:Analytical|Numerical) stress tensor \[(.+)\]\n" + rows)
    if not found:  # version 7
        found = log.all(r"^ (?:NUMERICAL )?STRESS TENSOR \[(.+)\]\n *\n" + rows)
    if not found:
        return None
    unit, table = found[-1]
    values = np.array([line.split()[-3:] for line in table.splitlines()], dtype=float)
    return -values * log.unit(unit, _PRESSURE, "STRESS|")
