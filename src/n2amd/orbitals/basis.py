"""Atomic-orbital basis sets as frozen value types: the only authority on orbital order.

Canonical order of an atom's orbitals: shell after shell as the DFT code lists them, inside a shell real
spherical harmonics m = -l..l without the Condon-Shortley sign, so p = (y, z, x) and
d = (xy, yz, z2, xz, x2-y2).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError

if TYPE_CHECKING:
    from scipy.interpolate import CubicSpline


@dataclass(frozen=True, eq=False)
class RadialFunction:
    """Radial part of an orbital on a uniform grid, zero from the cutoff on.

    Attributes
    ----------
    step
        Grid spacing, Angstrom; point k lies at r = k * step.
    values
        R(r) / r^l, (n_points,), in Angstrom^(-3/2 - l), normalised so that the integral of R^2 r^2 is 1
        up to the DFT code's own accuracy.
    cutoff
        Radius beyond which the function vanishes, Angstrom.
    """

    step: float
    values: NDArray[np.float64]
    cutoff: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.ascontiguousarray(self.values, dtype=np.float64))

    @property
    def reach(self) -> float:
        """Share of the orbital in the distance from which on its overlaps vanish: the cutoff, Angstrom."""
        return self.cutoff

    @cached_property
    def spline(self) -> CubicSpline:
        """Cubic spline of `values`: flat at the nucleus (an even function of r), natural at the end."""
        from scipy.interpolate import CubicSpline

        grid = self.step * np.arange(len(self.values))
        return CubicSpline(grid, self.values, bc_type=((1, 0.0), (2, 0.0)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RadialFunction):
            return NotImplemented
        same_grid = (self.step, self.cutoff) == (other.step, other.cutoff)
        return same_grid and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((self.step, self.cutoff, self.values.tobytes()))


#: How far the overlaps of an OpenMX orbital outlive its cutoff, Angstrom.
PAO_MARGIN = 0.015


@dataclass(frozen=True, eq=False)
class PaoTable:
    """Radial part of an orbital as OpenMX tabulates it (.pao), on the logarithmic mesh of the file.

    What OpenMX calls S depends on how it interpolates and integrates this table, so the table is kept as it
    is; `n2amd.orbitals.openmx_quadrature` holds the rules.

    Attributes
    ----------
    radii
        Mesh, ascending, (n_points,), Angstrom.
    values
        R(r) itself, (n_points,), Angstrom^(-3/2), neither normalised nor orthogonalised.
    cutoff
        Radius beyond which the function vanishes, Angstrom.
    """

    radii: NDArray[np.float64]
    values: NDArray[np.float64]
    cutoff: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "radii", np.ascontiguousarray(self.radii, dtype=np.float64))
        object.__setattr__(self, "values", np.ascontiguousarray(self.values, dtype=np.float64))

    @property
    def reach(self) -> float:
        """Share of the orbital in the distance from which on its overlaps vanish, Angstrom.

        OpenMX cuts overlaps at the sum of the two cutoffs, where its quadrature leaves up to 4e-7; here they
        are kept up to there and go to zero just beyond.
        """
        return self.cutoff + PAO_MARGIN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PaoTable):
            return NotImplemented
        same_mesh = self.cutoff == other.cutoff and np.array_equal(self.radii, other.radii)
        return same_mesh and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return hash((self.cutoff, self.radii.tobytes(), self.values.tobytes()))


#: A radial function in any of the forms DFT codes give it; each has `values`, `cutoff` and `reach`.
Radial = RadialFunction | PaoTable


@dataclass(frozen=True)
class Shell:
    """One shell: 2 l + 1 orbitals sharing a radial function.

    Attributes
    ----------
    l
        Angular momentum.
    label
        Name as the DFT code would say it, e.g. "3d" or "3d z2"; unique inside an atom.
    radial
        Radial function where the code gives it.
    """

    l: int
    label: str
    radial: Radial | None = None

    @property
    def n_orbitals(self) -> int:
        """Number of orbitals, 2 l + 1."""
        return 2 * self.l + 1


@dataclass(frozen=True)
class AtomBasis:
    """The shells of one element, in canonical orbital order."""

    number: int
    shells: tuple[Shell, ...]
    valence_charge: float = 0.0

    @cached_property
    def n_orbitals(self) -> int:
        """Number of orbitals of the atom."""
        return sum(shell.n_orbitals for shell in self.shells)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First orbital of each shell."""
        return tuple(int(k) for k in np.cumsum([0, *(shell.n_orbitals for shell in self.shells)])[:-1])

    @property
    def cutoff(self) -> float | None:
        """Largest reach of an orbital in Angstrom, None where a radial function is unknown."""
        if any(shell.radial is None for shell in self.shells):
            return None
        return max(shell.radial.reach for shell in self.shells if shell.radial is not None)

    def shell_slices(self) -> Iterator[tuple[Shell, slice]]:
        """Iterate over (shell, slice of its orbitals)."""
        for shell, start in zip(self.shells, self.offsets):
            yield shell, slice(start, start + shell.n_orbitals)


