"""Occupation of levels near the Fermi level, as the DFT code smears it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import entr, erfc, expit, factorial

from n2amd.errors import InputError

#: A level this many widths from the Fermi level is full or empty, to the last digit that counts.
FAR = 36.0
#: Width of the step where a code does not smear, eV.
STEP_WIDTH = 1e-4
FERMI_DIRAC, METHFESSEL_PAXTON = "Fermi-Dirac", "Methfessel-Paxton"
_TEXT = re.compile(rf"({FERMI_DIRAC}|{METHFESSEL_PAXTON}) of order (\d+), (\S+) eV")


@dataclass(frozen=True)
class Smearing:
    """Occupation function.

    Attributes
    ----------
    width
        k_B times the electronic temperature, eV.
    order
        Order of Methfessel and Paxton; 0: Fermi and Dirac.
    """

    width: float
    order: int = 0

    def __str__(self) -> str:
        kind = METHFESSEL_PAXTON if self.order else FERMI_DIRAC
        return f"{kind} of order {self.order}, {self.width:.10g} eV"

    @classmethod
    def of_origin(cls, origin: Mapping[str, str]) -> Smearing:
        """Smearing of a frame, from its origin.

        Raises
        ------
        InputError
            If it is not known, or of a kind whose occupations are not known here.
        """
        text = origin.get("smearing", "")
        if (found := _TEXT.fullmatch(text)) is None:
            raise InputError(
                f"the occupation of the levels near the Fermi level is {text or 'unknown'}",
                field="ElectronicTemperature",
                remedy=f"give the smearing, {FERMI_DIRAC} or {METHFESSEL_PAXTON}",
            )
        return cls(float(found[3]), int(found[2]))

    @classmethod
    def filled(cls) -> Smearing:
        """Levels filled from below: so narrow a step that none of two levels is half full."""
        return cls(STEP_WIDTH)

    def occupations(
        self, energies: NDArray[np.float64], fermi_level: float | NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Occupations of levels, 0 to 1 (Methfessel and Paxton: a little outside), same shape.

        Source: M. Methfessel and A. T. Paxton, Phys. Rev. B 40, 3616 (1989), eq. 11.
        """
        x = (energies - fermi_level) / self.width
        if not self.order:
            return expit(-x)
        x = np.clip(x, -FAR, FAR)
        coefficients = np.zeros(2 * self.order)
        factor = 1 / np.sqrt(np.pi)
        for n in range(1, self.order + 1):
            factor *= -1 / (4 * n)
            coefficients[2 * n - 1] = factor
        return erfc(x) / 2 + np.polynomial.hermite.hermval(x, coefficients) * np.exp(-(x**2))

    def energies(
        self, energies: NDArray[np.float64], fermi_level: float | NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Minus temperature times entropy of each level, eV, same shape as the levels.

        With it the sum of occupied levels is stationary in the occupations at a fixed number of electrons.
        Source: M. Methfessel and A. T. Paxton, Phys. Rev. B 40, 3616 (1989), eq. 13.
        """
        x = (energies - fermi_level) / self.width
        if not self.order:
            return np.asarray(-self.width * (entr(expit(-x)) + entr(expit(x))))
        x = np.clip(x, -FAR, FAR)
        coefficients = np.zeros(2 * self.order + 1)
        coefficients[-1] = -((-1 / 4) ** self.order) / (factorial(self.order) * np.sqrt(np.pi)) / 2
        shape = np.polynomial.hermite.hermval(x, coefficients) * np.exp(-(x**2))
        return self.width * np.asarray(shape, dtype=np.float64)

    def fermi_level(
        self, energies: NDArray[np.float64], weights: NDArray[np.float64], n_electrons: float
    ) -> float:
        """Fermi level at which the levels hold the electrons.

        Parameters
        ----------
        energies
            Levels (n_k, n_bands), eV.
        weights
            Electrons that a full level of each k point holds, (n_k,).
        n_electrons
            Electrons in the cell.

        Raises
        ------
        InputError
            If the levels cannot hold them.
        """
        total = float(weights.sum() * energies.shape[1])
        if not 0 < n_electrons < total:
            raise InputError(
                f"{n_electrons:g} electrons do not fit in levels for {total:g}", field="n_electrons"
            )

        def excess(level: float) -> float:
            return float(weights @ self.occupations(energies, level).sum(axis=1)) - n_electrons

        margin = FAR * self.width
        low, high = float(energies.min()) - margin, float(energies.max()) + margin
        return float(brentq(excess, low, high, xtol=1e-13, rtol=1e-15, maxiter=500))
