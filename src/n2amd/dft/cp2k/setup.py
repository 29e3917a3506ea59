"""What the log tells of the Hamiltonian of a run: pseudopotentials, grid, k points, occupation."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.gth import GthChannel, GthPotential
from n2amd.baseline.scf_kpoints import text_of_points
from n2amd.baseline.smearing import Smearing
from n2amd.dft.cp2k.text import NUMBER, LogText

#: Boltzmann constant, Hartree/K (CODATA 2006).
BOLTZMANN_HARTREE = 3.1668153407262061e-6
#: K points are printed with five decimals: nearer than this to a point of the mesh they are that point.
K_TOLERANCE = 1.1e-5
_DECIMALS = r"-?\d+\.\d+"


@dataclass(frozen=True)
class Setup:
    """Facts of the log, as far as they are printed.

    Attributes
    ----------
    bohr
        CP2K's Bohr, Angstrom.
    cutoff
        Of the finest grid, with one decimal of a Hartree, Ry.
    mesh_shape
        Points of the finest grid.
    potentials
        GTH pseudopotentials by atomic number, with the six decimals of the log; of a kind that has another,
        or a second one, the number is in `others`.
    others
        Atomic numbers without one GTH pseudopotential.
    unusual
        What the run does otherwise than CP2K's defaults (method, smoothing, derivatives); empty: nothing.
    k_points, smearing
        For the origin of the frame; empty: unknown.
    """

    bohr: float
    cutoff: float | None
    mesh_shape: tuple[int, int, int] | None
    potentials: dict[int, GthPotential]
    others: frozenset[int]
    unusual: str
    k_points: str
    smearing: str


def read_setup(log: LogText, kinds: dict[int, list[str]], hartree: float, bohr: float) -> Setup:
    """Read the facts of a log.

    Parameters
    ----------
    log
        The log.
    kinds
        What the log tells of every kind of an element, by atomic number.
    hartree, bohr
        CP2K's units, eV and Angstrom.
    """
    cutoffs = log.all(r"^ QS\| Density cutoff \[a\.u\.\]:" + NUMBER)
    points = log.all(r"^ PW_GRID\| +Bounds +[123] .*Points: +(\d+)")[:3]
    potentials = {z: {_potential(text) for text in texts} for z, texts in kinds.items()}
    known = {z: next(iter(found)) for z, found in potentials.items() if len(found) == 1}
    return Setup(
        bohr,
        2 * float(cutoffs[0]) if cutoffs else None,
        (int(points[0]), int(points[1]), int(points[2])) if len(points) == 3 else None,
        {z: potential for z, potential in known.items() if potential is not None},
        frozenset(z for z in kinds if known.get(z) is None),
        _unusual(log),
        _k_points(log),
        _smearing(log, hartree),
    )


def _potential(text: str) -> GthPotential | None:
    """GTH pseudopotential in the text of a kind, None where it has none."""
    name = re.search(r"GTH Potential information for +(\S+)", text)
    electrons = re.search(r"Electronic configuration \(s p d \.\.\.\):((?: +\d+)+)", text)
    local = re.search(rf"rloc +C1 .*\n +((?:{_DECIMALS} *)+)\n", text)
    if name is None or electrons is None or local is None:
        return None
    radius, *coefficients = _numbers(local[1])
    rows = re.search(rf"l +r\(l\) +h\(i,j,l\)\s*\n\s*\n((?: +(?:\d +)?(?:{_DECIMALS} *)+\n)+)", text)
    channels: list[tuple[int, float, list[list[float]]]] = []
    for line in rows[1].splitlines() if rows else []:
        if begin := re.match(rf" +(\d+) +({_DECIMALS})", line):
            channels.append((int(begin[1]), float(begin[2]), []))
            line = line[begin.end() :]
        if values := _numbers(line):
            channels[-1][2].append(values)
    return GthPotential(
        name[1],
        tuple(map(int, electrons[1].split())),
        radius,
        tuple(coefficients),
        tuple(GthChannel(l, r, tuple(map(tuple, matrix))) for l, r, matrix in channels if matrix),
    )


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(_DECIMALS, text)]


def _unusual(log: LogText) -> str:
    for what, pattern, usual in (
        ("the method is {}", r"^ QS\| Method: +(\S+)", "GPW"),
        ("the density is smoothed for the functional ({})", r"^ DFT\| XC density smoothing +(\S+)", "NONE"),
        ("derivatives for the functional are taken by {}", r"^ DFT\| XC derivatives +(\S+)", "PW"),
    ):
        found = log.all(pattern)
        if found and found[0] != usual:
            return what.format(found[0])
    return ""


def _k_points(log: LogText) -> str:
    """K points as the origin keeps them; empty where they are not all there."""
    rows = log.all(r"^ BRILLOUIN\| +\d+" + 4 * rf" +({_DECIMALS})" + r"\s*$")
    mesh = log.all(r"^ BRILLOUIN\| K-Point grid" + 3 * r" +(\d+)")
    if not rows:
        # a run without &KPOINTS says nothing of them: Gamma
        return "" if log.all(r"^ BRILLOUIN\|") else text_of_points(np.zeros((1, 3)), np.ones(1))
    reduced = log.all(r"^ BRILLOUIN\| K-point point group symmetrization +ON")
    announced = log.all(r"^ BRILLOUIN\| List of Kpoints.* (\d+)\s*$")
    if reduced or announced != [str(len(rows))]:
        return ""
    table = np.array(rows, dtype=float)
    points = _on_mesh(table[:, 1:], np.array(mesh[0], dtype=float)) if mesh else table[:, 1:]
    return text_of_points(points, table[:, 0])


def _on_mesh(printed: NDArray[np.float64], mesh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give k points the digits of the mesh, whose points and their usual shifts are multiples of 1 / 2n."""
    exact = np.rint(2 * mesh * printed) / (2 * mesh)
    return np.where(np.abs(exact - printed) < K_TOLERANCE, exact, printed)


def _smearing(log: LogText, hartree: float) -> str:
    """Occupation of the levels as the origin keeps it, or the name of a method that H0 cannot follow."""
    method = log.all(r"^ +Smear method: +(\S+)")
    if not method:
        return str(Smearing.filled())
    temperature = log.all(r"^ +Electronic temperature \[K\]:" + NUMBER)
    if method[0] != "FERMI_DIRAC" or not temperature:
        return str(method[0])
    width = float(temperature[0]) * BOLTZMANN_HARTREE * hartree
    return str(Smearing(width)) if width else str(Smearing.filled())
