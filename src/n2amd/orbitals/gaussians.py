"""Contracted Gaussian basis sets (CP2K, PySCF) as radial functions, so that one overlap table serves all.

R(r) = sum_p c_p N_l(a_p) r^l exp(-a_p r^2), with primitives normalised by N_l and then the whole
contraction normalised: both codes do so by default, whatever the norm of the printed coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import gamma, gammaincc

from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis, RadialFunction, Shell
from n2amd.orbitals.bessel_transform import MAX_WAVE_NUMBER, QUADRATURE_STEP

#: A Gaussian basis has no end. Its radial functions stop where the square root of the norm left out, which
#: bounds the error of any overlap, falls to this.
TAIL = 1e-9
#: Sharpest primitive that the overlap quadrature resolves to 1e-10, 1/Angstrom^2 (217 / Bohr^2).
MAX_EXPONENT = MAX_WAVE_NUMBER**2 / (2 * np.log(1e10))


@dataclass(frozen=True)
class ContractedShell:
    """One contracted Gaussian shell as basis-set files give it.

    Attributes
    ----------
    l
        Angular momentum.
    exponents
        (n_primitives,), 1/Angstrom^2.
    coefficients
        Of normalised primitives, (n_primitives,); their overall scale does not matter.
    """

    l: int
    exponents: NDArray[np.float64]
    coefficients: NDArray[np.float64]

    def __post_init__(self) -> None:
        exponents = np.asarray(self.exponents, dtype=np.float64)
        coefficients = np.asarray(self.coefficients, dtype=np.float64)
        remedy = "check the basis set file"
        if not (np.isfinite(exponents).all() and (exponents > 0).all() and len(exponents)):
            raise InputError(
                f"exponents must be positive, found {exponents}", field="exponents", remedy=remedy
            )
        if coefficients.shape != exponents.shape or not np.isfinite(coefficients).all():
            raise InputError(
                f"{len(exponents)} exponents with coefficients {coefficients}",
                field="coefficients",
                remedy=remedy,
            )
        if not coefficients.any():
            raise InputError("all coefficients are zero", field="coefficients", remedy=remedy)
        object.__setattr__(self, "exponents", exponents)
        object.__setattr__(self, "coefficients", coefficients)

    def prefactors(self) -> NDArray[np.float64]:
        """Factors of r^l exp(-a r^2) in the normalised contraction, (n_primitives,), Angstrom^(-3/2 - l)."""
        factors = self.coefficients / np.sqrt(_squared_norm(self.l, 2 * self.exponents))
        sums = self.exponents[:, None] + self.exponents
        return factors / np.sqrt(factors @ _squared_norm(self.l, sums) @ factors)

    def reduced_radial(self, r: ArrayLike) -> NDArray[np.float64]:
        """R(r) / r^l at distances r (...,), Angstrom."""
        return np.exp(-np.square(r)[..., None] * self.exponents) @ self.prefactors()

    def radius(self, tail: float = TAIL) -> float:
        """Distance beyond which the square root of the norm is below `tail`, Angstrom."""
        factors = self.prefactors()
        sums = self.exponents[:, None] + self.exponents

        def excess(r: float) -> float:
            outside = _squared_norm(self.l, sums) * gammaincc(self.l + 1.5, sums * r * r)
            return float(np.log(np.abs(factors) @ outside @ np.abs(factors) + 1e-300) - 2 * np.log(tail))

        return float(brentq(excess, 0.0, np.sqrt(400.0 / self.exponents.min())))

    def shell(self, label: str, tail: float = TAIL) -> Shell:
        """Tabulate the radial function.

        The grid is that of the overlap quadrature, so that nothing is interpolated.

        Raises
        ------
        InputError
            If a primitive is too sharp for the quadrature.
        """
        if (sharpest := self.exponents.max()) > MAX_EXPONENT:
            raise InputError(
                f"shell {label!r} has a primitive of exponent {sharpest:.4g} / A^2; overlaps resolve "
                f"{MAX_EXPONENT:.0f} / A^2",
                field="basis",
                remedy="use a basis for pseudopotentials (GTH, MOLOPT), not an all-electron one",
            )
        cutoff = self.radius(tail)
        r = QUADRATURE_STEP * np.arange(np.ceil(cutoff / QUADRATURE_STEP) + 1)
        return Shell(self.l, label, RadialFunction(QUADRATURE_STEP, self.reduced_radial(r), cutoff))


def gaussian_atom(
    number: int, shells: Sequence[ContractedShell], valence_charge: float = 0.0, tail: float = TAIL
) -> AtomBasis:
    """Basis of one element from contracted shells, in their order.

    Labels count the shells of each l: "1s", "2s", "1p", .. They are ordinals, not principal quantum numbers.
    """
    counts: dict[int, int] = {}
    listed = []
    for shell in shells:
        counts[shell.l] = counts.get(shell.l, 0) + 1
        listed.append(shell.shell(f"{counts[shell.l]}{'spdfghik'[shell.l]}", tail))
    return AtomBasis(number, tuple(listed), valence_charge)


def _squared_norm(l: int, exponent: NDArray[np.float64]) -> NDArray[np.float64]:
    """int_0^inf r^(2l + 2) exp(-a r^2) dr."""
    return gamma(l + 1.5) / (2 * exponent ** (l + 1.5))
