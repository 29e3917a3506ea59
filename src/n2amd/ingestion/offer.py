"""What DFT data hold, told without their matrices: from a data set, or from the frames it will be made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from n2amd.dataset.choice import without_excluded
from n2amd.dataset.electrons import Census
from n2amd.dataset.store import FORMAT, read_basis
from n2amd.dft.readers import reader_for
from n2amd.frames.channels import spin_of
from n2amd.frames.frame import Frame
from n2amd.ingestion.parts import work_folder
from n2amd.orbitals.basis import Basis
from n2amd.orbitals.conventions import Code
from n2amd.storage import open_hdf5
from n2amd.structure import Structure

#: Frames that are read whole for their geometry alone.
WHOLE_FRAMES = 30


@dataclass(frozen=True)
class Offer:
    """What DFT data hold, without their matrices.

    Attributes
    ----------
    n_frames
        Frames in all; `census` may be of some of them.
    census
        Atoms and electrons.
    basis
        Shells of every element seen.
    n_spin
        Spin components of H.
    without
        Quantities that a frame lacks ("energy", "forces"), each with the name of the frame.
    electrons
        Of the frames looked at: name, atomic numbers, electrons beyond the neutral atoms, and of spin up
        less those of spin down (None without collinear spins, or where nothing tells).
    spin_orbit
        Whether a pseudopotential tells j = l + 1/2 from l - 1/2; None where it was not looked at.
    """

    n_frames: int
    census: Census
    basis: Basis
    n_spin: int
    without: Mapping[str, str]
    electrons: tuple[tuple[str, NDArray[np.int64], float, float | None], ...] = ()
    spin_orbit: bool | None = None


def offer_of_dataset(path: str | Path) -> Offer:
    """Look at a data set.

    Raises
    ------
    InputError
        If the file is not a whole data set.
    """
    with open_hdf5(path, FORMAT) as file:
        names = file["frames/name"].asstr()[...].tolist()
        offsets = file["frames/atom_offset"][...]
        empty = {
            "energy": np.isnan(file["frames/energy"][...]),
            "forces": np.isnan(file["atoms/forces"][offsets[:-1], 0]),
        }
        n_spin = next(iter(file["blocks"].values()))["hamiltonian"].shape[0]
        numbers = np.split(file["atoms/numbers"][...], offsets[1:-1])
        excess = -np.nan_to_num(file["frames/charge"][...])
        spins = file["frames/spin"][...] if "spin" in file["frames"] else np.full(len(names), np.nan)
    moments = [None if np.isnan(spin) or n_spin != 2 else float(spin) for spin in spins]
    without = {what: names[int(np.argmax(missing))] for what, missing in empty.items() if missing.any()}
    electrons = tuple(zip(names, numbers, excess.tolist(), moments))
    return Offer(len(names), Census.of_dataset(path), read_basis(path), n_spin, without, electrons)


def structures_of_frames(
    paths: Sequence[Path], code: Code, n_electrons: float | None, exclude: Sequence[str] = ()
) -> list[Structure]:
    """Return the structures of DFT output in the order that a data set made of it has.

    Where a code's reader knows no shorter way than to read whole frames, only `WHOLE_FRAMES` of them, evenly
    spaced, are read.

    Raises
    ------
    InputError
        As `offer_of_frames`.
    """
    return [structure for _, structure in geometries_of_frames(paths, code, n_electrons, exclude)]


def geometries_of_frames(
    paths: Sequence[Path], code: Code, n_electrons: float | None, exclude: Sequence[str] = ()
) -> list[tuple[Path, Structure]]:
    """Return the folders and structures of DFT output, as `structures_of_frames`."""
    reader = reader_for(code, n_electrons)
    with TemporaryDirectory() as scratch, work_folder(Path(scratch) / "frames") as work:
        folders = without_excluded(reader.find([work.folder_of(path) for path in paths]), exclude)
        if reader.geometry is not None:
            return [(folder, reader.geometry(folder)) for folder in folders]
        places = np.linspace(0, len(folders) - 1, min(len(folders), WHOLE_FRAMES)).astype(int)
        return [(folders[k], reader.read(folders[k], code)[0].structure) for k in places]


def offer_of_frames(
    paths: Sequence[Path],
    code: Code,
    n_electrons: float | None,
    elements: Collection[int],
    exclude: Sequence[str] = (),
) -> Offer:
    """Look at DFT output: at the first frame, and at further ones until all elements were seen.

    Parameters
    ----------
    paths
        Frame folders, folders of frame folders, or archives of either.
    code, n_electrons
        DFT code that wrote them; electrons in the cell, where the files do not say.
    elements
        Atomic numbers looked for.
    exclude
        Frames that are left out.

    Raises
    ------
    InputError
        If there is no frame, or one cannot be read.
    """
    reader = reader_for(code, n_electrons)
    with TemporaryDirectory() as scratch, work_folder(Path(scratch) / "frames") as work:
        folders = without_excluded(reader.find([work.folder_of(path) for path in paths]), exclude)
        frames: list[Frame] = []
        atoms: dict = {}
        for folder in folders:
            frame, basis = reader.read(folder, code)
            frames.append(frame)
            atoms = {**basis.atoms, **atoms}
            if set(elements) <= {int(z) for found in frames for z in found.structure.numbers}:
                break
    without = {
        what: frame.name
        for what in ("forces", "energy")
        for frame in reversed(frames)
        if getattr(frame, what) is None
    }
    n_spin = frames[0].hamiltonian.n_spin
    electrons = tuple((f.name, f.structure.numbers, -f.charge + 0.0, spin_of(f)) for f in frames)
    split = any(
        atom.split_projectors for f in frames if f.ingredients for atom in f.ingredients.atoms.values()
    )
    return Offer(len(folders), Census.of_frames(frames), Basis(atoms), n_spin, without, electrons, split)
