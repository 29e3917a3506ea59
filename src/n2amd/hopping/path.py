"""The classical path a carrier moves on: energies and couplings of its states along the trajectory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from n2amd.config import Scissor
from n2amd.couplings.store import read_window
from n2amd.hopping import pairs

Carrier = Literal["electron", "hole", "pair"]


@dataclass(frozen=True)
class ClassicalPath:
    """States of one carrier, or of an electron-hole pair, along a trajectory of `frames` frames.

    A path longer than the trajectory is made head to tail: after the last frame comes the first interval
    again. The join takes no time and mixes no states.

    Attributes
    ----------
    energies
        (frames, n), eV.
    timestep_fs
        Time between frames, fs.
    carrier
        Electrons and pairs relax to lower energies, holes to higher ones.
    band_index
        Absolute band index of each state, (n,); of a pair, that of its electron, -1 for the ground state.
    start, final
        Columns of the band edge a carrier starts from, and of the edge it recombines to.
    overlap
        <i(t)|j(t+dt)>, (frames - 1, n, n), or None.
    nac
        hbar <i|d/dt j> at t + dt/2, (frames - 1, n, n), eV, or None.
    hole_band
        Absolute band index of the hole of each pair, (n,), -1 for the ground state; None of other carriers.
    """

    energies: NDArray[np.float64]
    timestep_fs: float
    carrier: Carrier
    band_index: NDArray[np.int64]
    start: int
    final: int
    overlap: NDArray | None = None
    nac: NDArray | None = None
    hole_band: NDArray[np.int64] | None = None

    @property
    def states(self) -> int:
        """Number of states."""
        return self.energies.shape[1]

    @property
    def intervals(self) -> int:
        """Number of frame intervals, which is one lap."""
        return len(self.energies) - 1

    @property
    def sign(self) -> float:
        """-1 for holes, else +1: what multiplies an energy difference to give the cost of a hop."""
        return -1.0 if self.carrier == "hole" else 1.0

    @property
    def midstep_energies(self) -> NDArray[np.float64]:
        """Mean of the energies at both ends of every interval, (frames - 1, n), eV."""
        return 0.5 * (self.energies[1:] + self.energies[:-1])

    def frames_along(self, start: int, steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Frames reached after the given numbers of steps from frame `start`, head to tail."""
        position = start + np.asarray(steps)
        # at the join the carrier arrives at the last frame; frame 0 is only ever a start
        return np.where(position <= self.intervals, position, (position - 1) % self.intervals + 1)

    def label(self, state: int) -> str:
        """What a state is, by the bands of the file: for errors."""
        if self.hole_band is None:
            return f"band {self.band_index[state]}"
        return f"pair of hole band {self.hole_band[state]} and electron band {self.band_index[state]}"

    def part(self, columns: list[int], start: int, final: int) -> ClassicalPath:
        """Some of the states alone; `start` and `final` are columns of the result."""

        def square(matrices: NDArray | None) -> NDArray | None:
            return None if matrices is None else np.ascontiguousarray(matrices[:, columns][:, :, columns])

        return replace(
            self,
            energies=self.energies[:, columns],
            band_index=self.band_index[columns],
            hole_band=None if self.hole_band is None else self.hole_band[columns],
            start=start,
            final=final,
            overlap=square(self.overlap),
            nac=square(self.nac),
        )


def read_couplings(file: str | Path, carrier: Carrier, pair_states: int | None = None) -> ClassicalPath:
    """Read the states of one carrier from `couplings.h5`.

    An electron moves among [VBM, CBM, CBM+1, ...] and starts at the CBM; a hole among
    [CBM, VBM, VBM-1, ...] and starts at the VBM; a pair among [ground state, (VBM, CBM), ...], the further
    pairs by mean energy, and starts as (VBM, CBM). Column 0 is where it recombines to.

    Parameters
    ----------
    pair_states
        States of a pair to keep, the ground state among them; all by default.

    Raises
    ------
    InputError
        If the file is not a whole couplings file or its numbers cannot be right.
    """
    states = read_window(file)
    vbm, cbm, n = states.vbm, states.cbm, states.energies.shape[1]
    window = ClassicalPath(
        energies=states.energies,
        timestep_fs=states.timestep_fs,
        carrier=carrier,
        band_index=states.band_index,
        start=cbm,
        final=vbm,
        overlap=states.overlap,
        nac=states.nac,
    )
    if carrier == "pair":
        return pair_path(window, pair_states)
    columns = [vbm, *range(cbm, n)] if carrier == "electron" else [cbm, *range(vbm, -1, -1)]
    return window.part(columns, start=1, final=0)


def pair_path(window: ClassicalPath, most: int | None = None) -> ClassicalPath:
    """Electron-hole pairs of a window of valence states, the last one `final`, and conduction states.

    Parameters
    ----------
    window
        With `final` the valence band edge and `start` the conduction band edge, the next column.
    most
        States to keep, the lowest by mean energy.
    """
    chosen = pairs.choose(window.energies, window.final + 1, most)
    bands = window.band_index
    return ClassicalPath(
        energies=pairs.energies(chosen, window.energies),
        timestep_fs=window.timestep_fs,
        carrier="pair",
        band_index=np.append(-1, bands[chosen.electron]),
        start=1,
        final=0,
        overlap=None if window.overlap is None else pairs.overlaps(chosen, window.overlap),
        nac=None if window.nac is None else pairs.couplings(chosen, window.nac),
        hole_band=np.append(-1, bands[chosen.hole]),
    )


def apply_scissor(path: ClassicalPath, scissor: Scissor) -> tuple[ClassicalPath, float]:
    """Shift the conduction states (all pairs) rigidly so that the gap becomes `scissor.gap_eV`.

    The gap that is shifted is `scissor.reference_gap_eV`, or else the canonical mean of the path.

    Returns
    -------
    The shifted path and the shift in eV.
    """
    # of a pair: the ground state and the pair of the band edges, whose difference is the gap
    vbm, cbm = (path.start, path.final) if path.carrier == "hole" else (path.final, path.start)
    reference = scissor.reference_gap_eV
    if reference is None:
        reference = float(np.mean(path.energies[:, cbm] - path.energies[:, vbm]))
    shift = scissor.gap_eV - reference
    conduction = path.band_index >= path.band_index[cbm]
    return replace(path, energies=path.energies + shift * conduction), shift
