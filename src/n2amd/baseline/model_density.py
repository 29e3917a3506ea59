"""Densities of DFT frames, and the model density that is fitted to them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.auxiliary import AuxiliaryBasis, contract, form_factor, primitive_basis
from n2amd.baseline.density_fit import (
    Design,
    NormalEquations,
    PlaneWaves,
    normal_equations,
)
from n2amd.baseline.density_matrix import density_matrix
from n2amd.baseline.mesh_integrals import density_on_mesh
from n2amd.baseline.superposition import superpose
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.frames.ingredients import Ingredients
from n2amd.frames.mesh import Mesh
from n2amd.orbitals.basis import Basis, Shell
from n2amd.orbitals.uniform_radial import uniform_basis
from n2amd.structure import Structure

#: Electrons by which a density on the mesh may miss those of the frame, relative.
CHARGE_TOLERANCE = 2e-3
#: Electrons by which a model density may miss those wanted.
EXCESS_TOLERANCE = 1e-3
#: Share of an atom's electrons that a mesh may lose or make up; of one electron where it has less.
RESOLUTION = 0.02
#: Atoms of the frames that the auxiliary functions are chosen on, at most: their fit is quadratic in memory.
ATOMS_FOR_CHOICE, FRAMES_FOR_CHOICE = 24, 8
#: Regularisation of the fit in primitive functions, which are nearly dependent.
PRIMITIVE_RIDGE = 3e-3


@dataclass(frozen=True)
class ModelDensity:
    """Functions that densities are written in, and what an average atom has of them.

    Attributes
    ----------
    auxiliary
        Density functions of every element.
    mean
        Mean coefficients per element, (n_functions,): zero but for l = 0.
    """

    auxiliary: AuxiliaryBasis
    mean: Mapping[int, NDArray[np.float64]]

    def spherical(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Coefficients of average atoms, (n_total,), neutral as a whole.

        Raises
        ------
        InputError
            If there is no average atom of an element.
        """
        if unknown := sorted({int(z) for z in numbers} - set(self.mean)):
            raise InputError(
                f"the model knows no average atom with Z = {unknown[0]} (only of Z = {sorted(self.mean)})",
                field="numbers",
                remedy="train on data that hold this element",
            )
        coefficients = np.concatenate([self.mean[int(z)] for z in numbers])
        charges = self.auxiliary.charges_of(numbers)
        spread = charges**2
        return coefficients - (charges @ coefficients) * charges / spread.sum()

    def to_json(self) -> str:
        """Serialise; floats survive exactly."""
        mean = {str(z): values.tolist() for z, values in sorted(self.mean.items())}
        return json.dumps({"auxiliary": self.auxiliary.to_json(), "mean": mean})

    @classmethod
    def from_json(cls, text: str) -> ModelDensity:
        """Inverse of `to_json`."""
        document = json.loads(text)
        mean = {int(z): np.array(values) for z, values in document["mean"].items()}
        return cls(AuxiliaryBasis.from_json(document["auxiliary"]), mean)


@dataclass(frozen=True)
class FrameDensity:
    """Density of a DFT frame on its mesh.

    Attributes
    ----------
    frame
        Where it is from; its atoms are moved so that the mesh starts at the corner of the cell.
    mesh
        The code's mesh.
    valence
        Valence electrons, (n1, n2, n3), 1/A^3.
    difference
        Fourier integrals of valence minus neutral atoms on `waves`.
    waves
        Wave vectors of the fit.
    magnetisation
        Fourier integrals of rho_up - rho_down on `waves`; None without collinear spins.
    """

    frame: Frame
    mesh: Mesh
    valence: NDArray[np.float64]
    difference: NDArray[np.complex128]
    waves: PlaneWaves
    magnetisation: NDArray[np.complex128] | None = None


def frame_density(frame: Frame, basis: Basis, ingredients: Ingredients) -> FrameDensity:
    """Density of a frame from its own H and S.

    Raises
    ------
    InputError
        If it does not hold the frame's electrons.
    """
    mesh = ingredients.mesh_of(frame.structure.cell)
    matrix = density_matrix(frame, basis)
    frame = replace(frame, structure=ingredients.on_mesh(frame.structure))
    spins = density_on_mesh(ingredients.orbitals(basis), frame.structure, mesh, matrix)
    valence = spins.sum(axis=0)
    electrons = float(valence.sum()) * mesh.volume_element
    if abs(electrons - frame.n_electrons) > CHARGE_TOLERANCE * frame.n_electrons:
        raise InputError(
            f"the density on the mesh {mesh.shape} holds {electrons:.4f} of {frame.n_electrons:g} electrons",
            frame=frame.name,
            field="density",
            remedy="check that the radial functions and the mesh cutoff are those of this run",
        )
    waves = PlaneWaves.of(mesh)
    (atoms,) = superpose(frame.structure, mesh, {z: [a.density] for z, a in ingredients.atoms.items()})
    magnetisation = waves.transform(spins[0] - spins[1]) if len(spins) == 2 else None
    return FrameDensity(frame, mesh, valence, waves.transform(valence - atoms), waves, magnetisation)


