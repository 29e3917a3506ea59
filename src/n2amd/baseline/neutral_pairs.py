"""Electrostatic energy of superposed neutral atoms.

Neutral atoms, each a local pseudopotential's charge with its electrons, see each other only where they
overlap (J. M. Soler et al., J. Phys. Condens. Matter 14, 2745 (2002), sec. 5). Ions are points to each other,
also where the charges that make their local potentials overlap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import cumulative_simpson, simpson
from scipy.interpolate import CubicSpline
from scipy.special import erfc

from n2amd.baseline.energy_gradient import EnergyGradient
from n2amd.blocks.matrix import SpeciesPair
from n2amd.blocks.pairs import find_pairs
from n2amd.frames.ingredients import AtomIngredients, Ingredients
from n2amd.orbitals.basis import RadialFunction
from n2amd.orbitals.bessel_transform import bessel_transform, interpolate, reduced_bessel, wave_numbers
from n2amd.structure import Structure

#: Points of integrals over r for one of the radial function's own.
OVERSAMPLING = 20
#: Distances of the table: the shortest, and their spacing, Angstrom.
SHORTEST, STEP = 0.3, 0.01
#: Width of the Gaussian charges that stand for points where Fourier integrals are taken, Angstrom.
WIDTH = 0.25


@dataclass(frozen=True)
class NeutralPairs:
    """Electrostatic energy of neutral atoms as a function of their distance.

    Attributes
    ----------
    energies
        Of every two elements (z_i <= z_j), a spline from `SHORTEST` to where the atoms part, eV.
    own
        Energy of each neutral atom in its own field, eV: that of smeared charges, local pseudopotential's and
        electrons'.
    ions
        Energy of the local pseudopotential's charge in its own field alone, eV.
    """

    energies: Mapping[SpeciesPair, CubicSpline]
    own: Mapping[int, float]
    ions: Mapping[int, float]

    @classmethod
    def of(cls, ingredients: Ingredients) -> NeutralPairs:
        """Tabulate the energies of all elements; charges are those that make the potentials V_NA."""
        coulomb = 2 * ingredients.rydberg * ingredients.bohr
        atoms = ingredients.atoms
        k = wave_numbers(2 * max((_reach(a.neutral_potential) for a in atoms.values()), default=1.0))
        charges = {z: _Charges.of(atom, k, coulomb) for z, atom in atoms.items()}
        energies = {}
        for a, b in combinations_with_replacement(sorted(atoms), 2):
            end = _reach(atoms[a].neutral_potential) + _reach(atoms[b].neutral_potential)
            energies[a, b] = _pair_energy(charges[a], charges[b], k, end, coulomb)
        own = {z: _own_energy(atom.neutral_potential, coulomb) for z, atom in atoms.items()}
        return cls(energies, own, {z: _ion_energy(atom, own[z], coulomb) for z, atom in atoms.items()})

    @cached_property
    def ranges(self) -> dict[SpeciesPair, float]:
        """Distance from which on two atoms do not see each other, Angstrom."""
        return {key: float(spline.x[-1]) for key, spline in self.energies.items()}

    def energy(self, structure: Structure) -> EnergyGradient:
        """Energy of all neutral atoms of a cell in their common field, what each has of its own included."""
        total = EnergyGradient.zero(structure.n_atoms)
        for key, index in find_pairs(structure, self.ranges, half=True).items():
            apart = index.select(~index.on_site)
            vectors = apart.vectors(structure)
            distance = np.linalg.norm(vectors, axis=1)
            spline = self.energies[key]
            slopes = (spline(distance, 1) / distance)[:, None] * vectors
            energy = float(spline(distance).sum())
            total += EnergyGradient.of_bonds(energy, apart, vectors, slopes, structure.n_atoms)
        return replace(total, energy=total.energy + _sum(self.own, structure.numbers))

    def of_ions(self, numbers: NDArray[np.int64]) -> float:
        """Energy of the charges of the local pseudopotentials, each in its own field alone."""
        return _sum(self.ions, numbers)


def _sum(energies: Mapping[int, float], numbers: NDArray[np.int64]) -> float:
    return float(sum(energies[int(z)] for z in numbers))


@dataclass(frozen=True)
class _Charges:
    """Fourier transforms of an atom's charges, those of electrons positive.

    Attributes
    ----------
    whole, ion
        All that makes V_NA, and what of it is not the electrons of the atom, (n_k,).
    number
        Electrons.
    """

    whole: NDArray[np.float64]
    ion: NDArray[np.float64]
    number: float

    @classmethod
    def of(cls, atom: AtomIngredients, k: NDArray[np.float64], coulomb: float) -> _Charges:
        whole = bessel_transform(atom.neutral_potential, 0, k) * k**2 / coulomb
        ion = whole - 4 * math.pi * bessel_transform(atom.density, 0, k)
        return cls(whole, ion, 4 * math.pi * float(bessel_transform(atom.density, 0, np.zeros(1))[0]))


def _pair_energy(
    first: _Charges, second: _Charges, k: NDArray[np.float64], end: float, coulomb: float
) -> CubicSpline:
    """Energy of two neutral atoms by distance: that of their charges, but with points for the ions."""
    distance = np.linspace(SHORTEST, end, math.ceil((end - SHORTEST) / STEP) + 1)
    points = first.number * second.number
    integrand = first.whole * second.whole - first.ion * second.ion
    integrand += points * np.exp(-((k * WIDTH) ** 2) / 2)
    values = 2 * coulomb / math.pi * k[0] * (reduced_bessel(0, k, distance) @ integrand)
    values += coulomb * points * erfc(distance / (math.sqrt(2) * WIDTH)) / distance
    values[-1] = 0.0
    return CubicSpline(distance, values, bc_type=("not-a-knot", (1, 0.0)))


def _own_energy(potential: RadialFunction, coulomb: float) -> float:
    """Energy of a neutral atom in its own field: int |grad V|^2 / (8 pi e^2)."""
    r = _fine(potential)
    return float(simpson((interpolate(potential)(r, 1) * r) ** 2, x=r) / (2 * coulomb))


def _ion_energy(atom: AtomIngredients, own: float, coulomb: float) -> float:
    """Energy of the local pseudopotential's charge in its own field.

    It is what makes V_NA less the atom's electrons n: U[V_NA] - int V_NA n + U[n].
    """
    potential, density = atom.neutral_potential, atom.density
    r = _fine(density)
    shells = 4 * math.pi * interpolate(density)(r) * r**2
    inside = r < potential.cutoff
    between = simpson(shells * np.where(inside, interpolate(potential)(r), 0.0), x=r)
    enclosed = cumulative_simpson(shells, x=r, initial=0.0)
    electrons = coulomb * simpson(np.divide(shells * enclosed, r, out=np.zeros_like(r), where=r > 0), x=r)
    return float(own - between + electrons)


def _fine(radial: RadialFunction) -> NDArray[np.float64]:
    """Distances up to the end of a function, several in each of its intervals."""
    return np.linspace(0.0, _reach(radial), OVERSAMPLING * (len(radial.values) - 1) + 1)


def _reach(radial: RadialFunction) -> float:
    return min(radial.cutoff, radial.step * (len(radial.values) - 1))
