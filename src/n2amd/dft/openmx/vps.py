"""The pseudopotential of an element, SPECIES.vps, and the density in its .pao file: ingredients of H0.

Facts about the files (ADPACK; OpenMX 3.9 reads them so): <Pseudo.Potentials has ln r, r, the local part and
two projectors, of j = l + 1/2 and l - 1/2, for each line of <project.energies, in Hartree atomic units;
without spin-orbit coupling energies and functions are averaged with weights l + 1 and l, with it each of
the two acts on its j.
<valence.charge.density is scaled to the valence charge and ends at the cutoff of the orbitals. Measured with
a frame's own density: sum D V_KB of silicene is OpenMX' Unl to 5e-7 Ha; H is missed by 0.04 (silicene) and
0.16 meV (MoS2, MAE), nearly all of it between two atoms, where OpenMX expands V_NA in projectors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_simpson

from n2amd.dft.files import read_text
from n2amd.dft.openmx.keywords import LETTERS
from n2amd.dft.openmx.tables import read_block
from n2amd.errors import InputError
from n2amd.frames.ingredients import AtomIngredients, Projector, SplitProjector
from n2amd.orbitals.basis import RadialFunction, Shell
from n2amd.orbitals.openmx_quadrature import interpolate
from n2amd.orbitals.uniform_radial import on_uniform_grid
from n2amd.units import OPENMX_BOHR_ANGSTROM, OPENMX_HARTREE_EV

REMEDY = "copy it again from the VPS folder of OpenMX' DFT_DATA"
PAO_REMEDY = "copy it again from the PAO folder of OpenMX' DFT_DATA"
#: Where projectors and cores have ended, relative to their largest value.
NOTHING = 1e-10
#: Sharpness, 1/Bohr, of the step that ends V_NA at the cutoff of the orbitals, and how far beyond it is kept.
STEP_SHARPNESS, STEP_MARGIN = 20.0, 1.0


def read_atom(number: int, vps: Path, pao: Path) -> AtomIngredients:
    """Read the ingredients of one element.

    Parameters
    ----------
    number
        Atomic number.
    vps, pao
        Its files.

    Raises
    ------
    InputError
        If a table is missing or cut.
    """
    stamps = [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in (vps, pao)]
    return _read(number, stamps[0], stamps[1])


@lru_cache(maxsize=32)
def _read(number: int, vps: tuple[Path, int, int], pao: tuple[Path, int, int]) -> AtomIngredients:
    """Read once, however many frames ask; time and size of the files are part of the key."""
    path, text = vps[0], read_text(vps[0])
    cutoff, radii, electrons = _valence_density(pao[0])
    charge = _entry(path, text, "valence.electron", REMEDY)
    scale = charge / float(np.trapezoid(4 * np.pi * radii**3 * electrons, np.log(radii)))
    table = _read_table(path, text)
    density = np.where(radii <= cutoff, scale * electrons, 0.0)
    return AtomIngredients(
        number,
        tuple(_projectors(table)),
        _neutral_potential(table.columns[:, 1], table.columns[:, 2], radii, scale * electrons, cutoff),
        _function(radii, density, 0, cutoff, OPENMX_BOHR_ANGSTROM**-3),
        _core(path, text, cutoff),
        split_projectors=tuple(_split_projectors(table)),
    )


def _entry(path: Path, text: str, name: str, remedy: str) -> float:
    found = re.search(rf"^\s*{re.escape(name)}\s+([-+.\deE]+)", text, re.MULTILINE)
    if found is None:
        raise InputError(f"no {name}: not a file of DFT_DATA, or cut", file=path, field=name, remedy=remedy)
    return float(found[1])


def _valence_density(pao: Path) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Cutoff of the orbitals, radii (Bohr) and density (1/Bohr^3)."""
    text = read_text(pao)
    table = read_block(pao, text, "valence.charge.density", 3, PAO_REMEDY)
    return _entry(pao, text, "radial.cutoff.pao", PAO_REMEDY), table[:, 1], table[:, 2]


@dataclass(frozen=True)
class _Table:
    """<Pseudo.Potentials of a file: l and energies (Hartree), one or two, of its projectors; its columns."""

    labels: list[tuple[int, NDArray[np.float64]]]
    columns: NDArray[np.float64]

    def functions(self, k: int) -> NDArray[np.float64]:
        """Functions of the k-th projector, one for each energy, (n_points, n_energies)."""
        width = len(self.labels[k][1])
        first = 3 + width * k
        return self.columns[:, first : first + width]


