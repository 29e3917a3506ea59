"""Overlaps <phi|p> of orbitals and projectors of the non-local pseudopotential, for every two elements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import SpeciesPair
from n2amd.errors import InputError
from n2amd.frames.ingredients import Ingredients
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction
from n2amd.orbitals.bessel_transform import RadialTransforms, bessel_transform, known_cutoff, wave_numbers
from n2amd.orbitals.pair_splines import PairSplines
from n2amd.orbitals.radial_overlaps import BesselKernels, tabulate
from n2amd.orbitals.two_centre import SPLINE_STEP, OverlapTable


@dataclass(frozen=True)
class ProjectorTable:
    """Splines of <phi|p> and the energies of the projectors.

    Attributes
    ----------
    splines
        By (element of the orbital, element of the projector); elements without projectors are left out.
    energies
        Of each projector function of an element, (n_functions,), eV.
    """

    splines: Mapping[tuple[int, int], PairSplines]
    energies: Mapping[int, NDArray[np.float64]]

    def ranges(self, number: int) -> dict[int, float]:
        """Range of <phi|p> for the orbitals of one element, by the element of the projector, Angstrom."""
        return {z: splines.range for (orbital, z), splines in self.splines.items() if orbital == number}


def projector_table(basis: Basis, ingredients: Ingredients, step: float = SPLINE_STEP) -> ProjectorTable:
    """Tabulate <phi|p> of every ordered pair of elements, by the quadrature of the overlaps.

    Parameters
    ----------
    basis
        Every shell with its radial function.
    ingredients
        With every element of the basis.
    step
        Knot spacing, Angstrom.

    Raises
    ------
    InputError
        If a shell has no radial function, or an element no ingredients.
    """
    # elements are told apart from their projectors by the sign of the number
    kets = {z: _projector_shells(ingredients, z) for z in basis.numbers}
    kets = {z: ket for z, ket in kets.items() if ket.shells}
    if not kets:
        return ProjectorTable({}, {})
    longest = max(known_cutoff(basis[z]) for z in basis.numbers) + max(map(known_cutoff, kets.values()))
    k = wave_numbers(longest)
    values = {z: _transforms(basis[z], k) for z in basis.numbers}
    values |= {-z: _transforms(ket, k) for z, ket in kets.items()}
    transforms = RadialTransforms(k, np.full(len(k), k[0]), values)
    kernels = BesselKernels(k, step, longest)
    splines = {}
    for orbital in basis.numbers:
        for z, ket in kets.items():
            range_, coefficients = tabulate(basis[orbital], ket, transforms, kernels, 0.0)
            splines[orbital, z] = PairSplines.from_coefficients(basis[orbital], ket, range_, coefficients)
    return ProjectorTable(splines, {z: ingredients[z].projector_energies for z in kets})


def interaction_ranges(basis: Basis, ingredients: Ingredients) -> dict[SpeciesPair, float]:
    """Distance up to which H0 connects two atoms, for every species pair (z_i <= z_j), Angstrom.

    Two orbitals that overlap, or that reach the projectors of one third atom, as far as the code keeps them.
    """
    radius = {z: known_cutoff(basis[z]) for z in basis.numbers}
    pairs = combinations_with_replacement(basis.numbers, 2)
    rules = ingredients.discretisation
    if rules.smallest_overlap:
        return OverlapTable.from_basis(basis, tolerance=rules.smallest_overlap).ranges
    if rules.bare_blocks:
        return {(a, b): radius[a] + radius[b] for a, b in pairs}
    # a projector without energy connects nothing
    reaching = [ingredients[z] for z in radius if np.any(ingredients[z].projector_energies)]
    projector = max((known_cutoff(atom.projector_basis) for atom in reaching), default=0.0)
    return {(a, b): radius[a] + radius[b] + 2 * projector for a, b in pairs}


def _projector_shells(ingredients: Ingredients, number: int) -> AtomBasis:
    return AtomBasis(-number, ingredients[number].projector_basis.shells)


def _transforms(atom: AtomBasis, k: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bessel transforms of an atom's shells, (n_shells, n_k)."""
    radial = [shell.radial for shell in atom.shells]
    if not all(isinstance(function, RadialFunction) for function in radial):
        raise InputError(
            f"the radial functions of element {abs(atom.number)} are not tabulated on a uniform grid",
            field="basis",
            remedy="use `Ingredients.orbitals` of the basis",
        )
    return np.array(
        [bessel_transform(s.radial, s.l, k) for s in atom.shells if isinstance(s.radial, RadialFunction)]
    )
