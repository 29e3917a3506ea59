"""Pseudopotential, neutral-atom potential and densities of `.ion.xml`: what H0 needs beside the orbitals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np

from n2amd.dft.siesta.constants import Constants
from n2amd.dft.siesta.ion_radial import read_radial
from n2amd.frames.ingredients import AtomIngredients, Projector
from n2amd.orbitals.basis import AtomBasis, RadialFunction, Shell
from n2amd.orbitals.bessel_transform import interpolate

#: Grid points of the atomic density for one of the finest of its shells.
OVERSAMPLING = 2
#: Largest difference of the local pseudopotential's charge and of the atomic density from the valence charge,
#: e: the tables' own error is up to 2.4e-4.
CHARGE_TOLERANCE = 2e-3


def read_potentials(
    root: ElementTree.Element, atom: AtomBasis, constants: Constants
) -> tuple[AtomIngredients | None, str]:
    """Read what H0 needs of one species.

    Parameters
    ----------
    root
        The document.
    atom
        Its shells, in the order of the file.
    constants
        Those of the run.

    Returns
    -------
    ingredients
        None where the file lacks something.
    reason
        Why they are None; empty where they are not.
    """
    try:
        projectors = _projectors(root, constants)
        populations = [float(e.attrib["population"]) for e in root.findall("paos/orbital")]
        potential = read_radial(_child(root, "vna"), "vna", constants.bohr, 0)
        local_charge = read_radial(_child(root, "chlocal"), "chlocal", constants.bohr, 3)
        core = root.find("core")
        core_density = None if core is None else read_radial(core, "core", constants.bohr, 3)
    except (KeyError, ValueError) as error:
        return None, f"the .ion.xml file of element {atom.number} lacks potentials or densities ({error})"
    if any("j" in e.attrib for e in root.findall("kbs/projector")) or _repeated(projectors):
        return None, f"the projectors of element {atom.number} depend on j (spin-orbit coupling)"
    charges = {
        "the local pseudopotential's charge": -integral(local_charge),
        "the populations of the atomic orbitals": sum(populations),
    }
    for what, charge in charges.items():
        if abs(charge - atom.valence_charge) > CHARGE_TOLERANCE:
            return None, (
                f"{what} of element {atom.number} add up to {charge:.4f}, "
                f"not to {atom.valence_charge:g} electrons"
            )
    neutral = RadialFunction(potential.step, potential.values * constants.rydberg, potential.cutoff)
    density = atomic_density(atom.shells, populations)
    return AtomIngredients(atom.number, projectors, neutral, density, core_density), ""


def atomic_density(shells: Sequence[Shell], populations: Sequence[float]) -> RadialFunction:
    """Spherical density of an atom's occupied orbitals, 1/A^3: the sum of population / (4 pi) R^2.

    Shells have grids of their own: the sum is made on one that is twice as fine as the finest of them and
    ends with the longest. Its integral is exact to 1e-9 of the electrons.
    """
    occupied = [
        (shell.l, shell.radial, population)
        for shell, population in zip(shells, populations, strict=True)
        if population and isinstance(shell.radial, RadialFunction)
    ]
    if not occupied:
        raise ValueError("no orbital is occupied")
    end = max(radial.cutoff for _, radial, _ in occupied)
    finest = min(radial.step for _, radial, _ in occupied) / OVERSAMPLING
    n_intervals = math.ceil(end / finest - 1e-9)
    r = end / n_intervals * np.arange(n_intervals + 1)
    density = np.zeros(len(r))
    for l, radial, population in occupied:
        inside = r < radial.cutoff
        density[inside] += population / (4 * math.pi) * (interpolate(radial)(r[inside]) * r[inside] ** l) ** 2
    return RadialFunction(end / n_intervals, density, end)


def integral(radial: RadialFunction) -> float:
    """Integral of a function of r over space, 4 pi int f r^2 dr, of its spline."""
    spline = interpolate(radial)
    # exact for cubic pieces times r^2
    nodes, weights = np.polynomial.legendre.leggauss(3)
    left = radial.step * np.arange(len(radial.values) - 1)[:, None]
    r = left + radial.step * (nodes + 1) / 2
    return float((2 * math.pi * radial.step * weights * spline(r) * r**2).sum())


def _child(root: ElementTree.Element, name: str) -> ElementTree.Element:
    child = root.find(name)
    if child is None:
        raise KeyError(f"<{name}> is missing")
    return child


def _projectors(root: ElementTree.Element, constants: Constants) -> tuple[Projector, ...]:
    """Read all projectors; there are as many as the head of the file says."""
    found = tuple(_projector(e, constants) for e in _child(root, "kbs").findall("projector"))
    expected = int(root.findtext("nprojs_nl", str(len(found))))
    if len(found) != expected:
        raise ValueError(f"{len(found)} of {expected} projectors")
    return found


def _projector(element: ElementTree.Element, constants: Constants) -> Projector:
    l, n = (int(element.attrib[key]) for key in ("l", "n"))
    radial = read_radial(element, f"projector {n} of l = {l}", constants.bohr, 1.5 + l)
    return Projector(Shell(l, f"l{l} n{n}", radial), float(element.attrib["ref_energy"]) * constants.rydberg)


def _repeated(projectors: Sequence[Projector]) -> bool:
    labels = [projector.shell.label for projector in projectors]
    return len(set(labels)) < len(labels)
