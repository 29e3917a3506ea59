"""The data set file (`dataset.h5`): frames are appended one by one and read back one by one.

Layout: docs/file-formats.md. Ragged axes (atoms, pairs, k points) are concatenated over frames, with offsets.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair, gauge_shift
from n2amd.dataset.basis_difference import basis_difference
from n2amd.dataset.growing import CHUNK, append_offset, append_rows, lengthen
from n2amd.dataset.ingredients import IngredientsOfSet, stored_ingredients
from n2amd.dataset.series import verlet_velocities
from n2amd.errors import InputError
from n2amd.frames.channels import spin_of
from n2amd.frames.frame import BandReference, Frame
from n2amd.frames.ingredients import Ingredients
from n2amd.orbitals.basis import AtomBasis, Basis
from n2amd.storage import create_hdf5, open_hdf5
from n2amd.structure import Structure

FORMAT = "n2amd/dataset"
#: Frames whose velocities are derived at once.
SLAB = 256


class DatasetWriter:
    """Appends frames to an open data set file; made by `create_dataset`."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._atoms: dict[int, AtomBasis] = {}
        self._ingredients = IngredientsOfSet()
        self._offsets: dict[SpeciesPair, list[int]] = {}
        # text of a fixed length, which is known at the end
        self._names: list[str] = []
        self._origins: list[str] = []
        self._n_frames = 0
        self._n_spin = 0
        self._functional = ""
        self._lacks_velocities = self._lacks_forces = False
        self._inputs = hashlib.sha256()
        for name in ("frames", "atoms", "blocks", "bands", "gate"):
            file.create_group(name)

    @property
    def n_frames(self) -> int:
        """Frames written so far."""
        return self._n_frames

    def append(
        self, frame: Frame, basis: Basis, figures: Mapping[str, float], sha256: str | None = None
    ) -> None:
        """Write one frame with the figures of its ingestion gate.

        Parameters
        ----------
        frame, basis
            The frame, and the basis of its elements.
        figures
            Value per check name.
        sha256
            Hash of the files that the frame was read from.

        Raises
        ------
        InputError
            If an element has another basis, H another number of spin components, or the run other ingredients
            of H0 than in earlier frames.
        """
        self._check_alike(frame, basis)
        unknown = np.full((frame.structure.n_atoms, 3), np.nan)
        frames, atoms = self._file["frames"], self._file["atoms"]
        scalars = {
            "energy": frame.energy,
            "fermi_level": frame.fermi_level,
            "charge": frame.charge,
            "n_electrons": frame.n_electrons,
            "spin": spin_of(frame),
            "gauge_shift": gauge_shift(frame.hamiltonian, frame.overlap),
        }
        if frame.hamiltonian.n_spin == 2:
            scalars["fixed_moment"] = frame.fixed_moment
        for name, value in scalars.items():
            append_rows(frames, name, np.array([np.nan if value is None else value]))
        stress = np.full((3, 3), np.nan) if frame.stress is None else frame.stress
        append_rows(frames, "stress", stress[None])
        append_rows(frames, "cell", frame.structure.cell[None])
        append_rows(frames, "pbc", np.array([frame.structure.pbc]))
        self._names.append(frame.name)
        self._origins.append(json.dumps(dict(frame.origin), sort_keys=True))
        append_rows(atoms, "positions", frame.structure.positions)
        append_rows(atoms, "numbers", frame.structure.numbers)
        append_rows(atoms, "forces", unknown if frame.forces is None else frame.forces)
        append_rows(atoms, "velocities", unknown if frame.velocities is None else frame.velocities)
        append_offset(frames, "atom_offset", frame.structure.n_atoms)
        self._append_blocks(frame)
        self._append_bands(frame)
        for name, value in figures.items():
            self._append_figure(name, value)
        self._lacks_velocities |= frame.velocities is None
        self._lacks_forces |= frame.forces is None
        if sha256 is not None:
            self._inputs.update(sha256.encode())
            self._file.attrs["inputs_sha256"] = self._inputs.hexdigest()
        self._n_frames += 1

    def finish(self, code: str, functional: str | None, timestep_fs: float | None) -> None:
        """Write what is known only at the end: the basis, offsets of absent pairs, velocities, attributes."""
        if not self._n_frames:
            raise InputError("no frame passed", remedy="correct the frames or pass others")
        for key, offsets in self._offsets.items():
            self._group(key)["offset"] = np.array(self._padded(offsets), dtype=np.int64)
        for name, text in (("name", self._names), ("origin", self._origins)):
            self._file["frames"].create_dataset(name, data=text, compression="gzip", compression_opts=1)
        for dataset in self._file["gate"].values():
            lengthen(dataset, self._n_frames)
        self._file["basis"] = Basis(self._atoms).to_json()
        self._ingredients.write(self._file)
        self._file.attrs.update(
            n_frames=self._n_frames,
            code=code,
            functional=functional or self._functional.lower() or "unknown",
            consecutive=int(timestep_fs is not None),
            timestep_fs=np.nan if timestep_fs is None else timestep_fs,
            velocities=self._complete_velocities(timestep_fs),
        )

    def _complete_velocities(self, timestep_fs: float | None) -> str:
        """Derive the velocities of consecutive frames that came without; say where they are from."""
        if not self._lacks_velocities:
            return "code"
        if timestep_fs is None or self._n_frames < 2 or self._lacks_forces:
            return "unknown"
        atoms = self._file["atoms"]
        n_atoms = len(atoms["numbers"]) // self._n_frames
        numbers = atoms["numbers"][:n_atoms]
        for start in range(0, self._n_frames, SLAB):
            stop = min(start + SLAB, self._n_frames)
            # one frame more on either side, where there is one
            first, last = max(start - 1, 0), min(stop + 1, self._n_frames)
            rows = slice(first * n_atoms, last * n_atoms)
            positions, forces = (
                atoms[name][rows].reshape(-1, n_atoms, 3) for name in ("positions", "forces")
            )
            velocities = verlet_velocities(positions, forces, numbers, timestep_fs)
            inside = velocities[start - first : stop - first]
            atoms["velocities"][start * n_atoms : stop * n_atoms] = inside.reshape(-1, 3)
        return "derived from positions and forces"

    def _check_alike(self, frame: Frame, basis: Basis) -> None:
        for z, atom in basis.atoms.items():
            if difference := basis_difference(self._atoms.get(z, atom), atom):
                raise InputError(
                    f"another basis for element {z} than in the frames before: {difference}",
                    frame=frame.name,
                    field="basis",
                    remedy="ingest one basis into one data set",
                )
        n_spin = frame.hamiltonian.n_spin
        if self._n_frames and n_spin != self._n_spin:
            raise InputError(
                f"{n_spin} spin components, the frames before have {self._n_spin}",
                frame=frame.name,
                remedy="ingest runs of one kind into one data set",
            )
        self._ingredients.add(frame)
        self._n_spin, self._functional = n_spin, frame.origin.get("functional", "")
        self._atoms = {**basis.atoms, **self._atoms}

    def _group(self, key: SpeciesPair) -> h5py.Group:
        return self._file["blocks"].require_group(f"{key[0]}-{key[1]}")

    def _padded(self, offsets: list[int]) -> list[int]:
        return offsets + [offsets[-1]] * (self._n_frames + 1 - len(offsets))

    def _append_blocks(self, frame: Frame) -> None:
        dtype = np.complex128 if self._n_spin == 4 else np.float64
        for key, index in frame.hamiltonian.pairs.items():
            offsets = self._padded(self._offsets.get(key, [0]))
            self._offsets[key] = [*offsets, offsets[-1] + len(index)]
            group = self._group(key)
            append_rows(group, "i", index.i)
            append_rows(group, "j", index.j)
            append_rows(group, "shift", index.shift)
            append_rows(group, "hamiltonian", frame.hamiltonian.values[key].astype(dtype, copy=False), axis=1)
            append_rows(group, "overlap", frame.overlap.values[key].astype(np.float64, copy=False), axis=1)

    def _append_bands(self, frame: Frame) -> None:
        group = self._file["bands"]
        bands = frame.bands
        if bands is None:
            channels = 2 if self._n_spin == 2 else 1
            bands = BandReference(np.zeros((0, 3)), np.zeros(0), np.zeros((0, channels, 0)))
        energies, n_bands = bands.energies, bands.energies.shape[2]
        if "energies" in group:
            widest = group["energies"].shape[2]
            if n_bands > widest:
                group["energies"].resize(n_bands, axis=2)  # new places hold the fill value, NaN
            padding = ((0, 0), (0, 0), (0, max(widest - n_bands, 0)))
            energies = np.pad(energies, padding, constant_values=np.nan)
        append_rows(group, "kpoints", bands.kpoints)
        append_rows(group, "weights", bands.weights)
        append_rows(group, "energies", energies)
        append_offset(group, "offset", len(bands.kpoints))

    def _append_figure(self, name: str, value: float) -> None:
        gate = self._file["gate"]
        if name not in gate:
            gate.create_dataset(name, (0,), maxshape=(None,), chunks=(CHUNK,), dtype=float, fillvalue=np.nan)
        lengthen(gate[name], self._n_frames)
        append_rows(gate, name, np.array([value]))


