"""The classical path a carrier moves on: energies and couplings of its states along the trajectory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from n2amd.config.scissor import Scissor
from n2amd.couplings.store import Couplings, States, edges_of, in_kramers_pairs, read_states
from n2amd.errors import InputError
from n2amd.hopping import pairs
from n2amd.hopping.pairs import Pairs
from n2amd.hopping.spin_states import have_spins, with_spins
from n2amd.units import BOLTZMANN_EV_K

Carrier = Literal["electron", "hole", "pair"]

#: Cost of a hop into a closed state, kT: never paid.
_CLOSED = 1e6


@dataclass(frozen=True)
class Source:
    """The window that the states of a path are taken from.

    Attributes
    ----------
    window
        Path of all states that the couplings file holds.
    columns
        Columns of the window, (n,): the states of the path (of Kramers pairs the first of each), or those
        that its electron-hole pairs are made of.
    pairs
        Which pairs, or None: the states are the window's own.
    members
        How many columns of the window, from that one on, each state of the path is: 2 of a Kramers pair.
    """

    window: ClassicalPath
    columns: NDArray[np.int64]
    pairs: Pairs | None = None
    members: int = 1


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
    mixing
        <i|H|j> between states that are not eigenstates, diagonal zero, (frames, n, n), eV; None where all
        are.
    conduction
        States that a scissor shifts, (n,); None for those at and above the upper band edge by `band_index`.
    closed
        How many of the last states carry amplitude but no carrier: they are full (of an electron's path, the
        valence states but the one it recombines to), or not asked for.
    source
        The window these states are part of, and are propagated in; None where they are all there is.
    level
        States that are levels of a defect, (n,); None where there are none. Of a carrier's path they are the
        last open ones.
    multiplicity
        Neighbouring columns that are one level: 2 of a window of Kramers pairs, whose start and final state
        are the first ones of theirs.
    spin
        Of each state, (n,), 0 up and 1 down; None where states have no spin, or are spinors. Start and final
        state are those of spin up.
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
    mixing: NDArray | None = None
    conduction: NDArray[np.bool_] | None = None
    closed: int = 0
    source: Source | None = None
    level: NDArray[np.bool_] | None = None
    multiplicity: int = 1
    spin: NDArray[np.int64] | None = None

    @property
    def states(self) -> int:
        """Number of states."""
        return self.energies.shape[1]

    @property
    def members(self) -> int:
        """How many states of the window each state of the path is: 2 where its states are Kramers pairs."""
        return 1 if self.source is None else self.source.members

    @property
    def open_spins(self) -> int:
        """How many of the states that are degenerate with the final one a carrier recombines to."""
        return self.multiplicity if self.spin is None else 2

    def amplitudes_of(self, state: int) -> range:
        """Columns of the propagators that the level of a state has: two of a Kramers pair."""
        first, count = state * self.members, self.members * self.multiplicity
        return range(first, first + count)

    @property
    def open_states(self) -> int:
        """Number of states that a carrier can be in, the first ones."""
        return self.states - self.closed

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

    @property
    def above_gap(self) -> NDArray[np.bool_]:
        """Which states are conduction states (of pairs: all but the ground state), (n,)."""
        if self.conduction is not None:
            return self.conduction
        upper = self.final if self.carrier == "hole" else self.start
        return self.band_index >= self.band_index[upper]

    @property
    def whole(self) -> ClassicalPath:
        """All states that these are part of, with the same start and final state; of pairs, themselves."""
        if self.source is None or self.source.pairs is not None:
            return self
        columns = self.source.columns
        return replace(
            self.source.window,
            carrier=self.carrier,
            start=int(columns[self.start]),
            final=int(columns[self.final]),
        )

    def hop_costs(self, temperature: float) -> NDArray[np.float64]:
        """Mid-step energies in units of kT, uphill positive for the carrier, (frames - 1, n).

        Closed states cost more than any hop can pay; at infinite temperature all others cost nothing.
        """
        costs = self.midstep_energies * (self.sign / (BOLTZMANN_EV_K * temperature))
        costs[:, self.open_states :] = _CLOSED
        return costs

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

    @property
    def defect(self) -> int:
        """Number of open states that are levels of a defect."""
        return 0 if self.level is None else int(self.level[: self.open_states].sum())

    @property
    def outermost(self) -> int:
        """The band state farthest from the edge."""
        return self.open_states - self.defect - 1

    def part(self, columns: list[int], start: int, final: int, closed: int = 0) -> ClassicalPath:
        """Some of the states, propagated as before; `start` and `final` are columns of the result.

        Of a window of Kramers pairs, whose columns are those of the first of each: pairs.
        """

        def square(matrices: NDArray | None) -> NDArray | None:
            # between pairs there is no number
            if matrices is None or self.multiplicity > 1:
                return None
            return np.ascontiguousarray(matrices[:, columns][:, :, columns])

        return replace(
            self,
            energies=self.energies[:, columns],
            band_index=self.band_index[columns],
            hole_band=None if self.hole_band is None else self.hole_band[columns],
            conduction=None if self.conduction is None else self.conduction[columns],
            start=start,
            final=final,
            closed=closed,
            level=None if self.level is None else self.level[columns],
            overlap=square(self.overlap),
            nac=square(self.nac),
            mixing=square(self.mixing),
            source=self._source_of(columns),
            multiplicity=1,
            spin=None if self.spin is None else self.spin[columns],
        )

    def _source_of(self, columns: list[int]) -> Source | None:
        if self.source is None:
            source = Source(self, np.asarray(columns), members=self.multiplicity)
            return source if self.hole_band is None else None
        if self.source.pairs is None:
            members = self.multiplicity * self.source.members
            return replace(self.source, columns=self.source.columns[columns], members=members)
        return replace(self.source, pairs=self.source.pairs.part(columns))


def read_window(file: str | Path) -> ClassicalPath:
    """Read every kept state of `couplings.h5`, valence and conduction, as the path of an electron.

    Raises
    ------
    InputError
        If the file is not a whole couplings file or its numbers cannot be right.
    """
    return window_of(read_states(file))


def window_of(states: States | Couplings) -> ClassicalPath:
    """Every kept state of couplings, valence and conduction, as the path of an electron."""
    if spins := have_spins(states):
        states = with_spins(states)
    (vbm, cbm), n = edges_of(states), states.energies.shape[1]
    multiplicity = 2 if in_kramers_pairs(states) else 1
    levels = [] if states.defect is None else list(states.defect.columns)
    kept = ClassicalPath(
        energies=states.energies,
        timestep_fs=states.timestep_fs,
        carrier="electron",
        band_index=states.band_index,
        start=cbm,
        # the first of two degenerate ones
        final=vbm - 1 if spins else vbm + 1 - multiplicity,
        multiplicity=multiplicity,
        spin=np.arange(n) % 2 if spins else None,
        overlap=states.overlap,
        nac=states.nac,
        **_sides(n, states.cbm, levels),
    )
    if (window := states.window) is None:
        return kept
    first, w = window.first, window.energies.shape[1]
    whole = replace(
        kept,
        energies=window.energies,
        overlap=window.overlap,
        nac=window.nac,
        mixing=window.mixing,
        band_index=(states.n_occupied - (first + states.cbm) + np.arange(w)) // (2 if spins else 1),
        **_sides(w, first + states.cbm, [first + k for k in levels]),
        start=first + cbm,
        final=first + kept.final,
        spin=np.arange(w) % 2 if spins else None,
    )
    return replace(kept, source=Source(whole, first + np.arange(n)))


def _sides(states: int, cbm: int, levels: list[int]) -> dict[str, Any]:
    """Levels of a defect, and conduction states without them: a scissor leaves them above the VBM."""
    level = np.isin(np.arange(states), levels)
    return {"conduction": (np.arange(states) >= cbm) & ~level, "level": level if levels else None}


def read_couplings(file: str | Path, carrier: Carrier, pair_states: int | None = None) -> ClassicalPath:
    """Read the states of one carrier from `couplings.h5`.

    An electron moves among [VBM, CBM, CBM+1, ...] and starts at the CBM; a hole among
    [CBM, VBM, VBM-1, ...] and starts at the VBM; levels of a defect follow the states of the bands. A pair
    moves among [ground state, (VBM, CBM), ...], the further pairs by mean energy, and starts as (VBM, CBM).
    Column 0 is where it recombines to. Of Kramers pairs of spinors each pair is a state; of spin states,
    which start and recombine with spin up, down follows up.

    Parameters
    ----------
    pair_states
        States of a pair to keep, the ground state among them; all by default.

    Raises
    ------
    InputError
        If the file is not a whole couplings file or its numbers cannot be right.
    """
    return path_of(read_states(file), carrier, pair_states)


def path_of(states: States | Couplings, carrier: Carrier, pair_states: int | None = None) -> ClassicalPath:
    """States of one carrier, as `read_couplings` has them, of couplings at hand."""
    window = replace(window_of(states), carrier=carrier)
    levels = [] if window.level is None else np.flatnonzero(window.level).tolist()
    if carrier == "pair":
        if states.spin == "spinors" or window.spin is not None:
            raise InputError(
                "pairs of an electron and a hole are not known with spin-orbit coupling",
                field="dynamics.carrier",
                remedy="choose electron or hole",
            )
        if levels:
            raise InputError(
                "pairs of an electron and a hole know no levels of a defect",
                field="dynamics.carrier",
                remedy="choose electron or hole, or leave states.defect out",
            )
        return pair_path(window, pair_states)
    vbm, cbm, n, step = window.final, window.start, window.states, window.multiplicity
    columns = [vbm, *range(cbm, n, step)] if carrier == "electron" else [cbm, *range(vbm, -1, -step)]
    if window.spin is not None and carrier == "hole":
        columns = [cbm, *(k + spin for k in range(vbm, -1, -2) for spin in (0, 1))]
    columns = [*(k for k in columns if k not in levels), *levels]
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
    source = window.source or Source(window, np.arange(window.states))
    return ClassicalPath(
        energies=pairs.energies(chosen, window.energies),
        timestep_fs=window.timestep_fs,
        carrier="pair",
        band_index=np.append(-1, bands[chosen.electron]),
        start=1,
        final=0,
        hole_band=np.append(-1, bands[chosen.hole]),
        conduction=np.arange(1 + len(chosen.hole)) > 0,
        source=replace(source, pairs=chosen),
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
    return _shifted(path, shift), shift


def _shifted(path: ClassicalPath, shift: float) -> ClassicalPath:
    source = path.source
    if source is not None:
        source = replace(source, window=_shifted(source.window, shift))
    return replace(path, energies=path.energies + shift * path.above_gap, source=source)
