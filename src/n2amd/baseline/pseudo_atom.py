"""Neutral atoms of Goedecker-Teter-Hutter pseudopotentials, from a small spherical calculation.

H0 is the same for any density of neutral atoms (see `n2amd.baseline.spherical_atoms`): it only has to be
neutral, smooth and short. The codes with Gaussian bases have none, so this one is made here, from the
pseudopotential alone: the local density approximation in even-tempered Gaussians none of which is wide, so
that the atom ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from scipy.integrate import cumulative_simpson
from scipy.interpolate import CubicSpline

from n2amd.baseline.exchange_correlation import derivatives
from n2amd.baseline.functionals import find_functional
from n2amd.baseline.gth import STEP, GthPotential, separable_projectors
from n2amd.baseline.spherical_atoms import screened_nucleus
from n2amd.errors import ComputationError
from n2amd.frames.ingredients import AtomIngredients, Ingredients
from n2amd.orbitals.basis import RadialFunction

#: Exponents of the Gaussians: the smallest (1/Bohr^2), the ratio of two, and the largest times r_loc^2.
SMALLEST, RATIO, LARGEST = 0.15, 1.8, 4.0
#: The radial grid: spacing (Bohr), and exponent at which the widest density has ended.
SPACING, ENDED = 0.01, 30.0
#: Share of the new density in a step, change (electrons) of the last one, and steps.
MIXING, CONVERGED, STEPS = 0.3, 1e-9, 400


def gth_ingredients(number: int, potential: GthPotential, scheme: Ingredients) -> AtomIngredients:
    """Ingredients of an element from its pseudopotential.

    Parameters
    ----------
    number
        Atomic number.
    potential
        Its pseudopotential.
    scheme
        Ingredients without atoms: the code and its units.

    Raises
    ------
    ComputationError
        If the atom does not converge.
    """
    rydberg, bohr = scheme.rydberg, scheme.bohr
    radii, electrons = neutral_atom(potential)
    r = STEP * np.arange(math.floor(radii[-1] * bohr / STEP) + 1)
    values = CubicSpline(radii, electrons)(r / bohr) / bohr**3
    density = RadialFunction(STEP, values, float(r[-1]))
    width = math.sqrt(2) * potential.radius * bohr
    coulomb = screened_nucleus(density, potential.charge, width, rydberg, bohr)
    neutral = coulomb.values + 2 * rydberg * potential.short_ranged(r / bohr)
    return AtomIngredients(
        number,
        tuple(separable_projectors(potential.channels, rydberg, bohr)),
        RadialFunction(STEP, neutral, density.cutoff),
        density,
        zero=_zero(potential, density, scheme),
    )


def _zero(potential: GthPotential, density: RadialFunction, scheme: Ingredients) -> float:
    """What the code's zero of the potential adds to the integral of V_NA, eV A^3.

    The Coulomb potential of an electron cloud less that of a point charge integrates to minus 2 pi / 3 of its
    second moment, which for the Gaussian core is 3 r_loc^2 Z.
    """
    rule = scheme.discretisation.no_average
    if rule == "change":
        return 0.0
    r = density.step * np.arange(len(density.values))
    moment = float(cumulative_simpson(4 * np.pi * r**4 * density.values, dx=density.step)[-1])
    if rule == "cores":
        moment -= 3 * potential.charge * (potential.radius * scheme.bohr) ** 2
    return 2 * scheme.rydberg * scheme.bohr * 2 * math.pi / 3 * moment


@dataclass(frozen=True)
class _Gaussians:
    """Gaussians of one angular momentum on the radial grid.

    Attributes
    ----------
    values
        r R(r), (n, n_r).
    overlap, fixed
        Their overlaps, and the kinetic and non-local energy, Hartree, (n, n).
    occupations
        Electrons of the lowest states.
    """

    values: NDArray[np.float64]
    overlap: NDArray[np.float64]
    fixed: NDArray[np.float64]
    occupations: NDArray[np.float64]


@lru_cache(maxsize=32)
def neutral_atom(potential: GthPotential) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Radii (n_r,), Bohr, and density of the neutral atom there, 1/Bohr^3.

    The shells hold the electrons of the pseudopotential's header, each spread over its m and spins.

    Raises
    ------
    ComputationError
        If it does not converge.
    """
    count = math.ceil(math.sqrt(ENDED / (2 * SMALLEST)) / SPACING) + 1
    r = SPACING * np.arange(count, dtype=np.float64)
    shells = [_gaussians(potential, l, n, r) for l, n in enumerate(potential.electrons) if n]
    local = potential.local(r)
    functional = find_functional("PW92", "libxc")
    density = _density(shells, local, r)
    for _ in range(STEPS):
        inner = cumulative_simpson(4 * np.pi * r**2 * density, dx=SPACING, initial=0)
        outer = cumulative_simpson(4 * np.pi * r * density, dx=SPACING, initial=0)
        hartree = np.divide(inner, r, out=np.zeros(len(r)), where=r > 0) + outer[-1] - outer
        exchange = derivatives(functional, torch.from_numpy(density))[1].numpy()
        new = _density(shells, local + hartree + exchange, r)
        if 4 * np.pi * SPACING * float(r**2 @ np.abs(new - density)) < CONVERGED:
            return r, new
        density = density + MIXING * (new - density)
    raise ComputationError(f"the neutral atom of {potential.name} does not converge")


