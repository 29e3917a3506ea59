"""The file of derivative couplings, `n2amd/nac-vectors` (docs/file-formats.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.couplings.vectors import NacVectors
from n2amd.errors import InputError
from n2amd.storage import create_hdf5
from n2amd.units import HBAR_EV_FS


@dataclass(frozen=True)
class FrameVectors:
    """Derivative couplings of one frame.

    Attributes
    ----------
    frame
        Its number in the file that it came from.
    vectors
        The couplings.
    velocities
        Of the atoms, (n_atoms, 3), A/fs; None: not known.
    """

    frame: int
    vectors: NacVectors
    velocities: NDArray[np.float64] | None = None

    @property
    def coupling(self) -> NDArray | None:
        """Couplings hbar d_ij . v of the pairs, (n_pairs,), eV."""
        return None if self.velocities is None else HBAR_EV_FS * self.vectors.along(self.velocities)


def write_vectors(
    path: str | Path, frames: Sequence[FrameVectors], *, config: Any, inputs: Iterable[str | Path]
) -> None:
    """Write the couplings of one or several frames of one cell.

    Parameters
    ----------
    path
        Where to.
    frames
        The same pairs of states of the same atoms in each.
    config, inputs
        Settings and files that made them (hashed).

    Raises
    ------
    InputError
        If the frames differ in atoms or cell.
    """
    require_one_cell(frames)
    every = [frame.vectors for frame in frames]
    first = every[0]
    with create_hdf5(path, "nac-vectors", config=config, inputs=inputs) as file:
        file["cell"], file["numbers"] = first.structure.cell, first.structure.numbers
        file["pbc"], file["bands"] = np.array(first.structure.pbc), first.bands
        file["frames"] = np.array([frame.frame for frame in frames])
        file["positions"] = np.array([vectors.structure.positions for vectors in every])
        for name in ("energies", "nac", "riding", "level_sizes"):
            file[name] = np.array([getattr(vectors, name) for vectors in every])
        if all(frame.velocities is not None for frame in frames):
            file["velocities"] = np.array([frame.velocities for frame in frames])
            file["coupling"] = np.array([frame.coupling for frame in frames])
        file.attrs.update({"kpoint": first.kpoint, "n_occupied": first.n_occupied})


def require_one_cell(frames: Sequence[FrameVectors]) -> None:
    """Refuse frames of different cells or atoms.

    Raises
    ------
    InputError
        Naming the first that differs.
    """
    first = frames[0].vectors.structure
    for frame in frames[1:]:
        other = frame.vectors.structure
        if not (np.array_equal(first.numbers, other.numbers) and np.array_equal(first.cell, other.cell)):
            raise InputError(
                f"its atoms or cell are not those of frame {frames[0].frame}",
                frame=frame.frame,
                remedy="write each into a file of its own",
            )
