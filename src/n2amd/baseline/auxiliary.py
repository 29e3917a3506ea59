"""Atom-centred functions that densities are written in: primitive ones, and the few that frames really use.

    rho(r) - rho_model(r) = sum_a sum_qlm c_aqlm f_zql(|r - r_a|) Y_lm,     l = 0..4

The primitives of an element are products of its own radial functions and B-splines. Fits of a few frames in
them give, per element and l, a covariance of coefficients; its leading eigenvectors in the metric of the fit
are the functions kept (principal components): a fixed number of each l, and more where an atom has much of
them. Electrons in covalent bonds do: seen from an atom, what gathers half-way to its neighbours is of l = 3
and 4, and of no product of its own orbitals.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline, CubicSpline
from scipy.special import spherical_jn

from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.orbitals.bessel_transform import interpolate

#: Highest l of a density.
L_MAX = 4
#: Functions kept per l, at least and at most; between the two, those that have more than `MUCH` of the norm
#: of the fit in an average atom. Fits that leave 3e-6 an atom move edges by some 3 meV (silicene, MoS2, Si,
#: GaAs, rutile), those that leave 5e-5 by 20 to 40.
FEWEST, MOST, MUCH = (5, 4, 4, 2, 2), (8, 8, 8, 6, 6), 3e-6
#: Spacing of the primitive B-splines, and how far from the nucleus r^l bends over, Angstrom.
KNOT_SPACING, BEND = 0.45, 0.6
#: Grid of tabulated functions, Angstrom.
STEP = 0.01
#: Form factors are tabulated up to this wave number with this spacing, 1/Angstrom.
MAX_WAVE_NUMBER, WAVE_NUMBER_STEP = 30.0, 0.04


@dataclass(frozen=True)
class AuxiliaryBasis:
    """Density functions of every element: shells whose radial functions are densities over r^l.

    Attributes
    ----------
    atoms
        Shells per atomic number, ascending in l.
    """

    atoms: Mapping[int, tuple[Shell, ...]]

    def n_functions(self, number: int) -> int:
        """Coefficients of an atom."""
        return sum(shell.n_orbitals for shell in self.atoms[number])

    def counts(self, number: int) -> tuple[int, ...]:
        """Radial functions per l = 0..L_MAX."""
        return tuple(sum(shell.l == l for shell in self.atoms[number]) for l in range(L_MAX + 1))

    def offsets(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """First coefficient of each atom and the total, (n_atoms + 1,)."""
        elements, element = np.unique(numbers, return_inverse=True)
        sizes = np.array([self.n_functions(int(z)) for z in elements], dtype=np.int64)
        return np.concatenate([[0], np.cumsum(sizes[element])])

    @cached_property
    def form_factors(self) -> dict[int, list[CubicSpline]]:
        """Fourier transforms 4 pi int f(r) j_l(Gr) r^2 dr as functions of G; one spline a shell."""
        return {z: [form_factor(shell) for shell in shells] for z, shells in self.atoms.items()}

    def charges(self, number: int) -> NDArray[np.float64]:
        """Electrons of a unit coefficient of each l = 0 function, (n_l0,)."""
        return self._charges[number]

    @cached_property
    def _charges(self) -> dict[int, NDArray[np.float64]]:
        """`charges` of all elements."""
        whole = {
            z: [float(f(0.0)) for f, s in zip(self.form_factors[z], shells) if s.l == 0]
            for z, shells in self.atoms.items()
        }
        return {z: np.array(values) / np.sqrt(4 * np.pi) for z, values in whole.items()}

    def charges_of(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Electrons of a unit of each coefficient of a structure, (n_total,)."""
        padded = {}
        for z in map(int, np.unique(numbers)):
            own = self.charges(z)
            padded[z] = np.concatenate([own, np.zeros(self.n_functions(z) - len(own))])
        return np.concatenate([padded[int(z)] for z in numbers])

    def to_json(self) -> str:
        """Serialise; floats survive exactly."""
        document = {
            str(z): [{"l": s.l, "label": s.label, "radial": _radial_document(s)} for s in shells]
            for z, shells in sorted(self.atoms.items())
        }
        return json.dumps(document)

    @classmethod
    def from_json(cls, text: str) -> AuxiliaryBasis:
        """Inverse of `to_json`."""
        return cls(
            {
                int(z): tuple(Shell(s["l"], s["label"], RadialFunction(**s["radial"])) for s in shells)
                for z, shells in json.loads(text).items()
            }
        )


def _radial_document(shell: Shell) -> dict[str, Any]:
    radial = _radial(shell)
    return {"step": radial.step, "values": radial.values.tolist(), "cutoff": radial.cutoff}


