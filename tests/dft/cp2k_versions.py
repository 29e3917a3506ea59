"""Rewrites the log of a CP2K 2023.1 run as another version prints it.

Formats: CP2K's source at the tags v7.1 to v2026.2 (force_env_methods.F, force_env_utils.F, cell_methods.F,
particle_methods.F, virial_methods.F, qs_mo_io.F, qs_scf_csr_write.F).
"""

from __future__ import annotations

import re

VERSIONS = ("7.1", "8.2", "9.1", "2022.1", "2023.1", "2024.1", "2024.3", "2025.1", "2026.2")
_FLOATS = r"((?:\s+-?\d+\.\d+){3})"


def as_version(log: str, version: str) -> str:
    """The log in the format of a version."""
    major, minor = (int(part) for part in version.split("."))
    log = log.replace("CP2K version 2023.1", f"CP2K version {version}")
    log = _energy(log, major, minor)
    if major < 2023:
        log = _old_structure(log, charge_decimals=2 if major == 7 else 4)
    if major == 7:
        log = _old_eigenvalues(_old_stress(log))
    if major >= 2025:
        log = _stress_in_bar(with_forces(log))
    return log


def _energy(log: str, major: int, minor: int) -> str:
    """The energy line; a free energy follows since 2024.3, a gap since 2025.1."""

    def rewrite(match: re.Match[str]) -> str:
        value = float(match[1])

        def line(what: str, unit: str, shown: float, colon: str = "") -> str:
            text = f" ENERGY| Total FORCE_EVAL ( QS ) {what} {unit}{colon}"
            return f"{text:54}{shown:26.15f}"

        if major == 7:
            return line("energy", "(a.u.)", value, ":")
        if major < 2025:
            lines = [line("energy", "[a.u.]", value, ":")]
            if (major, minor) == (2024, 3):
                lines += ["", line("free energy", "[a.u.]", value - 0.1, ":")]
            return "\n".join(lines)
        gap, free = line("gap", "[hartree]", 0.05), line("free energy", "[hartree]", value - 0.1)
        return "\n\n".join([line("energy", "[hartree]", value), gap, free])

    pattern = r"^ ENERGY\| Total FORCE_EVAL \( QS \) energy \[a\.u\.\]:\s+(\S+)$"
    log, count = re.subn(pattern, rewrite, log, flags=re.MULTILINE)
    assert count == 1
    return log


def _old_structure(log: str, charge_decimals: int) -> str:
    """Before 2023: no periodicity, and other columns of the atoms."""
    log, count = re.subn(r"^ CELL(_TOP|_REF)?\| Periodicity.*\n", "", log, flags=re.MULTILINE)
    assert count

    def atom(match: re.Match[str]) -> str:
        number, kind, symbol, z, *rest = match[0].split()
        x, y, height, charge, mass = (float(word) for word in rest)
        return (
            f" {number:>7} {kind:>5} {symbol:2} {z:>3}{x:12.6f}{y:12.6f}{height:12.6f}"
            f"    {charge:{4 + charge_decimals}.{charge_decimals}f}  {mass:11.4f}"
        )

    head, table = log.split("ATOMIC COORDINATES IN ANGSTROM", 1)
    pattern = r"^\s+\d+\s+\d+ [A-Z][a-z]?\s+\d+" + _FLOATS + r"\s+\S+\s+\S+$"
    table, count = re.subn(pattern, atom, table, flags=re.MULTILINE)
    assert count
    return head.replace("MODULE QUICKSTEP:", "MODULE QUICKSTEP: ") + "ATOMIC COORDINATES IN angstrom" + table


def _old_stress(log: str) -> str:
    def rewrite(match: re.Match[str]) -> str:
        rows = [[float(word) for word in line.split()[2:]] for line in match[1].splitlines()]
        lines = ["", " " * 12 + "X" + " " * 15 + "Y" + " " * 15 + "Z"]
        lines += [
            f"  {axis} " + "".join(f" {value:15.8f}" for value in row) for axis, row in zip("XYZ", rows)
        ]
        return "\n".join([" STRESS TENSOR [GPa]", *lines, ""])

    pattern = r"^ STRESS\| Analytical stress tensor \[GPa\]\n.*\n((?: STRESS\|\s+[xyz].*\n){3})"
    log = re.sub(pattern, rewrite, log, flags=re.MULTILINE)
    return re.sub(r"^ STRESS\|.*\n", "", log, flags=re.MULTILINE)


def _stress_in_bar(log: str) -> str:
    def rewrite(match: re.Match[str]) -> str:
        return match[1] + "".join(f" {1e4 * float(word):19.11E}" for word in match[2].split())

    log = log.replace("Analytical stress tensor [GPa]", "Analytical stress tensor [bar]")
    return re.sub(r"^( STRESS\|\s+[xyz] *)((?: +\S+E\S+){3})$", rewrite, log, flags=re.MULTILINE)


def _old_eigenvalues(log: str) -> str:
    def rewrite(match: re.Match[str]) -> str:
        lines = ["", match[1], "", "# MO index          MO eigenvalue [a.u.]            MO occupation"]
        for line in match[2].splitlines():
            _, index, value, _, occupation = line.split()
            lines.append(f" {index:>9}  {float(value):28.10f} {float(occupation):24.10f}")
        return "\n".join(
            [*lines, "# Sum" + f"{8:60.10f}", "", "  Fermi energy:         -0.1000000000", "", ""]
        )

    pattern = r"^ MO\| (.*EIGENVALUES.*)\n MO\|\s*\n MO\|\s+Index.*\n((?: MO\|\s+\d.*\n)+)(?: MO\|.*\n)*"
    return re.sub(pattern, rewrite, log, flags=re.MULTILINE)


def with_forces(log: str, unit: str = "hartree/bohr", factor: float = 1.0) -> str:
    """Forces in the format since 2025, in a unit that is worth 1 / factor of the default."""
    rows = re.findall(r"^\s+(\d+)\s+\d+\s+[A-Z][a-z]?" + _FLOATS + "$", log, re.MULTILINE)
    lines = [
        f" FORCES| Atomic forces [{unit}]",
        " FORCES|   Atom       x              y              z         |f|",
    ]
    for number, row in rows:
        force = [factor * float(word) for word in row.split()]
        norm = sum(x * x for x in force) ** 0.5
        lines.append(f" FORCES|{number:>7} " + "".join(f" {x:15.8E}" for x in force) + f"  {norm:15.8E}")
    lines += [" FORCES| Sum     0.0  0.0  0.0", " FORCES| Total atomic force  0.0", ""]
    pattern = r"^ ATOMIC FORCES in \[a\.u\.\][\s\S]*?SUM OF ATOMIC FORCES.*\n"
    log, count = re.subn(pattern, "\n".join(lines), log, flags=re.MULTILINE)
    assert (count, bool(rows)) in ((1, True), (0, False))
    return log
