"""The text output of a run, LABEL.out: energies, forces, eigenvalues on the k mesh, whether it converged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.dft.openmx.keywords import parse_keywords, parse_numbers
from n2amd.errors import InputError
from n2amd.frames.frame import BandReference
from n2amd.units import OPENMX_BOHR_ANGSTROM, OPENMX_HARTREE_EV

RERUN = "run the frame again to the end"
#: How far OpenMX moves the k points off its mesh, fractional. Measured: any other signs of the first two
#: leave 0.08 to 0.3 meV between its eigenvalues and those of (H, S), these at most 0.0011.
MESH_SHIFT = np.array([1e-6, -1e-6, 1e-6])
_NUMBER = r"\s*([-+.\deE]+)"


@dataclass(frozen=True)
class Step:
    """One geometry of a run.

    Attributes
    ----------
    energy, chemical_potential
        eV.
    change, criterion
        Last change of the band energy in the SCF cycle, and where it had to stop, Hartree.
    """

    energy: float
    chemical_potential: float
    change: float
    criterion: float

    @property
    def converged(self) -> bool:
        """Whether the SCF cycle ended by its criterion."""
        return self.change < self.criterion


@dataclass(frozen=True)
class Log:
    """Contents of a .out file.

    Attributes
    ----------
    version
        Of OpenMX.
    steps
        The geometries of the run; a single point has one.
    fractional
        Last geometry in units of the cell, (n_atoms, 3).
    forces
        Its forces, (n_atoms, 3), eV/A; None after molecular dynamics, where they stand in LABEL.md.
    bands
        Eigenvalues of the last geometry on the k mesh; None where none are printed.
    """

    version: str
    steps: tuple[Step, ...]
    fractional: NDArray[np.float64]
    forces: NDArray[np.float64] | None
    bands: BandReference | None


def parse_log(file: Path, text: str) -> Log:
    """Read a .out file.

    Raises
    ------
    InputError
        If the run did not end, or a section is cut.
    """
    version = re.search(r"performed by OpenMX Ver\.\s*(\S+)", text)
    if version is None:
        raise InputError("not the .out file of an OpenMX run", file=file, remedy="keep the .out of the run")
    if "Computational Time (second)" not in text:
        raise InputError("the run did not end, or the file is cut", file=file, remedy=RERUN)
    keywords = parse_keywords(text.split("SCF history at MD=")[0])
    [criterion] = parse_numbers(file, keywords, "scf.criterion", "1.0e-6")
    steps = tuple(_step(file, part, criterion) for part in text.split("SCF history at MD=")[1:])
    if not steps:
        raise InputError("no SCF cycle", file=file, field="SCF history", remedy=RERUN)
    fractional, forces = _last_geometry(file, text), _forces(file, text)
    if forces is not None and len(forces) != len(fractional):
        raise InputError(
            f"forces on {len(forces)} atoms of {len(fractional)}",
            file=file,
            field="coordinates.forces",
            remedy=RERUN,
        )
    return Log(version[1], steps, fractional, forces, _bands(file, text, keywords))


def _last_geometry(file: Path, text: str) -> NDArray[np.float64]:
    title = "Fractional coordinates of the final structure"
    rows = re.findall(r"^\s+\d+\s+[A-Z]\w*((?:\s+[-\d.]+){3})\s*$", text.split(title)[-1], re.MULTILINE)
    if title not in text or not rows:
        raise InputError("the last geometry is missing", file=file, field=title, remedy=RERUN)
    return _floats(file, title, [row.split() for row in rows], 3)


def _forces(file: Path, text: str) -> NDArray[np.float64] | None:
    table = re.search(r"<coordinates\.forces\s+\d+\n(.*?)coordinates\.forces>", text, re.DOTALL)
    if table is None:
        return None
    rows = _floats(file, "coordinates.forces", [line.split()[5:] for line in table[1].splitlines()], 3)
    return rows * OPENMX_HARTREE_EV / OPENMX_BOHR_ANGSTROM


def _step(file: Path, part: str, criterion: float) -> Step:
    energy = re.search(rf"Utot\.{_NUMBER}", part)
    level = re.search(rf"Chemical potential \(Hartree\){_NUMBER}", part)
    history = [float(value) for value in re.findall(rf"NormRD=.*?Uele={_NUMBER}", part)]
    if energy is None or level is None or not history:
        raise InputError("no total energy or chemical potential", file=file, field="Utot", remedy=RERUN)
    return Step(
        float(energy[1]) * OPENMX_HARTREE_EV,
        float(level[1]) * OPENMX_HARTREE_EV,
        abs(history[-1] - history[-2]) if len(history) > 1 else np.inf,
        criterion,
    )


def _bands(file: Path, text: str, keywords: dict[str, str]) -> BandReference | None:
    """Eigenvalues by k point: blocks of "k1= k2= k3=" and lines of index and one value for each spin."""
    listed = re.split(r"\n\s*kloop=\d+\s*\n", text)[1:]
    if not listed:
        return None
    field = "Eigenvalues"
    kpoints, energies = list[list[float]](), list[NDArray[np.float64]]()
    for part in listed:
        head = re.match(rf"\s*k1={_NUMBER}\s+k2={_NUMBER}\s+k3={_NUMBER}", part)
        rows = re.findall(r"^\s+(\d+)((?:\s+[-+]?\d+\.\d{10,}[-+eE\d]*){1,2})\s*$", part, re.MULTILINE)
        numbered = [int(number) for number, _ in rows] == list(range(1, len(rows) + 1))
        if head is None or not rows or not numbered:
            raise InputError(
                f"the list of k point {len(kpoints) + 1} is cut", file=file, field=field, remedy=RERUN
            )
        kpoints.append([float(k) for k in head.groups()])
        values = [row.split() for _, row in rows]
        energies.append(_floats(file, field, values, len(values[0])).T)
    if len({e.shape for e in energies}) > 1:
        raise InputError("unequal numbers of bands at the k points", file=file, field=field, remedy=RERUN)
    spin = keywords.get("scf.spinpolarization", "off").lower()
    # without spin polarization the one column is printed twice
    in_ev = OPENMX_HARTREE_EV * np.array(energies)[:, : 2 if spin == "on" else 1]
    mesh = parse_numbers(file, keywords, "scf.Kgrid", "1 1 1")
    k = _on_mesh(np.array(kpoints), np.array(mesh))
    return BandReference(k, _weights(k, halved=spin != "nc"), in_ev)


def _on_mesh(printed: NDArray[np.float64], mesh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Replace k points printed with 5 decimals by those of the mesh; they stay where they are not on it."""
    index = np.rint((printed + 0.5) * mesh - 0.5)
    exact = -0.5 + (2 * index + 1) / (2 * mesh)
    # a direction with one point is not shifted
    exact += np.where(mesh > 1, MESH_SHIFT, 0.0)
    return exact if np.abs(exact - printed).max() < 1e-5 else printed


def _weights(k: NDArray[np.float64], *, halved: bool) -> NDArray[np.float64]:
    """Weights that sum to 1; of a mesh halved by k -> -k, points that are their own partner count once."""
    own = np.abs(2 * k - np.rint(2 * k)).max(axis=1) < 1e-4
    weights = np.where(own | (not halved), 1.0, 2.0)
    return weights / weights.sum()


def _floats(file: Path, field: str, rows: list[list[str]], columns: int) -> NDArray[np.float64]:
    try:
        return np.array(rows, dtype=float).reshape(len(rows), columns)
    except ValueError as error:
        raise InputError(f"not a table of numbers ({error})", file=file, field=field, remedy=RERUN) from None