def form_factor(shell: Shell) -> CubicSpline:
    """4 pi int f(r) j_l(Gr) r^2 dr of a density function, as a spline over G (1/Angstrom)."""
    radial = _radial(shell)
    r = radial.step * np.arange(len(radial.values))
    weighted = 4 * np.pi * radial.step * radial.values * r ** (shell.l + 2)
    wave = np.arange(0.0, MAX_WAVE_NUMBER + WAVE_NUMBER_STEP, WAVE_NUMBER_STEP)
    return CubicSpline(wave, spherical_jn(shell.l, wave[:, None] * r) @ weighted)


def primitive_basis(basis: Basis) -> AuxiliaryBasis:
    """Products of orbitals and B-splines of every l, for every element of a basis."""
    return AuxiliaryBasis({z: _primitives(basis[z]) for z in basis.numbers})


def _primitives(atom: AtomBasis) -> tuple[Shell, ...]:
    cutoff = atom.cutoff
    assert cutoff is not None
    r = _grid(cutoff)
    shells: list[Shell] = []
    for l in range(L_MAX + 1):
        tables = [*_products(atom, l, r), *_splines(l, r, cutoff)]
        shells += [_shell(l, f"{l}.{k}", table, cutoff) for k, table in enumerate(tables)]
    return tuple(shells)


def _grid(cutoff: float) -> NDArray[np.float64]:
    return STEP * np.arange(int(np.ceil(cutoff / STEP - 1e-9)) + 1, dtype=np.float64)


def _shell(l: int, label: str, table: NDArray[np.float64], cutoff: float) -> Shell:
    return Shell(l, label, RadialFunction(STEP, table, cutoff))


def _products(atom: AtomBasis, l: int, r: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """R_a R_b / r^l of the pairs of shells whose product holds l."""
    tables = []
    for k, a in enumerate(atom.shells):
        for b in atom.shells[k:]:
            if abs(a.l - b.l) <= l <= a.l + b.l and (a.l + b.l - l) % 2 == 0:
                tables.append(_orbital(a, r) * _orbital(b, r) * r ** (a.l + b.l - l))
    return tables


def _orbital(shell: Shell, r: NDArray[np.float64]) -> NDArray[np.float64]:
    radial = _radial(shell)
    return np.where(r < radial.cutoff, interpolate(radial)(np.minimum(r, radial.cutoff)), 0.0)


def _splines(l: int, r: NDArray[np.float64], cutoff: float) -> list[NDArray[np.float64]]:
    """Cubic B-splines that end before the cutoff, even at the nucleus, times (r^2 + a^2)^(-l/2)."""
    h = KNOT_SPACING
    bump = BSpline.basis_element(h * np.arange(-2, 3), extrapolate=False)
    bend = (r * r + BEND * BEND) ** (-l / 2)
    tables = []
    for centre in np.arange(h if l else 0.0, cutoff - 2 * h + 1e-9, h):
        value = np.nan_to_num(bump(r - centre))
        if 0 < centre < 2 * h:
            value = value + np.nan_to_num(bump(r + centre))
        tables.append(value * bend)
    return tables


def contract(
    primitives: AuxiliaryBasis,
    covariance: Mapping[tuple[int, int], NDArray[np.float64]],
    metric: Mapping[tuple[int, int], NDArray[np.float64]],
) -> AuxiliaryBasis:
    """Keep the principal components of fitted coefficients.

    Parameters
    ----------
    primitives
        Functions that frames were fitted in.
    covariance, metric
        Per (element, l): mean over atoms and frames of c c^T summed over m; mean norm matrix of the fit.
    """
    atoms = {}
    for z, listed in primitives.atoms.items():
        shells = list[Shell]()
        for l, (fewest, most) in enumerate(zip(FEWEST, MOST)):
            if not (of_l := [s for s in listed if s.l == l]):
                continue
            weights, shares = principal_components(covariance[z, l], metric[z, l])
            n = min(max(fewest, int((shares > MUCH).sum())), most)
            tables = weights[:, :n].T @ np.array([_radial(s).values for s in of_l])
            cutoff = _radial(of_l[0]).cutoff
            shells += [_shell(l, f"{l}.{k}", table, cutoff) for k, table in enumerate(tables)]
        atoms[z] = tuple(shells)
    return AuxiliaryBasis(atoms)


def _radial(shell: Shell) -> RadialFunction:
    assert isinstance(shell.radial, RadialFunction)
    return shell.radial


def principal_components(
    covariance: NDArray[np.float64], metric: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Combinations (n, n) of functions, normalised in `metric`, and the norm along each, (n,), falling."""
    values, vectors = np.linalg.eigh(metric)
    values = np.maximum(values, 1e-6 * values[-1])
    root, inverse = (vectors * values**power @ vectors.T for power in (0.5, -0.5))
    shares, components = np.linalg.eigh(root @ covariance @ root)
    return inverse @ components[:, ::-1], shares[::-1]
