"""Made-up atoms with fully relativistic pseudopotentials, and a crystal of them."""

from __future__ import annotations

import numpy as np

from n2amd.frames.ingredients import AtomIngredients, Ingredients, Projector, SplitProjector
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.structure import Structure
from n2amd.units import SIESTA_BOHR_ANGSTROM as BOHR
from n2amd.units import SIESTA_RYDBERG_EV as RYDBERG

NOTHING = RadialFunction(0.1, np.zeros(11), 1.0)
UPPER, LOWER = -3.0, -5.5


def gaussian(exponent: float, l: int) -> RadialFunction:
    """R / r^l of a Gaussian that is normalised numerically."""
    r = np.linspace(0, np.sqrt(32 / exponent), 801)
    values = np.exp(-exponent * r**2)
    return RadialFunction(r[1], values / np.sqrt(np.trapezoid(r ** (2 * l + 2) * values**2, r)), r[-1])


def split(l: int, exponent: float) -> tuple[SplitProjector, ...]:
    shell = Shell(l, f"l{l}", gaussian(exponent, l))
    return SplitProjector(shell, True, UPPER), SplitProjector(shell, False, LOWER)


def mean(l: int, exponent: float) -> Projector:
    energy = ((l + 1) * UPPER + l * LOWER) / (2 * l + 1)
    return Projector(Shell(l, f"l{l}", gaussian(exponent, l)), energy)


BASIS = Basis(
    {
        6: AtomBasis(6, (Shell(0, "2s", gaussian(0.8, 0)), Shell(1, "2p", gaussian(0.9, 1)))),
        42: AtomBasis(42, (Shell(1, "4p", gaussian(0.7, 1)), Shell(2, "4d", gaussian(1.0, 2)))),
    }
)
INGREDIENTS = Ingredients(
    "siesta",
    "PBE",
    200.0,
    RYDBERG,
    BOHR,
    {
        6: AtomIngredients(6, (mean(1, 1.5),), NOTHING, NOTHING, split_projectors=split(1, 1.5)),
        42: AtomIngredients(42, (mean(2, 1.8),), NOTHING, NOTHING, split_projectors=split(2, 1.8)),
    },
)
CELL = np.array([[4.4, 0.2, 0.0], [-0.4, 4.6, 0.3], [0.1, 0.0, 5.2]])
CRYSTAL = Structure(CELL, np.array([[0.1, 0.2, 0.3], [1.7, 1.9, 2.4], [3.0, 0.4, 1.1]]), np.array([42, 6, 6]))