@contextmanager
def create_dataset(
    path: str | Path,
    *,
    code: str,
    functional: str | None = None,
    timestep_fs: float | None = None,
    inputs: Iterable[str | Path] = (),
) -> Iterator[DatasetWriter]:
    """Create a data set that appears under its name only when the block ends without an error.

    Parameters
    ----------
    path
        File to write.
    code, functional
        DFT code and functional label of all frames; default label: what the frames say.
    timestep_fs
        Time between consecutive frames; None for independent ones. Velocities that the code did not give
        are derived from positions and forces.
    inputs
        Files it is made from (hashed).
    """
    settings = {"code": code, "functional": functional, "timestep_fs": timestep_fs}
    with create_hdf5(path, FORMAT, config=settings, inputs=inputs) as file:
        writer = DatasetWriter(file)
        yield writer
        writer.finish(code, functional, timestep_fs)


def n_frames(path: str | Path) -> int:
    """Return the number of frames in a data set."""
    with open_hdf5(path, FORMAT) as file:
        return int(file.attrs["n_frames"])


def read_basis(path: str | Path) -> Basis:
    """Return the basis of a data set."""
    with open_hdf5(path, FORMAT) as file:
        return Basis.from_json(file["basis"].asstr()[()])


def read_ingredients(path: str | Path) -> Ingredients | None:
    """Return what H0 needs of a data set's runs; None where it is not there (the attribute `h0` says why)."""
    with open_hdf5(path, FORMAT) as file:
        return stored_ingredients(file)