def _gaussians(potential: GthPotential, l: int, electrons: int, r: NDArray[np.float64]) -> _Gaussians:
    """Gaussians of one angular momentum, which hold some electrons."""
    count = math.ceil(math.log(LARGEST / potential.radius**2 / SMALLEST, RATIO)) + 1
    exponents = SMALLEST * RATIO ** np.arange(max(count, 2))[:, None]
    values = r ** (l + 1) * np.exp(-exponents * r**2)
    slopes = ((l + 1) * r**l - 2 * exponents * r ** (l + 2)) * np.exp(-exponents * r**2)
    norm = 1 / np.sqrt(SPACING * (values**2).sum(axis=1, keepdims=True))
    values, slopes = norm * values, norm * slopes
    # l (l + 1) / r^2 of r R
    turning = norm * math.sqrt(l * (l + 1)) * r**l * np.exp(-exponents * r**2)
    slopes[:, 0] /= math.sqrt(2)  # the trapezoidal rule's end: the slope of s does not vanish there
    fixed = SPACING / 2 * (slopes @ slopes.T + turning @ turning.T)
    for channel in potential.channels:
        if channel.l == l:
            for projector in separable_projectors([channel], 0.5, 1.0):  # in Hartree and Bohr
                radial = projector.shell.radial
                assert isinstance(radial, RadialFunction)
                inside = np.where(r < radial.cutoff, radial.spline(np.minimum(r, radial.cutoff)), 0.0)
                overlaps = SPACING * values @ (r ** (l + 1) * inside)
                fixed += projector.energy * np.outer(overlaps, overlaps)
    capacity = 2.0 * (2 * l + 1)
    occupations = np.clip(electrons - capacity * np.arange(math.ceil(electrons / capacity)), 0, capacity)
    return _Gaussians(values, SPACING * values @ values.T, fixed, occupations)


def _density(
    shells: list[_Gaussians], potential: NDArray[np.float64], r: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Density (n_r,), 1/Bohr^3, of the lowest states in a local potential, Hartree."""
    radial = np.zeros(len(r))
    for shell in shells:
        hamiltonian = shell.fixed + SPACING * (shell.values * potential) @ shell.values.T
        occupied = len(shell.occupations) - 1
        _, vectors = scipy.linalg.eigh(hamiltonian, shell.overlap, subset_by_index=(0, occupied))
        radial += shell.occupations @ (vectors.T @ shell.values) ** 2
    density = np.empty(len(r))
    density[1:] = radial[1:] / (4 * np.pi * r[1:] ** 2)
    # even at the nucleus: the parabola through the next two points
    density[0] = (4 * density[1] - density[2]) / 3
    return density
