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
from n2amd.baseline.model_density import require_electrons
from n2amd.errors import InputError, within
from n2amd.frames.ingredients import Ingredients
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
        Of the density functions, (n_total,), or (2, n_total) of density and magnetisation.
    moment
        Electrons of spin up minus those of spin down; None without collinear spins.
    """

    name: str
    structure: Structure
    excess: float
    coefficients: NDArray[np.float64]
    moment: float | None = None


@dataclass(frozen=True)
class DensityFile:
    """What a file of densities holds: functions, frames."""

    auxiliary: AuxiliaryBasis
    frames: tuple[StoredDensity, ...]


def with_exact_states(fitted: FittedFrame, charges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients nearest to the fit whose states have DFT's energies to first order, as the fit's.

    Parameters
    ----------
    fitted
        The fit.
    charges
        Electrons of a unit of each coefficient, (n_total,): their number stays, and the moment.
    """
    sample = fitted.sample
    matrix = sample.matrix.numpy().astype(np.float64)
    kept = [sample.excess] if sample.moment is None else [sample.excess, sample.moment]
    response = np.vstack([sample.response.numpy().astype(np.float64), np.kron(np.eye(len(kept)), charges)])
    matrix[np.diag_indices(len(matrix))] *= 1 + RIDGE
    factor = cho_factor(matrix, lower=True, check_finite=False)
    # the norm of a magnetisation's error is that of a density's, so that each part is softened by itself
    parts = np.split(response.T, len(kept))
    softest = np.concatenate([cho_solve(factor, part, check_finite=False) for part in parts])
    stiffness = response @ softest
    levels = np.diag_indices(len(stiffness) - len(kept))
    stiffness[levels] += LEFT_ALONE * stiffness[levels].max()
    found = fitted.coefficients.ravel()
    missing = np.append(sample.wanted.numpy(), kept) - response @ found
    return (found + softest @ np.linalg.solve(stiffness, missing)).reshape(fitted.coefficients.shape)


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
        if any(f.moment is not None for f in frames):
            file["moment"] = np.array([np.nan if f.moment is None else f.moment for f in frames])
        file["atom_offset"] = np.cumsum([0, *(f.structure.n_atoms for f in frames)])
        file["numbers"] = np.concatenate([f.structure.numbers for f in frames])
        file["positions"] = np.concatenate([f.structure.positions for f in frames])
        values = np.concatenate([f.coefficients.ravel() for f in frames]).astype(np.float32)
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
        moments = _moments(file, len(names))
        structures = _structures(file)
        coefficients = file["coefficients"][...].astype(np.float64)
    frames, start = [], 0
    for k, structure in enumerate(structures):
        n, moment = int(auxiliary.offsets(structure.numbers)[-1]), moments[k]
        fields = 1 if moment is None else 2
        found = coefficients[start : start + fields * n]
        start += fields * n
        if len(found) == fields * n and fields == 2:
            found = found.reshape(2, n)
        frames.append(StoredDensity(names[k], structure, float(excess[k]), found, moment))
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
            totals = [(frame.coefficients, frame.excess)]
            if frame.moment is not None:
                totals = list(zip(frame.coefficients, (frame.excess, frame.moment)))
            for found, total in totals:
                require_electrons(auxiliary, frame.structure.numbers, found, total, tolerance=tolerance)
    return DensityFile(auxiliary, tuple(frames))


def _moments(file: h5py.File, n_frames: int) -> list[float | None]:
    """Moments of the frames; a file without spins says none."""
    stored = file["moment"][...] if "moment" in file else np.full(n_frames, np.nan)
    return [None if np.isnan(moment) else float(moment) for moment in stored]


def read_density_structures(path: Path) -> list[Structure]:
    """Return the structures of a file of densities, whatever basis it is of.

    Raises
    ------
    InputError
        If it is no such file.
    """
    with open_hdf5(path, FORMAT) as file:
        return _structures(file)


def read_density_electrons(
    path: Path,
) -> tuple[tuple[str, NDArray[np.int64], float, float | None], ...]:
    """Return name, atomic numbers, electrons beyond the neutral atoms and moment of each frame of a file.

    Raises
    ------
    InputError
        If it is no such file.
    """
    with open_hdf5(path, FORMAT) as file:
        names, excess = file["name"].asstr()[...].tolist(), file["excess"][...].tolist()
        moments = _moments(file, len(names))
        numbers = [structure.numbers for structure in _structures(file)]
    return tuple(zip(names, numbers, excess, moments))


def require_one_kind(spins: dict[str, bool]) -> None:
    """Refuse frames of which some have spins and some have none; their names, and whether each has.

    Raises
    ------
    InputError
        Naming the first that is unlike the first of all.
    """
    kinds = list(spins.values())
    for name, kind in spins.items():
        if kind != kinds[0]:
            found, before = ("with", "without") if kind else ("without", "with")
            raise InputError(
                f"{found} spins, the frames before it {before}",
                frame=name,
                field="moment",
                remedy="keep spin-polarised frames in a file of their own",
            )


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
        sample = frame.sample
        stored.append(StoredDensity(sample.name, frame.structure, sample.excess, coefficients, sample.moment))
        report(done)
    return stored