def _read_table(path: Path, text: str) -> _Table:
    energies = re.search(r"<project\.energies\s+\d+\s*\n(.*?)project\.energies>", text, re.DOTALL)
    if energies is None:
        raise InputError("no projectors", file=path, field="project.energies", remedy=REMEDY)
    lines = [line.split() for line in energies[1].splitlines() if line.strip()]
    split = re.search(r"j\.dependent\.pseudo\.potentials\s+on", text, re.IGNORECASE) is not None
    width = 2 if split else 1
    columns = read_block(path, text, "Pseudo.Potentials", width * len(lines) + 3, REMEDY)
    labels = [(int(words[0]), np.array(words[1 : 1 + width], dtype=float)) for words in lines]
    return _Table(labels, columns)


def _projectors(table: _Table) -> list[Projector]:
    """Normalised projectors, averaged over j; their norm goes to the energy."""
    found = []
    for k, (l, energies) in enumerate(table.labels):
        weights = np.array([l + 1, l]) / (2 * l + 1) if len(energies) == 2 else np.ones(1)
        values = table.functions(k) @ weights
        found.append(Projector(*_normalised(table, k, values, float(weights @ energies), "")))
    return found


def _split_projectors(table: _Table) -> list[SplitProjector]:
    """Normalised projectors of each j, where the file tells them apart."""
    found = []
    for k, (l, energies) in enumerate(table.labels):
        if l == 0 or len(energies) == 1:
            continue
        for upper, values, energy in zip((True, False), table.functions(k).T, energies):
            sign = "+" if upper else "-"
            shell, strength = _normalised(table, k, values, float(energy), sign)
            found.append(SplitProjector(shell, upper, strength))
    return found


def _normalised(
    table: _Table, k: int, values: NDArray[np.float64], energy: float, sign: str
) -> tuple[Shell, float]:
    """Shell of the k-th projector and its energy, eV."""
    l, radii = table.labels[k][0], table.columns[:, 1]
    norm = float(np.trapezoid(radii**3 * values**2, np.log(radii)))
    count = sum(other == l for other, _ in table.labels[: k + 1])
    radial = _function(radii, values / np.sqrt(norm), l, _end(radii, values), OPENMX_BOHR_ANGSTROM**-1.5)
    return Shell(l, f"{LETTERS[l]}{count}{sign}", radial), energy * norm * OPENMX_HARTREE_EV


def _neutral_potential(
    radii: NDArray[np.float64],
    local: NDArray[np.float64],
    of_density: NDArray[np.float64],
    density: NDArray[np.float64],
    cutoff: float,
) -> RadialFunction:
    """Local pseudopotential and Hartree potential of the valence density, ended at the cutoff."""
    electrons = interpolate(of_density, density, radii)
    x = np.log(radii)
    inner = cumulative_simpson(4 * np.pi * radii**3 * electrons, x=x, initial=0)
    inner += 4 * np.pi / 3 * radii[0] ** 3 * electrons[0]
    outer = cumulative_simpson(4 * np.pi * radii**2 * electrons, x=x, initial=0)
    hartree = inner / radii + outer[-1] - outer
    # OpenMX scales it so that nothing is left at the cutoff
    edge = np.abs(radii - cutoff).argmin()
    neutral = local - hartree * local[edge] / hartree[edge]
    neutral /= 1 + np.exp(np.minimum(STEP_SHARPNESS * (radii - cutoff), 500.0))
    return _function(radii, neutral, 0, cutoff + STEP_MARGIN, OPENMX_HARTREE_EV)


def _core(path: Path, text: str, cutoff: float) -> RadialFunction | None:
    """Partial core, None where the file has none."""
    if re.search(r"charge\.pcc\.calc\s+on", text, re.IGNORECASE) is None:
        return None
    table = read_block(path, text, "density.PCC", 3, REMEDY)
    end = min(cutoff, _end(table[:, 1], table[:, 2]))
    return _function(table[:, 1], table[:, 2], 0, end, OPENMX_BOHR_ANGSTROM**-3)


def _end(radii: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Radius from which on a function is nothing, Bohr."""
    last = int(np.flatnonzero(np.abs(values) > NOTHING * np.abs(values).max())[-1])
    return float(radii[min(last + 1, len(radii) - 1)])


def _function(
    radii: NDArray[np.float64], values: NDArray[np.float64], l: int, cutoff: float, unit: float
) -> RadialFunction:
    """Table in Bohr on a uniform grid in Angstrom."""
    return on_uniform_grid(radii * OPENMX_BOHR_ANGSTROM, values * unit, l, cutoff * OPENMX_BOHR_ANGSTROM)
