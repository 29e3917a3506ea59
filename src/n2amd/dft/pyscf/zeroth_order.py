"""What H0 needs of a PySCF run: its pseudopotentials and its grid; or why the run gives none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from n2amd.baseline.gth import GthChannel, GthPotential
from n2amd.baseline.pseudo_atom import gth_ingredients
from n2amd.baseline.schemes import HYBRIDS, hybrid_note
from n2amd.frames.ingredients import Ingredients
from n2amd.structure import Structure
from n2amd.units import BOHR_ANGSTROM

#: PySCF's Hartree, eV (CODATA 2018, as in pyscf.data.nist; so is its Bohr).
HARTREE_EV = 27.211386245988


def gth_potential(name: str, entry: Sequence[Any]) -> GthPotential:
    """Pseudopotential of PySCF's table `cell._pseudo`.

    Parameters
    ----------
    name
        Name, e.g. "gth-pbe".
    entry
        [electrons, r_loc, number of coefficients, coefficients, number of l, [r_l, number, h_ij], ...].
    """
    channels = [
        GthChannel(l, float(radius), tuple(tuple(map(float, row)) for row in matrix))
        for l, (radius, count, matrix) in enumerate(entry[5:])
        if count
    ]
    electrons, coefficients = tuple(map(int, entry[0])), tuple(map(float, entry[3][: entry[2]]))
    return GthPotential(name, electrons, float(entry[1]), coefficients, tuple(channels))


def ingredients_of_run(
    structure: Structure, origin: Mapping[str, str], potentials: Mapping[int, GthPotential]
) -> tuple[Ingredients | None, str]:
    """Put together what H0 needs.

    Parameters
    ----------
    structure
        Atoms.
    origin
        DFT provenance.
    potentials
        By atomic number.

    Returns
    -------
    ingredients
        None where something is missing.
    note
        Why there are none, or what H0 leaves out; empty otherwise.
    """
    if "mesh_cutoff" not in origin:
        return None, "the frame was written without its pseudopotentials: delete its folder and run it again"
    for z in sorted({int(z) for z in structure.numbers}):
        if z not in potentials:
            return None, f"the element with Z = {z} has no GTH pseudopotential"
    functional = origin.get("functional", "")
    parent = HYBRIDS.get(functional.lower(), functional)
    cutoff = float(origin["mesh_cutoff"].split()[0])
    scheme = Ingredients("pyscf", parent, cutoff, HARTREE_EV / 2, BOHR_ANGSTROM)
    grid, ours = origin["density_grid"].split(), scheme.mesh_of(structure.cell).shape
    if tuple(map(int, grid)) != ours:
        return None, f"the grid {' x '.join(grid)} is not that of {cutoff:g} Ry"
    atoms = {z: gth_ingredients(z, potential, scheme) for z, potential in potentials.items()}
    note = "" if parent == functional else hybrid_note(functional)
    return replace(scheme, atoms=atoms), note
