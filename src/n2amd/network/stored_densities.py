"""Frames kept as the coefficients of their densities: 10 kB where H and S take megabytes.

H0 of the coefficients is a frame's Hamiltonian to a few meV, and what the density network is trained on
(Gram matrix, states, their response) follows from them. Before they are written they are moved, as little
as the norm of the fit allows, to where the states around the gap have DFT's energies to first order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from n2amd.baseline.auxiliary import AuxiliaryBasis
from n2amd.baseline.density_fit import RIDGE
from n2amd.baseline.ingredients import Ingredients
from n2amd.baseline.model_density import require_electrons
from n2amd.errors import InputError, within
from n2amd.orbitals.basis import Basis
from n2amd.provenance import sha256_of_config
from n2amd.storage import create_hdf5, open_hdf5
from n2amd.structure import Structure

if TYPE_CHECKING:
    # brings torch, which no reader of structures needs
    from n2amd.network.density_data import FittedFrame

FORMAT = "n2amd/densities"
#: Electrons an atom by which a stored density may miss the frame's: files of before kept the states alone.
STORED_TOLERANCE = 0.05
#: Error of a matrix element that is left alone, relative to the largest response, squared.
LEFT_ALONE = 1e-4


@dataclass(frozen=True)
class StoredDensity:
    """One frame.

    Attributes
    ----------
    name
        Of the DFT frame.
    structure
        Its atoms.
    excess
        Electrons beyond the neutral atoms.
    coefficients
        Of the density functions, (n_total,).
    """

    name: str
    structure: Structure
    excess: float
    coefficients: NDArray[np.float64]


@dataclass(frozen=True)
class DensityFile:
    """What a file of densities holds: functions, frames."""

    auxiliary: AuxiliaryBasis
    frames: tuple[StoredDensity, ...]


def with_exact_states(fitted: FittedFrame, charges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients nearest to the fit whose states have DFT's energies to first order, (n_total,).

    Parameters
    ----------
    fitted
        The fit.
    charges
        Electrons of a unit of each coefficient, (n_total,): their number does not change.
    """
    sample = fitted.sample
    matrix = sample.matrix.numpy().astype(np.float64)
    response = np.vstack([sample.response.numpy().astype(np.float64), charges])
    matrix[np.diag_indices(len(matrix))] *= 1 + RIDGE
    softest = cho_solve(cho_factor(matrix, lower=True, check_finite=False), response.T, check_finite=False)
    stiffness = response @ softest
    levels = np.diag_indices(len(stiffness) - 1)
    stiffness[levels] += LEFT_ALONE * stiffness[levels].max()
    missing = np.append(sample.wanted.numpy(), sample.excess) - response @ fitted.coefficients
    return fitted.coefficients + softest @ np.linalg.solve(stiffness, missing)


def write_densities(
    path: Path,
    frames: Sequence[StoredDensity],
    auxiliary: AuxiliaryBasis,
    basis: Basis,
    ingredients: Ingredients,
    inputs: Iterable[Path] = (),
) -> None:
    """Write a file of densities.

    Parameters
    ----------
    path
        File to write.
    frames
        The frames.
    auxiliary, basis, ingredients
        What the coefficients refer to.
    inputs
        Files it is made from (hashed).
    """
    with create_hdf5(path, FORMAT, config={"frames": len(frames)}, inputs=inputs) as file:
        file["auxiliary"] = auxiliary.to_json()
        file.attrs["basis_sha256"] = _hash_of_basis(basis)
        file.attrs["ingredients_sha256"] = sha256_of_config(ingredients.to_json())
        file["name"] = [f.name for f in frames]
        file["cell"] = np.array([f.structure.cell for f in frames])
        file["excess"] = np.array([f.excess for f in frames])
        file["atom_offset"] = np.cumsum([0, *(f.structure.n_atoms for f in frames)])
        file["numbers"] = np.concatenate([f.structure.numbers for f in frames])
        file["positions"] = np.concatenate([f.structure.positions for f in frames])
        values = np.concatenate([f.coefficients for f in frames]).astype(np.float32)
        file.create_dataset("coefficients", data=values, compression="gzip", shuffle=True)


def read_densities(path: Path, basis: Basis, ingredients: Ingredients | None) -> DensityFile:
    """Read a file of densities made with the same basis and ingredients.

    Raises
    ------
    InputError
        If it is of another basis, other pseudopotentials or another mesh, or a frame's density does not hold
        its electrons.
    """
    with open_hdf5(path, FORMAT) as file:
        if file.attrs["basis_sha256"] != _hash_of_basis(basis):
            raise InputError(
                "the densities are of another basis than the data set",
                file=path,
                field="basis",
                remedy="make them from frames of the same DFT settings (`n2amd hamiltonian densities`)",
            )
        wanted = ingredients and sha256_of_config(ingredients.to_json())
        if file.attrs["ingredients_sha256"] != wanted:
            raise InputError(
                "the densities are of other pseudopotentials, another functional or mesh than the data set",
                file=path,
                field="ingredients",
                remedy="make them from frames of the same DFT settings (`n2amd hamiltonian densities`)",
            )
        auxiliary = AuxiliaryBasis.from_json(file["auxiliary"].asstr()[()])
        names, excess = file["name"].asstr()[...], file["excess"][...]
        structures = _structures(file)
        coefficients = file["coefficients"][...].astype(np.float64)
    frames, start = [], 0
    for k, structure in enumerate(structures):
        n = int(auxiliary.offsets(structure.numbers)[-1])
        frames.append(StoredDensity(names[k], structure, float(excess[k]), coefficients[start : start + n]))
        start += n
    if start != len(coefficients):
        raise InputError(
            f"{len(coefficients)} coefficients for frames that have {start}",
            file=path,
            field="coefficients",
            remedy="make the file again",
        )
    for frame in frames:
        with within(path, frame.name):
            tolerance = STORED_TOLERANCE * frame.structure.n_atoms
            require_electrons(
                auxiliary, frame.structure.numbers, frame.coefficients, frame.excess, tolerance=tolerance
            )
    return DensityFile(auxiliary, tuple(frames))


def read_density_structures(path: Path) -> list[Structure]:
    """Return the structures of a file of densities, whatever basis it is of.

    Raises
    ------
    InputError
        If it is no such file.
    """
    with open_hdf5(path, FORMAT) as file:
        return _structures(file)


def _structures(file: h5py.File) -> list[Structure]:
    cells, numbers, positions = (file[name][...] for name in ("cell", "numbers", "positions"))
    bounds = pairwise(file["atom_offset"][...])
    return [Structure(cells[k], positions[a:b], numbers[a:b]) for k, (a, b) in enumerate(bounds)]


def _hash_of_basis(basis: Basis) -> str:
    """Hash of shells and radial functions; electrons are not the basis' business."""
    atoms = {z: replace(atom, valence_charge=0.0) for z, atom in basis.atoms.items()}
    return sha256_of_config(Basis(atoms).to_json())


def store(
    fitted: Iterable[FittedFrame],
    auxiliary: AuxiliaryBasis,
    report: Callable[[int], None] = lambda done: None,
) -> list[StoredDensity]:
    """Turn frames fitted with density functions into stored ones; `report` is told how many are done."""
    stored = []
    for done, frame in enumerate(fitted, 1):
        coefficients = with_exact_states(frame, auxiliary.charges_of(frame.structure.numbers))
        stored.append(StoredDensity(frame.sample.name, frame.structure, frame.sample.excess, coefficients))
        report(done)
    return stored