def read_attributes(path: str | Path) -> dict[str, Any]:
    """Return the root attributes of a data set (code, functional, n_frames, timestep_fs, ...)."""
    with open_hdf5(path, FORMAT) as file:
        return {name: value.item() if hasattr(value, "item") else value for name, value in file.attrs.items()}


def read_names(path: str | Path) -> list[str]:
    """Return the names of the frames."""
    with open_hdf5(path, FORMAT) as file:
        return list(file["frames/name"].asstr()[...])


def read_structures(path: str | Path) -> list[Structure]:
    """Return the structures of all frames, without their matrices."""
    with open_hdf5(path, FORMAT) as file:
        frames, atoms = file["frames"], file["atoms"]
        offsets, cells, pbc = frames["atom_offset"][...], frames["cell"][...], frames["pbc"][...]
        positions, numbers = atoms["positions"][...], atoms["numbers"][...]
    return [
        Structure(cells[k], positions[a:b], numbers[a:b], tuple(pbc[k]))
        for k, (a, b) in enumerate(pairwise(offsets))
    ]


def read_gate(path: str | Path) -> dict[str, NDArray[np.float64]]:
    """Return the figures of the ingestion gate, one array (n_frames,) a check."""
    with open_hdf5(path, FORMAT) as file:
        return {name: values[...] for name, values in file["gate"].items()}