def require_electrons(
    auxiliary: AuxiliaryBasis,
    numbers: NDArray[np.int64],
    coefficients: NDArray[np.float64],
    excess: float = 0.0,
    tolerance: float = EXCESS_TOLERANCE,
) -> None:
    """Refuse a density that does not hold the electrons it should.

    Parameters
    ----------
    auxiliary
        Density functions.
    numbers, coefficients
        Atoms and the coefficients of their functions, (n_total,).
    excess, tolerance
        Electrons beyond those of the neutral atoms, and by how many these may be missed.

    Raises
    ------
    InputError
        Naming the electrons found and wanted.
    """
    found = float(auxiliary.charges_of(numbers) @ coefficients)
    if not abs(found - excess) <= tolerance:
        raise InputError(
            f"the model density holds {found:.4g} electrons beyond the neutral atoms, not {excess + 0.0:g}",
            field="coefficients",
            remedy="the file is damaged or of other density functions: make it again",
        )


def require_resolved(structure: Structure, ingredients: Ingredients) -> None:
    """Refuse a mesh on which the atoms' own densities do not add up to their electrons.

    Raises
    ------
    InputError
        Naming the element, the mesh, and what it makes of the electrons.
    """
    mesh = ingredients.mesh_of(structure.cell)
    moved = ingredients.on_mesh(structure)
    for z in sorted({int(number) for number in structure.numbers}):
        atom = ingredients[z]
        # one atom at its place: others would hide what it loses
        first = np.flatnonzero(structure.numbers == z)[:1]
        alone = Structure(structure.cell, moved.positions[first], moved.numbers[first])
        for what, radial in (("valence density", atom.density), ("partial core", atom.core_density)):
            if radial is None:
                continue
            (field,) = superpose(alone, mesh, {z: [radial]})
            found = float(field.sum()) * mesh.volume_element
            wanted = float(form_factor(Shell(0, what, radial))(np.zeros(1))[0])
            if abs(found - wanted) > RESOLUTION * max(wanted, 1.0):
                points = " x ".join(map(str, mesh.shape))
                raise InputError(
                    f"the mesh of {ingredients.mesh_cutoff:g} Ry ({points} points) is too coarse: it makes "
                    f"{found:.3f} electrons of the {wanted:.3f} in the {what} of Z = {z}",
                    field="mesh_cutoff",
                    remedy="compute the frames with a higher mesh cutoff, or set hamiltonian.model to pair",
                )


def fit_equations(density: FrameDensity, auxiliary: AuxiliaryBasis) -> NormalEquations:
    """Normal equations of the fit of a frame's density."""
    design = Design.of(density.frame.structure, auxiliary, density.waves)
    return normal_equations(design, density.difference)


def choose_functions(densities: Iterable[FrameDensity], basis: Basis) -> AuxiliaryBasis:
    """Find the density functions that some (small) frames need: principal components of their fits."""
    basis = uniform_basis(basis)
    primitives = primitive_basis(basis)
    covariance: dict[tuple[int, int], NDArray[np.float64]] = {}
    metric: dict[tuple[int, int], NDArray[np.float64]] = {}
    counts: dict[tuple[int, int], int] = {}
    for density in densities:
        equations = fit_equations(density, primitives)
        charges = primitives.charges_of(density.frame.structure.numbers)
        coefficients = equations.solve(charges, -density.frame.charge, PRIMITIVE_RIDGE)
        start = 0
        for z in map(int, density.frame.structure.numbers):
            for l, n in enumerate(primitives.counts(z)):
                width = n * (2 * l + 1)
                part = slice(start, start + width)
                c = coefficients[part].reshape(n, 2 * l + 1)
                gram = equations.matrix[part, part].astype(np.float64).reshape(n, 2 * l + 1, n, 2 * l + 1)
                key = (z, l)
                covariance[key] = covariance.get(key, 0.0) + c @ c.T
                metric[key] = metric.get(key, 0.0) + np.einsum("qmrm->qr", gram) / (2 * l + 1)
                counts[key] = counts.get(key, 0) + 1
                start += width
    return contract(
        primitives,
        {key: value / counts[key] for key, value in covariance.items()},
        {key: value / counts[key] for key, value in metric.items()},
    )


def frames_for_choice(structures: Sequence[Structure]) -> list[int]:
    """Places of the frames that `choose_functions` should see: small ones, spread over the set."""
    sizes = np.array([s.n_atoms for s in structures])
    small = np.flatnonzero(sizes <= max(ATOMS_FOR_CHOICE, sizes.min()))
    step = max(len(small) // FRAMES_FOR_CHOICE, 1)
    return [int(k) for k in small[::step][:FRAMES_FOR_CHOICE]]


def coefficients_by_element(
    auxiliary: AuxiliaryBasis, fits: Sequence[tuple[Structure, NDArray[np.float64]]]
) -> dict[int, NDArray[np.float64]]:
    """Coefficients of each atom of fitted frames gathered per element, (n_atoms, n_functions)."""
    rows: dict[int, list[NDArray[np.float64]]] = {}
    for structure, coefficients in fits:
        offsets = auxiliary.offsets(structure.numbers)
        for atom, z in enumerate(map(int, structure.numbers)):
            rows.setdefault(z, []).append(coefficients[offsets[atom] : offsets[atom + 1]])
    return {z: np.array(listed) for z, listed in rows.items()}
