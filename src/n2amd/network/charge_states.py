"""Charge and total spin of the cells that a model was trained on, and of a structure to predict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.frames.channels import occupied_bands
from n2amd.frames.frame import Frame

#: Electrons by which two numbers of them are one.
SAME = 1e-3
#: Atoms of each element, by atomic number.
Composition = Mapping[int, int]


@dataclass(frozen=True)
class ChargeState:
    """Electrons of a cell.

    Attributes
    ----------
    excess
        Electrons beyond the neutral atoms: minus the charge.
    moment
        Electrons of spin up minus those of spin down; None where spin was not asked for.
    """

    excess: float = 0.0
    moment: float | None = None

    @property
    def plain(self) -> bool:
        """Neutral, and without a moment."""
        return abs(self.excess) < SAME and not self.moment

    def same_as(self, other: ChargeState) -> bool:
        """Whether another one is this; a cell without spin is one of moment zero."""
        apart = abs(self.excess - other.excess), abs((self.moment or 0.0) - (other.moment or 0.0))
        return max(apart) < SAME

    def __str__(self) -> str:
        spin = "" if self.moment is None else f" and a total spin of {self.moment:g}"
        return f"a charge of {-self.excess + 0.0:g}{spin}"


def state_of_frame(frame: Frame) -> ChargeState:
    """Charge state of a DFT frame.

    Raises
    ------
    InputError
        If its electrons fill no whole bands.
    """
    counts = occupied_bands(frame)
    moment = float(counts[0] - counts[1]) if len(counts) == 2 else None
    return ChargeState(-frame.charge, moment)


@dataclass(frozen=True)
class ChargeStates:
    """Charge state of each composition that a model was trained on.

    Attributes
    ----------
    known
        Compositions and their states.
    spin
        Whether the model has collinear spins.
    """

    known: tuple[tuple[dict[int, int], ChargeState], ...]
    spin: bool

    @classmethod
    def of(cls, frames: Iterable[tuple[str, NDArray[np.int64], ChargeState]], *, spin: bool) -> ChargeStates:
        """Collect them from (name, atomic numbers, state) of frames; errors as of `joined`."""
        return cls((), spin).joined(frames)

    def joined(self, frames: Iterable[tuple[str, NDArray[np.int64], ChargeState]]) -> ChargeStates:
        """Return them with those of further frames.

        Raises
        ------
        InputError
            If cells of one composition are in two states: the network is told atoms only.
        """
        known = {tuple(cell.items()): state for cell, state in self.known}
        for name, numbers, state in frames:
            first = known.setdefault(tuple(composition_of(numbers).items()), state)
            if not first.same_as(state):
                raise InputError(
                    f"{state}, but cells of the same atoms before it have {first}",
                    frame=name,
                    field="charge",
                    remedy="train one model for each charge state, from data sets of their own",
                )
        return ChargeStates(tuple((dict(key), state) for key, state in known.items()), self.spin)

    def state_of(self, numbers: NDArray[np.int64]) -> ChargeState:
        """Charge state of a cell: that of its composition, or of one that differs by neutral units.

        Raises
        ------
        InputError
            If none of the cells trained on tells.
        """
        if not self.known:
            return ChargeState()
        wanted = composition_of(numbers)
        plain = [cell for cell, state in self.known if state.plain]
        if any(_units(wanted, cell) for cell in plain):
            return self._shown(ChargeState())
        for cell, state in self.known:
            rest = {z: wanted.get(z, 0) - cell.get(z, 0) for z in {*wanted, *cell}}
            if not any(rest.values()) or any(_units(rest, unit) for unit in plain):
                return self._shown(state)
        listed = "; ".join(f"{_text(cell)}: {state}" for cell, state in self.known)
        raise InputError(
            f"the charge of {_text(wanted)} is unknown: the model was trained on {listed}",
            field="charge",
            remedy="predict cells of these compositions, or larger by neutral units of the crystal",
        )

    def require(self, numbers: NDArray[np.int64], state: ChargeState, frame: str) -> None:
        """Refuse a frame in another charge state than the model gives its atoms."""
        if not (found := self.state_of(numbers)).same_as(state):
            raise InputError(
                f"{state}, but the model was trained for {found} with these atoms",
                frame=frame,
                field="charge",
                remedy="judge it on frames of the charge and total spin it was trained on",
            )

    def _shown(self, state: ChargeState) -> ChargeState:
        return ChargeState(state.excess, (state.moment or 0.0) if self.spin else None)

    def to_document(self) -> dict[str, Any]:
        """Plain types, for the model file."""
        cells = [
            {"atoms": {str(z): n for z, n in cell.items()}, "excess": state.excess, "moment": state.moment}
            for cell, state in self.known
        ]
        return {"spin": self.spin, "cells": cells}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> ChargeStates:
        """Inverse of `to_document`."""
        known = [
            ({int(z): int(n) for z, n in cell["atoms"].items()}, ChargeState(cell["excess"], cell["moment"]))
            for cell in document["cells"]
        ]
        return cls(tuple(known), bool(document["spin"]))

    @property
    def plain(self) -> bool:
        """Neutral cells without spin alone, which a model file need not mention."""
        return not self.spin and all(state.plain for _, state in self.known)


#: Of a neutral cell without spin, and of models that say nothing: such cells, whatever their atoms.
PLAIN = ChargeState()
NEUTRAL = ChargeStates((), spin=False)


def composition_of(numbers: NDArray[np.int64]) -> dict[int, int]:
    """Atoms of each element, atomic numbers ascending."""
    elements, counts = np.unique(numbers, return_counts=True)
    return dict(zip(elements.tolist(), counts.tolist()))


def _units(atoms: Composition, cell: Composition) -> bool:
    """Whether atoms are a whole number (at least one) of the smallest formula unit of a cell."""
    size = math.gcd(*cell.values())
    unit = {z: n // size for z, n in cell.items()}
    first = next(iter(unit))
    times = atoms.get(first, 0) // unit[first]
    return times > 0 and all(atoms.get(z, 0) == times * unit.get(z, 0) for z in {*atoms, *unit})


def _text(atoms: Composition) -> str:
    from ase.data import chemical_symbols

    return " ".join(f"{chemical_symbols[z]}{n}" for z, n in atoms.items())
