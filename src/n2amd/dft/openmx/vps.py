"""The pseudopotential of an element, SPECIES.vps, and the density in its .pao file: ingredients of H0.

Facts about the files (ADPACK; OpenMX 3.9 reads them so): <Pseudo.Potentials has ln r, r, the local part and
two projectors, of j = l + 1/2 and l - 1/2, for each line of <project.energies, in Hartree atomic units;
without spin-orbit coupling energies and functions are averaged with weights l + 1 and l.
<valence.charge.density is scaled to the valence charge and ends at the cutoff of the orbitals. Measured with
a frame's own density: sum D V_KB of silicene is OpenMX' Unl to 5e-7 Ha; H is missed by 0.04 (silicene) and
0.16 meV (MoS2, MAE), nearly all of it between two atoms, where OpenMX expands V_NA in projectors.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_simpson

from n2amd.baseline.ingredients import AtomIngredients, Projector
from n2amd.dft.files import read_text
from n2amd.dft.openmx.keywords import LETTERS
from n2amd.dft.openmx.tables import read_block
from n2amd.errors import InputError
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
    labels, potentials = _potentials(path, text)
    density = np.where(radii <= cutoff, scale * electrons, 0.0)
    return AtomIngredients(
        number,
        tuple(_projectors(labels, potentials)),
        _neutral_potential(potentials[:, 1], potentials[:, 2], radii, scale * electrons, cutoff),
        _function(radii, density, 0, cutoff, OPENMX_BOHR_ANGSTROM**-3),
        _core(path, text, cutoff),
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


def _potentials(path: Path, text: str) -> tuple[list[tuple[int, float]], NDArray[np.float64]]:
    """Return l and energy (Hartree) of each projector; and ln r, r, local part, projectors, j averaged."""
    energies = re.search(r"<project\.energies\s+\d+\s*\n(.*?)project\.energies>", text, re.DOTALL)
    if energies is None:
        raise InputError("no projectors", file=path, field="project.energies", remedy=REMEDY)
    lines = [line.split() for line in energies[1].splitlines() if line.strip()]
    split = re.search(r"j\.dependent\.pseudo\.potentials\s+on", text, re.IGNORECASE) is not None
    n_columns = (2 if split else 1) * len(lines) + 3
    table = read_block(path, text, "Pseudo.Potentials", n_columns, REMEDY)
    labels, columns = [], [table[:, 0], table[:, 1], table[:, 2]]
    for k, words in enumerate(lines):
        l = int(words[0])
        weights = np.array([l + 1, l]) / (2 * l + 1) if split else np.ones(1)
        first = 3 + len(weights) * k
        labels.append((l, float(weights @ np.array(words[1 : 1 + len(weights)], dtype=float))))
        columns.append(table[:, first : first + len(weights)] @ weights)
    return labels, np.column_stack(columns)


def _projectors(labels: list[tuple[int, float]], table: NDArray[np.float64]) -> list[Projector]:
    """Normalised projectors; their norm goes to the energy."""
    radii = table[:, 1]
    projectors, counts = [], [0] * (1 + max(l for l, _ in labels))
    for (l, energy), values in zip(labels, table[:, 3:].T):
        norm = float(np.trapezoid(radii**3 * values**2, np.log(radii)))
        counts[l] += 1
        label = f"{LETTERS[l]}{counts[l]}"
        radial = _function(radii, values / np.sqrt(norm), l, _end(radii, values), OPENMX_BOHR_ANGSTROM**-1.5)
        projectors.append(Projector(Shell(l, label, radial), energy * norm * OPENMX_HARTREE_EV))
    return projectors


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