def read_frames(path: str | Path, indices: Iterable[int] | None = None) -> Iterator[Frame]:
    """Read frames one at a time.

    Parameters
    ----------
    path
        Data set file.
    indices
        Frames wanted, in this order; default: all.

    Raises
    ------
    InputError
        If the file is not a complete data set, or has no such frame.
    """
    with open_hdf5(path, FORMAT) as file:
        total = int(file.attrs["n_frames"])
        offsets = {
            tuple(int(z) for z in name.split("-")): group["offset"][...]
            for name, group in file["blocks"].items()
        }
        ingredients = stored_ingredients(file)
        for index in range(total) if indices is None else indices:
            if not 0 <= index < total:
                raise InputError(
                    f"there is no frame {index}", file=path, remedy=f"choose one of 0..{total - 1}"
                )
            yield replace(_read_frame(file, int(index), offsets), ingredients=ingredients)


def _read_frame(file: h5py.File, index: int, offsets: Mapping[Any, NDArray[np.int64]]) -> Frame:
    frames, atoms, bands = file["frames"], file["atoms"], file["bands"]
    rows = slice(*frames["atom_offset"][index : index + 2])
    pairs: dict[SpeciesPair, PairIndex] = {}
    hamiltonian: dict[SpeciesPair, NDArray] = {}
    overlap: dict[SpeciesPair, NDArray] = {}
    for key, offset in offsets.items():
        part = slice(*offset[index : index + 2])
        if part.start == part.stop:
            continue
        group = file[f"blocks/{key[0]}-{key[1]}"]
        pairs[key] = PairIndex(group["i"][part], group["j"][part], group["shift"][part])
        hamiltonian[key], overlap[key] = group["hamiltonian"][:, part], group["overlap"][:, part]
    points = slice(*bands["offset"][index : index + 2])
    energies = bands["energies"][points]
    known = ~np.isnan(energies).all(axis=(0, 1))
    return Frame(
        name=frames["name"].asstr()[index],
        structure=Structure(
            frames["cell"][index],
            atoms["positions"][rows],
            atoms["numbers"][rows],
            tuple(frames["pbc"][index]),
        ),
        hamiltonian=BlockMatrix(pairs, hamiltonian),
        overlap=BlockMatrix(pairs, overlap),
        n_electrons=float(frames["n_electrons"][index]),
        energy=_known_scalar(frames["energy"][index]),
        forces=_known(atoms["forces"][rows]),
        stress=_known(frames["stress"][index]),
        fermi_level=_known_scalar(frames["fermi_level"][index]),
        charge=float(frames["charge"][index]),
        spin=_known_scalar(frames["spin"][index]) if "spin" in frames else None,
        velocities=_known(atoms["velocities"][rows]),
        bands=BandReference(bands["kpoints"][points], bands["weights"][points], energies[..., known])
        if points.start < points.stop
        else None,
        origin=json.loads(frames["origin"].asstr()[index]),
        hermiticity_error=_known_entry(file["gate"], "hermiticity_error", index),
        fixed_moment=_known_entry(frames, "fixed_moment", index),
    )


def _known(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    return None if np.isnan(values).all() else values


def _known_entry(group: h5py.Group, name: str, index: int) -> float | None:
    return _known_scalar(group[name][index]) if name in group else None


def _known_scalar(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
