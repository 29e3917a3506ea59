"""What H0 needs of a DFT code beside the orbitals: projectors, local potentials, densities, mesh, functional.

    H0 = T + V_KB + <V_NA + V_H[rho - rho_atoms] + V_xc[rho + core]>

T and V_KB are two-centre (or three-centre) sums of radial functions; the rest is a potential on the code's
own mesh (J. M. Soler et al., J. Phys. Condens. Matter 14, 2745 (2002), eq. 9-15).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.frames.discretisation import Discretisation, find_discretisation
from n2amd.frames.mesh import Mesh, openmx_offset
from n2amd.orbitals.basis import AtomBasis, Basis, RadialFunction, Shell
from n2amd.orbitals.uniform_radial import uniform_basis
from n2amd.structure import Structure


@dataclass(frozen=True)
class Projector:
    """One Kleinman-Bylander projector: V = sum_m |p_lm> energy <p_lm|.

    Attributes
    ----------
    shell
        Its l and normalised radial function.
    energy
        eV.
    """

    shell: Shell
    energy: float


@dataclass(frozen=True)
class SplitProjector:
    """One projector of a total angular momentum: V = sum_m |p_jm> energy <p_jm|, spinors.

    Attributes
    ----------
    shell
        Its l > 0 and normalised radial function.
    upper
        Whether j = l + 1/2; else l - 1/2.
    energy
        eV.
    """

    shell: Shell
    upper: bool
    energy: float


@dataclass(frozen=True)
class AtomIngredients:
    """One element's part of H0.

    Attributes
    ----------
    number
        Atomic number.
    projectors
        Of the non-local pseudopotential.
    neutral_potential
        V_NA: local pseudopotential plus Hartree potential of `density`, eV (a function of r, l = 0).
    density
        Valence electrons of the neutral atom, spherical, 1/A^3.
    core_density
        Partial core for the exchange-correlation functional, 1/A^3; None where there is none.
    zero
        What the code's zero of the potential adds to the integral of `neutral_potential`, eV A^3; over the
        volume of the cell it is a constant in H.
    split_projectors
        Of a fully relativistic pseudopotential, l > 0: `projectors` are their mean over j. Empty where the
        code's file does not tell.
    """

    number: int
    projectors: tuple[Projector, ...]
    neutral_potential: RadialFunction
    density: RadialFunction
    core_density: RadialFunction | None = None
    zero: float = 0.0
    split_projectors: tuple[SplitProjector, ...] = ()

    @cached_property
    def projector_basis(self) -> AtomBasis:
        """The projectors as the shells of an atom, for two-centre tables."""
        return AtomBasis(self.number, tuple(p.shell for p in self.projectors))

    @cached_property
    def projector_energies(self) -> NDArray[np.float64]:
        """Energy of every projector function, shell after shell, (n_functions,), eV."""
        return np.concatenate(
            [np.zeros(0), *(np.full(p.shell.n_orbitals, p.energy) for p in self.projectors)]
        )


@dataclass(frozen=True)
class Ingredients:
    """What H0 needs of a run, element by element, and how its code discretises.

    Attributes
    ----------
    scheme
        Whose mesh, gradients and units are followed, see `n2amd.frames.discretisation`.
    functional
        Label of the semilocal functional, e.g. "PBE".
    mesh_cutoff
        Plane-wave cutoff of the mesh, Ry.
    rydberg, bohr
        One Rydberg in eV and one Bohr in Angstrom, as the code has them.
    atoms
        By atomic number.
    """

    scheme: str
    functional: str
    mesh_cutoff: float
    rydberg: float
    bohr: float
    atoms: Mapping[int, AtomIngredients] = field(default_factory=dict)

    def __getitem__(self, number: int) -> AtomIngredients:
        try:
            return self.atoms[int(number)]
        except KeyError:
            raise InputError(
                f"H0 has no ingredients of the element with Z = {number} (it has Z = {sorted(self.atoms)})",
                field="numbers",
                remedy="train on data that hold this element",
            ) from None

    @property
    def discretisation(self) -> Discretisation:
        """The rules of the code."""
        return find_discretisation(self.scheme)

    def orbitals(self, basis: Basis) -> Basis:
        """Return the basis as mesh integrals take it: on uniform grids, Gaussians with an end."""
        return uniform_basis(basis, self.discretisation.tail)

    def density_orbitals(self, basis: Basis) -> Basis:
        """Return the basis that functions for densities are made of."""
        return uniform_basis(basis, self.discretisation.density_tail)

    def potential_zero(self, structure: Structure) -> float:
        """Constant that the code's zero of the potential adds, eV."""
        volume = abs(float(np.linalg.det(structure.cell)))
        return sum(self[z].zero for z in structure.numbers) / volume

    def mesh_of(self, cell: NDArray[np.float64]) -> Mesh:
        """Mesh that the code makes for a cell."""
        return self.discretisation.mesh(cell, self.mesh_cutoff, self.bohr)

    def on_finer_mesh(self, factor: float) -> Ingredients:
        """Return the ingredients with a mesh so many times finer along each vector.

        H0 is then no longer the code's own, but what the code would give without the error of its mesh.
        """
        return replace(self, mesh_cutoff=self.mesh_cutoff * factor**2)

    def on_mesh(self, structure: Structure) -> Structure:
        """Return the structure, moved so that the code's mesh has a point at the corner of the cell.

        Matrix elements do not change under the move, but for the error of the code's own mesh.
        """
        if not self.discretisation.centred:
            return structure
        offset = openmx_offset(structure.positions, self.mesh_of(structure.cell))
        return replace(structure, positions=structure.positions + offset)

    def to_json(self) -> str:
        """Serialise; floats survive exactly."""
        atoms = {
            str(z): {
                "projectors": [
                    {
                        "l": p.shell.l,
                        "label": p.shell.label,
                        "radial": _radial(p.shell.radial),
                        "energy": p.energy,
                    }
                    for p in atom.projectors
                ],
                "neutral_potential": _radial(atom.neutral_potential),
                "density": _radial(atom.density),
                "core_density": _radial(atom.core_density),
                # left out where it is none, so that files made before know the same ingredients by their hash
                **({"zero_eV_A3": atom.zero} if atom.zero else {}),
                **_split_document(atom.split_projectors),
            }
            for z, atom in sorted(self.atoms.items())
        }
        document = {
            "scheme": self.scheme,
            "functional": self.functional,
            "mesh_cutoff_Ry": self.mesh_cutoff,
            "rydberg_eV": self.rydberg,
            "bohr_A": self.bohr,
            "atoms": atoms,
        }
        return json.dumps(document)

    @classmethod
    def from_json(cls, text: str) -> Ingredients:
        """Inverse of `to_json`."""
        document = json.loads(text)
        atoms = {}
        for z, entry in document["atoms"].items():
            projectors = tuple(
                Projector(Shell(p["l"], p["label"], RadialFunction(**p["radial"])), p["energy"])
                for p in entry["projectors"]
            )
            core = entry["core_density"]
            atoms[int(z)] = AtomIngredients(
                int(z),
                projectors,
                RadialFunction(**entry["neutral_potential"]),
                RadialFunction(**entry["density"]),
                RadialFunction(**core) if core else None,
                entry.get("zero_eV_A3", 0.0),
                tuple(
                    SplitProjector(
                        Shell(p["l"], p["label"], RadialFunction(**p["radial"])), p["upper"], p["energy"]
                    )
                    for p in entry.get("split_projectors", ())
                ),
            )
        return cls(
            document["scheme"],
            document["functional"],
            document["mesh_cutoff_Ry"],
            document["rydberg_eV"],
            document["bohr_A"],
            atoms,
        )


def _split_document(projectors: tuple[SplitProjector, ...]) -> dict[str, Any]:
    """Left out where there are none."""
    entries = [
        {
            "l": p.shell.l,
            "label": p.shell.label,
            "radial": _radial(p.shell.radial),
            "upper": p.upper,
            "energy": p.energy,
        }
        for p in projectors
    ]
    return {"split_projectors": entries} if entries else {}


def _radial(radial: Any) -> dict[str, Any] | None:
    if radial is None:
        return None
    return {"step": radial.step, "values": radial.values.tolist(), "cutoff": radial.cutoff}
