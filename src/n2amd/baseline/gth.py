"""Pseudopotentials of Goedecker, Teter and Hutter, which are analytic, as ingredients of H0.

    V_loc(r) = -Z erf(r / (sqrt 2 r_loc)) / r + exp(-x^2 / 2) (C1 + C2 x^2 + C3 x^4 + C4 x^6),  x = r / r_loc
    V_nl     = sum_lm sum_ij |p_i Y_lm> h_ij <p_j Y_lm|,  p_i ~ r^(l + 2i - 2) exp(-r^2 / (2 r_l^2))

S. Goedecker, M. Teter, J. Hutter, Phys. Rev. B 54, 1703 (1996); C. Hartwigsen, S. Goedecker, J. Hutter, Phys.
Rev. B 58, 3641 (1998). Lengths are in Bohr and energies in Hartree, as the published tables have them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from n2amd.errors import InputError
from n2amd.frames.ingredients import Projector
from n2amd.orbitals.basis import RadialFunction, Shell

#: Where projectors and the short-ranged part end: in their Gaussian's widths, exp(-8.5^2 / 2) = 2e-16.
WIDTHS = 8.5
#: Spacing of the tables, Angstrom.
STEP = 0.005
#: Energies (Hartree) of combined projectors below this count as none.
NO_ENERGY = 1e-12


@dataclass(frozen=True)
class GthChannel:
    """Projectors of one angular momentum.

    Attributes
    ----------
    l
        Angular momentum.
    radius
        r_l, Bohr.
    matrix
        h_ij, symmetric, rows of it, Hartree.
    """

    l: int
    radius: float
    matrix: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class GthPotential:
    """Pseudopotential of one element.

    Attributes
    ----------
    name
        As its file calls it, e.g. "GTH-PBE-q4".
    electrons
        Valence electrons of each angular momentum, s, p, ...
    radius
        r_loc, Bohr.
    coefficients
        C1, C2, ... (at most four), Hartree.
    channels
        Non-local part.
    """

    name: str
    electrons: tuple[int, ...]
    radius: float
    coefficients: tuple[float, ...]
    channels: tuple[GthChannel, ...]

    def __post_init__(self) -> None:
        positive = self.radius > 0 and all(channel.radius > 0 for channel in self.channels)
        if not positive or self.charge <= 0 or len(self.coefficients) > 4:
            raise InputError(
                f"{self.name} has radii {[self.radius, *(c.radius for c in self.channels)]}, "
                f"{self.charge} electrons and {len(self.coefficients)} local coefficients",
                field="pseudopotential",
                remedy="copy it again from the file of the DFT code",
            )

    @property
    def charge(self) -> int:
        """Charge of the ion, e."""
        return sum(self.electrons)

    def short_ranged(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        """The local potential without its Coulomb part at distances r (Bohr), Hartree."""
        square = np.square(r / self.radius)
        return np.exp(-square / 2) * np.polynomial.polynomial.polyval(square, [*self.coefficients, 0.0])

    def local(self, r: NDArray[np.float64]) -> NDArray[np.float64]:
        """The local potential at distances r (Bohr), Hartree."""
        width = math.sqrt(2) * self.radius
        safe = np.maximum(r, 1e-9)
        return self.short_ranged(r) - self.charge * erf(safe / width) / safe

    def to_json(self) -> str:
        """Serialise; floats survive exactly."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> GthPotential:
        """Inverse of `to_json`."""
        document = json.loads(text)
        channels = [
            GthChannel(c["l"], c["radius"], tuple(map(tuple, c["matrix"]))) for c in document["channels"]
        ]
        return cls(
            document["name"],
            tuple(document["electrons"]),
            document["radius"],
            tuple(document["coefficients"]),
            tuple(channels),
        )


def separable_projectors(channels: Sequence[GthChannel], rydberg: float, bohr: float) -> list[Projector]:
    """Write sum_ij |p_i> h_ij <p_j| as a sum of orthonormal projectors with energies.

    The p_i are normalised but not orthogonal: with O their overlaps, the eigenvectors U of O^1/2 h O^1/2 give
    q = p O^-1/2 U, and the eigenvalues are the energies.

    Parameters
    ----------
    channels
        Non-local part.
    rydberg, bohr
        One Rydberg in eV and one Bohr in Angstrom, as the code has them.
    """
    projectors = []
    for channel in channels:
        h = np.array(channel.matrix, dtype=np.float64).reshape(len(channel.matrix), -1)
        values, vectors = np.linalg.eigh(_overlaps(channel.l, len(h)))
        root = vectors * np.sqrt(values) @ vectors.T
        inverse = vectors / np.sqrt(values) @ vectors.T
        energies, rotations = np.linalg.eigh(root @ h @ root)
        weights = inverse @ rotations
        for n, energy in enumerate(energies):
            if abs(energy) > NO_ENERGY:
                radial = _combined(channel, weights[:, n], bohr)
                shell = Shell(channel.l, f"{'spdfg'[channel.l]}{n + 1}", radial)
                projectors.append(Projector(shell, float(energy) * 2 * rydberg))
    return projectors


def _overlaps(l: int, n: int) -> NDArray[np.float64]:
    """Overlaps of the normalised p_i of one radius, (n, n)."""
    order = l + 2 * np.arange(n)
    norms = [math.lgamma(m + 1.5) for m in order]
    return np.array(
        [
            [
                math.exp(math.lgamma((a + b) / 2 + 1.5) - (norms[i] + norms[j]) / 2)
                for j, b in enumerate(order)
            ]
            for i, a in enumerate(order)
        ]
    )


def _combined(channel: GthChannel, weights: NDArray[np.float64], bohr: float) -> RadialFunction:
    """Radial function sum_i w_i p_i / r^l, in Angstrom."""
    radius, l = channel.radius * bohr, channel.l
    cutoff = WIDTHS * radius
    r = STEP * np.arange(math.ceil(cutoff / STEP) + 1)
    total = np.zeros(len(r))
    for i, weight in enumerate(weights):
        power = l + 2 * i + 1.5
        norm = math.sqrt(2 / math.gamma(power)) / radius**power
        total += weight * norm * r ** (2 * i)
    return RadialFunction(STEP, total * np.exp(-np.square(r / radius) / 2), cutoff)