@dataclass(frozen=True)
class Basis:
    """Basis of every element of a material, keyed by atomic number."""

    atoms: Mapping[int, AtomBasis] = field(default_factory=dict)

    def __getitem__(self, number: int) -> AtomBasis:
        try:
            return self.atoms[int(number)]
        except KeyError:
            known = ", ".join(map(str, self.numbers))
            raise InputError(
                f"the basis has no element with atomic number {number} (it has {known})",
                remedy="use a data set or model of these elements",
            ) from None

    def __contains__(self, number: object) -> bool:
        return number in self.atoms

    @property
    def numbers(self) -> tuple[int, ...]:
        """Atomic numbers, ascending."""
        return tuple(sorted(self.atoms))

    @property
    def has_radial_functions(self) -> bool:
        """Tell whether every radial function is known."""
        return all(shell.radial is not None for atom in self.atoms.values() for shell in atom.shells)

    def orbital_counts(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Orbitals of each atom, (n_atoms,)."""
        return np.array([self[z].n_orbitals for z in numbers], dtype=np.int64)

    def orbital_offsets(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """First orbital of each atom and, last, the total, (n_atoms + 1,)."""
        return np.concatenate([[0], np.cumsum(self.orbital_counts(numbers))])

    def valence_electrons(self, numbers: NDArray[np.int64]) -> float:
        """Valence electrons of the neutral structure."""
        return float(sum(self[z].valence_charge for z in numbers))

    def to_json(self) -> str:
        """Serialise, radial functions included (floats survive exactly)."""
        document = {
            str(z): {
                "valence_charge": atom.valence_charge,
                "shells": [
                    {"l": s.l, "label": s.label, "radial": s.radial and _radial_to_document(s.radial)}
                    for s in atom.shells
                ],
            }
            for z, atom in sorted(self.atoms.items())
        }
        return json.dumps(document)

    @classmethod
    def from_json(cls, text: str) -> Basis:
        """Inverse of `to_json`."""
        atoms = {}
        for z, entry in json.loads(text).items():
            shells = tuple(
                Shell(s["l"], s["label"], s["radial"] and _radial_from_document(s["radial"]))
                for s in entry["shells"]
            )
            atoms[int(z)] = AtomBasis(int(z), shells, entry["valence_charge"])
        return cls(atoms)


def _radial_to_document(radial: Radial) -> dict[str, Any]:
    """Fields of a radial function; the mesh, a spacing or a list of radii, tells its form."""
    values = {"cutoff": radial.cutoff, "values": radial.values.tolist()}
    if isinstance(radial, PaoTable):
        return {"radii": radial.radii.tolist(), **values}
    return {"step": radial.step, **values}


def _radial_from_document(document: dict[str, Any]) -> Radial:
    return PaoTable(**document) if "radii" in document else RadialFunction(**document)
