"""The data set file (`dataset.h5`): frames are appended one by one and read back one by one.

Layout: docs/file-formats.md. Ragged axes (atoms, pairs, k points) are concatenated over frames, with offsets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from n2amd.blocks.matrix import BlockMatrix, PairIndex, SpeciesPair, gauge_shift
from n2amd.dataset.frame import BandReference, Frame
from n2amd.dataset.series import verlet_velocities
from n2amd.errors import InputError
from n2amd.orbitals.basis import AtomBasis, Basis
from n2amd.storage import create_hdf5, open_hdf5
from n2amd.structure import Structure

FORMAT = "n2amd/dataset"
#: Pairs in one chunk of a block data set.
CHUNK = 64


class DatasetWriter:
    """Appends frames to an open data set file; made by `create_dataset`."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._atoms: dict[int, AtomBasis] = {}
        self._offsets: dict[SpeciesPair, list[int]] = {}
        self._n_frames = 0
        self._n_spin = 0
        self._functional = ""
        for name in ("frames", "atoms", "blocks", "bands", "gate"):
            file.create_group(name)

    @property
    def n_frames(self) -> int:
        """Frames written so far."""
        return self._n_frames

    def append(self, frame: Frame, basis: Basis, figures: Mapping[str, float]) -> None:
        """Write one frame with the figures of its ingestion gate.

        Raises
        ------
        InputError
            If an element has another basis, or H another number of spin components, than in earlier frames.
        """
        self._check_alike(frame, basis)
        unknown = np.full((frame.structure.n_atoms, 3), np.nan)
        frames, atoms = self._file["frames"], self._file["atoms"]
        scalars = {
            "energy": frame.energy,
            "fermi_level": frame.fermi_level,
            "charge": frame.charge,
            "n_electrons": frame.n_electrons,
            "gauge_shift": gauge_shift(frame.hamiltonian, frame.overlap),
        }
        for name, value in scalars.items():
            _extend(frames, name, np.array([np.nan if value is None else value]))
        _extend(frames, "stress", np.full((1, 3, 3), np.nan) if frame.stress is None else frame.stress[None])
        _extend(frames, "cell", frame.structure.cell[None])
        _extend(frames, "pbc", np.array([frame.structure.pbc]))
        _extend_text(frames, "name", frame.name)
        _extend_text(frames, "origin", json.dumps(dict(frame.origin), sort_keys=True))
        _extend(atoms, "positions", frame.structure.positions)
        _extend(atoms, "numbers", frame.structure.numbers)
        _extend(atoms, "forces", unknown if frame.forces is None else frame.forces)
        _extend(atoms, "velocities", unknown if frame.velocities is None else frame.velocities)
        _extend_offset(frames, "atom_offset", frame.structure.n_atoms)
        self._append_blocks(frame)
        self._append_bands(frame)
        for name, value in figures.items():
            self._append_figure(name, value)
        self._n_frames += 1

    def finish(self, code: str, functional: str | None, timestep_fs: float | None) -> None:
        """Write what is known only at the end: the basis, offsets of absent pairs, velocities, attributes."""
        if not self._n_frames:
            raise InputError("no frame passed", remedy="correct the frames or pass others")
        for key, offsets in self._offsets.items():
            self._group(key)["offset"] = np.array(self._padded(offsets), dtype=np.int64)
        for dataset in self._file["gate"].values():
            _resize(dataset, self._n_frames)
        self._file["basis"] = Basis(self._atoms).to_json()
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
        atoms = self._file["atoms"]
        shape = self._n_frames, -1, 3
        if not np.isnan(atoms["velocities"][...]).any():
            return "code"
        if timestep_fs is None or self._n_frames < 2 or np.isnan(atoms["forces"][...]).any():
            return "unknown"
        velocities = verlet_velocities(
            atoms["positions"][...].reshape(shape),
            atoms["forces"][...].reshape(shape),
            atoms["numbers"][...].reshape(self._n_frames, -1)[0],
            timestep_fs,
        )
        atoms["velocities"][...] = velocities.reshape(-1, 3)
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
        self._n_spin, self._functional = n_spin, frame.origin.get("functional", "")
        self._atoms = {**basis.atoms, **self._atoms}

    def _group(self, key: SpeciesPair) -> h5py.Group:
        return self._file["blocks"].require_group(f"{key[0]}-{key[1]}")

    def _padded(self, offsets: list[int]) -> list[int]:
        return offsets + [offsets[-1]] * (self._n_frames + 1 - len(offsets))

    def _append_blocks(self, frame: Frame) -> None:
        for key, index in frame.hamiltonian.pairs.items():
            offsets = self._padded(self._offsets.get(key, [0]))
            self._offsets[key] = [*offsets, offsets[-1] + len(index)]
            group = self._group(key)
            _extend(group, "i", index.i)
            _extend(group, "j", index.j)
            _extend(group, "shift", index.shift)
            _extend(group, "hamiltonian", frame.hamiltonian.values[key], axis=1)
            _extend(group, "overlap", frame.overlap.values[key], axis=1)

    def _append_bands(self, frame: Frame) -> None:
        group = self._file["bands"]
        bands = frame.bands
        if bands is None:
            bands = BandReference(np.zeros((0, 3)), np.zeros(0), np.zeros((0, self._n_spin, 0)))
        n_bands = bands.energies.shape[2]
        if "energies" in group:
            widest = group["energies"].shape[2]
            if n_bands > widest:
                group["energies"].resize(n_bands, axis=2)  # new places hold the fill value, NaN
            padding = ((0, 0), (0, 0), (0, max(widest - n_bands, 0)))
            energies = np.pad(bands.energies, padding, constant_values=np.nan)
        else:
            energies = bands.energies
        _extend(group, "kpoints", bands.kpoints)
        _extend(group, "weights", bands.weights)
        _extend(group, "energies", energies)
        _extend_offset(group, "offset", len(bands.kpoints))

    def _append_figure(self, name: str, value: float) -> None:
        gate = self._file["gate"]
        if name not in gate:
            gate.create_dataset(name, (0,), maxshape=(None,), dtype=np.float64, fillvalue=np.nan)
        _resize(gate[name], self._n_frames)
        _extend(gate, name, np.array([value]))


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


