"""The frames that a force field learns from and is judged on: of a data set, of files without matrices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.config.forcefield import ForceFieldSettings
from n2amd.dataset.split import split_frames
from n2amd.dataset.store import read_frames, read_structures
from n2amd.errors import InputError
from n2amd.frames.frame import Frame
from n2amd.interop.extxyz import Labelled, LabelledFrame, read_labelled_frames

#: Fewest frames of a file-only set that are split; fewer all train.
FEWEST_TO_SPLIT = 10
#: Energies per atom of one composition differ by less than this unless they count from different zeros, eV.
LARGEST_ENERGY_OFFSET = 1.0


@dataclass(frozen=True)
class FrameParts:
    """Frames by what they are for.

    Attributes
    ----------
    train, validation, test
        The frames.
    split
        Their places: `train`, `validation`, `test` in the data set, `further` the same for the frames of
        files.
    """

    train: list[Labelled]
    validation: list[Labelled]
    test: list[Labelled]
    split: dict[str, object]


def read_labelled(dataset: Path, indices: Sequence[int]) -> list[Frame]:
    """Read frames and make sure that each has an energy and forces.

    Raises
    ------
    InputError
        Naming the frame that lacks them.
    """
    frames = list(read_frames(dataset, list(indices)))
    for frame in frames:
        for field in ("energy", "forces"):
            if getattr(frame, field) is None:
                raise InputError(
                    f"the frame has no {field}",
                    file=dataset,
                    frame=frame.name,
                    field=field,
                    remedy="ingest the DFT output with its forces (SIESTA: WriteForces true)",
                )
    return frames


def gather(dataset: Path, further: Sequence[Path], settings: ForceFieldSettings) -> FrameParts:
    """Split a data set, and the frames of further files among themselves, by one rule.

    The data set's own split is that of the Hamiltonian network, whatever the files add.

    Parameters
    ----------
    dataset
        `dataset.h5`.
    further
        Extended XYZ files of frames with energies and forces, of the same code and functional.
    settings
        Fractions and seed.

    Raises
    ------
    InputError
        If a frame lacks energy or forces, or the energies of the files count from another zero.
    """
    names = ("train", "validation", "test")
    own = split_frames(
        read_structures(dataset), settings.validation_fraction, settings.test_fraction, settings.seed
    )
    places: dict[str, list[int]] = {name: [int(k) for k in getattr(own, name)] for name in names}
    parts: dict[str, list[Labelled]] = {name: [*read_labelled(dataset, places[name])] for name in names}
    added = [frame for file in further for frame in read_labelled_frames(file)]
    more: dict[str, list[int]] = {"train": list(range(len(added))), "validation": [], "test": []}
    if len(added) >= FEWEST_TO_SPLIT:
        structures = [frame.structure for frame in added]
        theirs = split_frames(structures, settings.validation_fraction, settings.test_fraction, settings.seed)
        more = {name: [int(k) for k in getattr(theirs, name)] for name in names}
    _check_energy_zero(parts["train"], added)
    for name in names:
        parts[name] += [added[k] for k in more[name]]
    split: dict[str, object] = {**places, "further": more} if further else {**places}
    return FrameParts(parts["train"], parts["validation"], parts["test"], split)


def weighted_by_size(frames: Sequence[Labelled]) -> list[Labelled]:
    """Repeat larger frames, round(sqrt(n / fewest atoms)) times each, for an epoch of training.

    Every frame once would give an atom of a small frame, of which a batch holds few, much more weight than
    one of a large frame; every atom alike would hardly show the small frames (docs/decisions/
    force-field-cells.md).
    """
    fewest = min(frame.structure.n_atoms for frame in frames)
    return [frame for frame in frames for _ in range(round((frame.structure.n_atoms / fewest) ** 0.5))]


def without_stress(frame: Labelled) -> LabelledFrame:
    """Keep energy and forces, what is trained on: nequip refuses frames of which only some have a stress."""
    assert frame.energy is not None
    assert frame.forces is not None
    return LabelledFrame(frame.name, frame.structure, frame.energy, frame.forces)


def reference_energies(frames: Sequence[Labelled]) -> dict[str, float]:
    """Least-squares energy per species (minimum norm where the compositions do not tell them apart), eV."""
    from ase.data import chemical_symbols

    numbers = sorted({int(z) for f in frames for z in f.structure.numbers})
    energies = np.array([f.energy for f in frames])
    shifts, *_ = np.linalg.lstsq(_compositions(frames, numbers), energies, rcond=None)
    return {chemical_symbols[z]: float(shift) for z, shift in zip(numbers, shifts)}


def _compositions(frames: Sequence[Labelled], numbers: Sequence[int]) -> NDArray[np.float64]:
    return np.array(
        [[Counter(f.structure.numbers.tolist())[z] for z in numbers] for f in frames], dtype=float
    )


def _check_energy_zero(known: Sequence[Labelled], added: Sequence[Labelled]) -> None:
    """Compare the energies of added frames with those of frames of the same composition."""
    numbers = sorted({int(z) for f in (*known, *added) for z in f.structure.numbers})
    compositions = _compositions(known, numbers)
    shifts, *_ = np.linalg.lstsq(compositions, np.array([f.energy for f in known]), rcond=None)
    within = np.linalg.pinv(compositions) @ compositions
    for frame in added:
        (counts,) = _compositions([frame], numbers)
        if not np.allclose(within @ counts, counts, atol=1e-6 * counts.sum()):
            continue  # a composition of its own: nothing to compare with
        assert frame.energy is not None
        offset = (frame.energy - counts @ shifts) / counts.sum()
        if abs(offset) > LARGEST_ENERGY_OFFSET:
            raise InputError(
                f"its energy is {offset:+.1f} eV/atom from those of the data set",
                frame=frame.name,
                field="energy",
                remedy="use frames of the same code, functional and pseudopotentials, with total energies",
            )
