"""Numerical atomic orbitals: the .orb files that STRU names."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import simpson

from n2amd.dft.abacus.stru import BOHR_ANGSTROM
from n2amd.dft.files import read_text
from n2amd.errors import InputError
from n2amd.orbitals.basis import RadialFunction, Shell

_L = "spdfghi"


def shell_label(l: int, zeta: int) -> str:
    """Name of a radial function, zeta counted from 1: "d z2"."""
    return f"{_L[l]} z{zeta}"


def read_orbitals(path: Path) -> tuple[Shell, ...]:
    """Read the shells of one element, by l, then zeta.

    The file lists R(r) on a uniform grid from 0 to the cutoff, in Bohr^(-3/2); ABACUS normalises it by
    Simpson's rule, and so does this reader.

    Raises
    ------
    InputError
        If the file is cut or damaged.
    """
    text = read_text(path)
    try:
        points = int(re.findall(r"^Mesh\s+(\d+)", text, re.MULTILINE)[0])
        step = float(re.findall(r"^dr\s+(\S+)", text, re.MULTILINE)[0])
        announced = [int(n) for n in re.findall(r"^Number of [A-Z]orbital-->\s+(\d+)", text, re.MULTILINE)]
        functions = {}
        for part in re.split(r"^\s+Type\s+L\s+N\s*$", text, flags=re.MULTILINE)[1:]:
            words = part.split()
            values = np.array(words[3:], dtype=float)
            if len(values) != points:
                raise ValueError(f"L = {words[1]}, N = {words[2]} has {len(values)} of {points} points")
            functions[int(words[1]), int(words[2])] = values
        expected = [(l, n) for l, count in enumerate(announced) for n in range(count)]
        if sorted(functions) != expected or not expected:
            raise ValueError(f"{len(functions)} of {len(expected)} radial functions")
    except (IndexError, ValueError) as error:
        raise InputError(
            f"not a complete orbital file ({error})", file=path, field=".orb", remedy="copy it again"
        ) from None
    return tuple(
        Shell(l, shell_label(l, n + 1), _radial(l, step, functions[l, n])) for l, n in expected
    )  # fmt: skip


def _radial(l: int, step: float, values: NDArray[np.float64]) -> RadialFunction:
    """Radial function R / r^l in n2amd units; its value at 0 is that of an even parabola through 3 points."""
    r = step * np.arange(len(values))
    values = values / np.sqrt(simpson(values**2 * r**2, x=r))
    if l:
        reduced = np.empty_like(values)
        reduced[1:] = values[1:] / r[1:] ** l
        reduced[0] = (15 * reduced[1] - 6 * reduced[2] + reduced[3]) / 10
        values = reduced
    return RadialFunction(
        step=step * BOHR_ANGSTROM, values=values * BOHR_ANGSTROM ** -(1.5 + l), cutoff=r[-1] * BOHR_ANGSTROM
    )
