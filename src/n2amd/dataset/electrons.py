"""Atoms and electrons of every frame, and how many electrons each element brings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.baseline.model_density import EXCESS_TOLERANCE
from n2amd.dataset.store import FORMAT
from n2amd.errors import InputError
from n2amd.frames.channels import Electrons
from n2amd.frames.frame import Frame
from n2amd.orbitals.basis import Basis
from n2amd.storage import open_hdf5

#: Electrons that a frame may differ from the sum over its atoms.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Census:
    """What frames are made of.

    Attributes
    ----------
    names
        Names of the frames.
    elements
        Atomic numbers, ascending.
    counts
        Atoms of each element in every frame, (n_frames, n_elements).
    electrons
        Electrons of the neutral cells, (n_frames,).
    """

    names: Sequence[str]
    elements: Sequence[int]
    counts: NDArray[np.int64]
    electrons: NDArray[np.float64]

    @classmethod
    def of(cls, frames: Iterable[tuple[str, NDArray[np.int64], float]]) -> Census:
        """Count atoms; a frame is (name, atomic numbers, electrons of the neutral cell)."""
        listed = list(frames)
        elements = sorted({int(z) for _, numbers, _ in listed for z in numbers})
        counts = [[int(np.sum(numbers == z)) for z in elements] for _, numbers, _ in listed]
        electrons = np.array([n for _, _, n in listed], dtype=np.float64)
        return cls([name for name, _, _ in listed], elements, np.array(counts, dtype=np.int64), electrons)

    @classmethod
    def of_frames(cls, frames: Iterable[Frame]) -> Census:
        """Count the atoms of frames."""
        return cls.of((f.name, f.structure.numbers, f.n_electrons + f.charge) for f in frames)

    @classmethod
    def of_dataset(cls, path: str | Path) -> Census:
        """Count the atoms of a data set without reading its matrices."""
        with open_hdf5(path, FORMAT) as file:
            frames, numbers = file["frames"], file["atoms/numbers"][...]
            offsets = frames["atom_offset"][...]
            electrons = frames["n_electrons"][...] + np.nan_to_num(frames["charge"][...])
            names = frames["name"].asstr()[...].tolist()
        parts = [numbers[a:b] for a, b in pairwise(offsets)]
        return cls.of(zip(names, parts, electrons.tolist()))


def charges_and_moments(
    path: str | Path,
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64]]:
    """Names of the frames of a data set, their charges (e) and fixed moments, without reading matrices.

    Returns
    -------
    names, charges, moments
        (n_frames,) each; a moment is NaN where the run fixed none, a charge 0 where it is unknown.
    """
    with open_hdf5(path, FORMAT) as file:
        frames = file["frames"]
        charges = np.nan_to_num(frames["charge"][...])
        known = "fixed_moment" in frames
        moments = frames["fixed_moment"][...] if known else np.full(len(charges), np.nan)
        return frames["name"].asstr()[...].tolist(), charges, moments


def electrons_of_frames(path: str | Path) -> tuple[list[str], list[Electrons]]:
    """Names of the frames of a data set and their electrons, without reading matrices."""
    with open_hdf5(path, FORMAT) as file:
        frames = file["frames"]
        counts = frames["n_electrons"][...]
        spins = frames["spin"][...] if "spin" in frames else np.full(len(counts), np.nan)
        names = frames["name"].asstr()[...].tolist()
    known = (None if np.isnan(spin) else float(spin) for spin in spins)
    return names, [Electrons(float(n), spin) for n, spin in zip(counts, known)]


def require_charge(frame: Frame, basis: Basis) -> None:
    """Refuse a frame whose electrons are not those of its atoms and its charge.

    Raises
    ------
    InputError
        Naming the electrons found and wanted.
    """
    wanted = basis.valence_electrons(frame.structure.numbers) - frame.charge
    if abs(frame.n_electrons - wanted) > EXCESS_TOLERANCE:
        raise InputError(
            f"{frame.n_electrons:g} electrons; its atoms and a charge of {frame.charge:g} make {wanted:g}",
            frame=frame.name,
            field="charge",
            remedy="ingest the frame again; keep the files of one run together",
        )


def with_valence_charges(basis: Basis, census: Census) -> Basis:
    """Return the basis with the electrons of each element, taken from the frames where it has none.

    The smallest charges that add up in every frame. Frames of one composition do not part them between the
    elements: cells of that composition are right all the same, and others mostly give no whole number.

    Parameters
    ----------
    basis
        Basis of a data set; DeepH folders give it no valence charges.
    census
        Frames of the data set.

    Raises
    ------
    InputError
        If electrons of frames are not a sum over their atoms.
    """
    if any(atom.valence_charge for atom in basis.atoms.values()):
        return basis
    charges = np.linalg.lstsq(census.counts.astype(np.float64), census.electrons, rcond=None)[0]
    off = np.abs(census.counts @ charges - census.electrons)
    if off.max() > TOLERANCE:
        worst = int(off.argmax())
        raise InputError(
            f"{census.electrons[worst]:g} electrons are not the sum over atoms that the other frames tell",
            frame=census.names[worst],
            field="n_electrons",
            remedy="ingest neutral cells of one set of pseudopotentials into one data set",
        )
    charges = np.where(np.abs(charges - np.rint(charges)) < TOLERANCE, np.rint(charges), charges)
    found = dict(zip(census.elements, charges.tolist()))
    return Basis({z: replace(atom, valence_charge=found.get(z, 0.0)) for z, atom in basis.atoms.items()})