def basis_difference(ours: AtomBasis, theirs: AtomBasis) -> str | None:
    """Say how two bases of an element differ, None where they are the same to 1e-6."""
    names = [[shell.label for shell in atom.shells] for atom in (ours, theirs)]
    if names[0] != names[1]:
        return f"shells {', '.join(names[1])} instead of {', '.join(names[0])}"
    for a, b in zip(ours.shells, theirs.shells):
        if a.radial is None or b.radial is None:
            if a.radial is not b.radial:
                return f"the radial function of {a.label} is known in only one of them"
        elif abs(a.radial.cutoff - b.radial.cutoff) > 1e-6:
            return f"{b.label} ends at {b.radial.cutoff:.4f} A instead of {a.radial.cutoff:.4f} A"
        elif a.radial.values.shape != b.radial.values.shape or not np.allclose(
            a.radial.values, b.radial.values, rtol=1e-6, atol=1e-6
        ):
            return f"{b.label} has another radial function"
    return None


def n_frames(path: str | Path) -> int:
    """Return the number of frames in a data set."""
    with open_hdf5(path, FORMAT) as file:
        return int(file.attrs["n_frames"])


def read_basis(path: str | Path) -> Basis:
    """Return the basis of a data set."""
    with open_hdf5(path, FORMAT) as file:
        return Basis.from_json(file["basis"].asstr()[()])


def read_attributes(path: str | Path) -> dict[str, Any]:
    """Return the root attributes of a data set (code, functional, n_frames, timestep_fs, ...)."""
    with open_hdf5(path, FORMAT) as file:
        return {name: value.item() if hasattr(value, "item") else value for name, value in file.attrs.items()}


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
        for index in range(total) if indices is None else indices:
            if not 0 <= index < total:
                raise InputError(
                    f"there is no frame {index}", file=path, remedy=f"choose one of 0..{total - 1}"
                )
            yield _read_frame(file, int(index), offsets)


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
    figures = file["gate"]
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
        velocities=_known(atoms["velocities"][rows]),
        bands=BandReference(bands["kpoints"][points], bands["weights"][points], energies[..., known])
        if points.start < points.stop
        else None,
        origin=json.loads(frames["origin"].asstr()[index]),
        hermiticity_error=float(figures["hermiticity_error"][index])
        if "hermiticity_error" in figures
        else None,
    )


def _known(values: NDArray[np.float64]) -> NDArray[np.float64] | None:
    return None if np.isnan(values).all() else values


def _known_scalar(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _resize(dataset: h5py.Dataset, length: int, axis: int = 0) -> None:
    if dataset.shape[axis] < length:
        dataset.resize(length, axis=axis)


def _extend(group: h5py.Group, name: str, values: NDArray, axis: int = 0) -> None:
    """Append along an axis; the data set is created at the first call, growing along every axis."""
    if name not in group:
        chunk = tuple(min(n, CHUNK) if k == axis else n for k, n in enumerate(values.shape))
        group.create_dataset(
            name,
            data=values,
            maxshape=(None,) * values.ndim,
            chunks=tuple(max(1, n) for n in chunk),
            fillvalue=np.nan if values.dtype.kind == "f" else None,
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        return
    dataset = group[name]
    start = dataset.shape[axis]
    dataset.resize(start + values.shape[axis], axis=axis)
    place = [slice(None)] * dataset.ndim
    place[axis] = slice(start, None)
    dataset[tuple(place)] = values


def _extend_text(group: h5py.Group, name: str, text: str) -> None:
    if name not in group:
        group.create_dataset(name, (0,), maxshape=(None,), dtype=h5py.string_dtype())
    dataset = group[name]
    dataset.resize(len(dataset) + 1, axis=0)
    dataset[-1] = text


def _extend_offset(group: h5py.Group, name: str, length: int) -> None:
    if name not in group:
        group.create_dataset(name, data=np.zeros(1, dtype=np.int64), maxshape=(None,))
    dataset = group[name]
    last = int(dataset[-1])
    dataset.resize(len(dataset) + 1, axis=0)
    dataset[-1] = last + length
