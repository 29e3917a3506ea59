"""Where contracted Gaussian basis sets come from: basis files in CP2K's format, and PySCF by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from n2amd.errors import InputError
from n2amd.orbitals.gaussians import ContractedShell
from n2amd.units import BOHR_ANGSTROM


@dataclass(frozen=True)
class GaussianSet:
    """Basis set of one element.

    Attributes
    ----------
    name
        First name in the file, or the name that was asked for.
    shells
        Contracted shells in the order of the code's orbitals.
    valence_charge
        Electrons of the pseudopotential it belongs to ("-q4" among the names), None where no name tells.
    """

    name: str
    shells: tuple[ContractedShell, ...]
    valence_charge: float | None = None


def read_cp2k_basis(path: str | Path, symbol: str, name: str) -> GaussianSet:
    """Read one basis set of a file in CP2K's format (BASIS_MOLOPT, GTH_BASIS_SETS).

    A set is the line "Element name [alias ...]", the number of exponent sets, and for each of them
    "n l_min l_max n_exponents n_shells(l_min) .. n_shells(l_max)" and a line an exponent: the exponent in
    1/Bohr^2 and one coefficient a shell.

    Parameters
    ----------
    path
        Basis file.
    symbol
        Chemical symbol.
    name
        Name or alias of the set, upper or lower case.

    Raises
    ------
    InputError
        If the file cannot be read, has no such set, or the set is not whole.
    """
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"cannot be read as a basis file ({error})", file=path, remedy="give CP2K's BASIS_MOLOPT or alike"
        ) from None
    lines = [line for line in (raw.partition("#")[0].split() for raw in text.splitlines()) if line]
    titles = {
        number: line
        for number, line in enumerate(lines)
        if re.fullmatch("[A-Za-z]{1,2}", line[0]) and line[1:]
    }
    of_element = {number: line[1:] for number, line in titles.items() if line[0].lower() == symbol.lower()}
    for number, names in of_element.items():
        if name.lower() in (alias.lower() for alias in names):
            shells = _Lines(lines, number + 1, path, f"{symbol} {names[0]}").shells()
            charges = [match for alias in names if (match := re.search(r"-q(\d+)$", alias))]
            return GaussianSet(names[0], shells, float(charges[0][1]) if charges else None)
    known = sorted({names[0] for names in of_element.values()})
    raise InputError(
        f"no basis set {name!r} of {symbol}",
        file=path,
        field="basis",
        remedy=f"choose one of {', '.join(known)}" if known else "give a file that has this element",
    )


def pyscf_basis(symbol: str, name: str) -> GaussianSet:
    """Look a basis set up in PySCF, for instance "gth-dzvp-molopt-sr".

    Raises
    ------
    InputError
        If PySCF is not installed, or has no such set.
    """
    try:
        from pyscf.gto.mole import format_basis
        from pyscf.lib.exceptions import BasisNotFoundError
    except ImportError:
        raise InputError(
            "basis sets by PySCF's names need PySCF, which is not installed",
            field="basis",
            remedy="pip install pyscf, or give a basis file in CP2K's format",
        ) from None
    try:
        entries = format_basis({symbol: name})[symbol]
    except (BasisNotFoundError, KeyError, RuntimeError, OSError):
        raise InputError(
            f"PySCF has no basis set {name!r} of {symbol}",
            field="basis",
            remedy="use a name it knows, such as gth-dzvp-molopt-sr",
        ) from None
    shells = []
    for l, *primitives in entries:
        table = np.array([row for row in primitives if not isinstance(row, int)])
        shells += [_shell(l, table[:, 0], column) for column in table[:, 1:].T]
    return GaussianSet(name, tuple(shells))


@dataclass
class _Lines:
    """Lines of a basis file from one on, with where they are from."""

    lines: list[list[str]]
    position: int
    path: str | Path
    title: str

    def numbers(self, at_least: int) -> list[float]:
        """Return the numbers of the next line."""
        line = self.lines[self.position] if self.position < len(self.lines) else []
        self.position += 1
        try:
            values = [float(word) for word in line]
        except ValueError:
            values = []
        if len(values) < at_least:
            raise InputError(
                f"expected a line of at least {at_least} numbers, found {' '.join(line) or 'the end'!r}",
                file=self.path,
                field=self.title,
                remedy="use a whole copy of the basis file",
            )
        return values

    def shells(self) -> tuple[ContractedShell, ...]:
        """Read all sets."""
        shells: list[ContractedShell] = []
        for _ in range(int(self.numbers(1)[0])):
            _, l_min, l_max, n_exponents, *counts = (int(value) for value in self.numbers(5))
            ls = [l for l, count in zip(range(l_min, l_max + 1), counts) for _ in range(count)]
            if len(counts) != l_max - l_min + 1:
                raise InputError(
                    f"{len(counts)} numbers of shells for l = {l_min} .. {l_max}",
                    file=self.path,
                    field=self.title,
                    remedy="use a whole copy of the basis file",
                )
            rows = [self.numbers(1 + len(ls)) for _ in range(n_exponents)]
            table = np.array([row[: 1 + len(ls)] for row in rows])
            shells += [_shell(l, table[:, 0], column) for l, column in zip(ls, table[:, 1:].T)]
        return tuple(shells)


def _shell(l: int, exponents: np.ndarray, coefficients: np.ndarray) -> ContractedShell:
    """Contracted shell from exponents in 1/Bohr^2, without the primitives it does not use."""
    used = coefficients != 0
    return ContractedShell(l, exponents[used] / BOHR_ANGSTROM**2, coefficients[used])
