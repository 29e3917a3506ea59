"""What the states of a Hamiltonian are solved of: a closed shell, each spin channel by itself, or spinors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from n2amd.blocks.matrix import BlockMatrix, spin_channel
from n2amd.config.states import CHANNELS, Channel, Component
from n2amd.states.window import occupied_bands


@dataclass(frozen=True)
class SpinPart:
    """A part of a Hamiltonian whose bands are its own.

    Attributes
    ----------
    channel
        Up or down; None of a closed shell and of spinors.
    hamiltonian
        With one spin component, or four of spinors.
    n_occupied
        Filled bands.
    per_band
        Electrons that a band holds.
    """

    channel: Channel | None
    hamiltonian: BlockMatrix
    n_occupied: int
    per_band: int


def filled_bands(n_spin: int, electrons: Sequence[float]) -> tuple[int, ...]:
    """Filled bands of each part of a Hamiltonian with so many spin components.

    Parameters
    ----------
    n_spin
        1, 2 (collinear) or 4 (spinors).
    electrons
        Of the cell, or of its two channels.

    Raises
    ------
    InputError
        If the electrons do not fill whole bands.
    """
    kinds: tuple[Component | None, ...] = CHANNELS if n_spin == 2 else ("spinors" if n_spin == 4 else None,)
    return tuple(occupied_bands(n, kind) for n, kind in zip(electrons, kinds, strict=True))


def spin_parts(hamiltonian: BlockMatrix, electrons: Sequence[float]) -> list[SpinPart]:
    """Take a Hamiltonian apart; parameters and errors as of `filled_bands`."""
    filled = filled_bands(hamiltonian.n_spin, electrons)
    if hamiltonian.n_spin != len(CHANNELS):
        return [SpinPart(None, hamiltonian, filled[0], 2 if hamiltonian.n_spin == 1 else 1)]
    return [
        SpinPart(channel, spin_channel(hamiltonian, spin), filled[spin], 1)
        for spin, channel in enumerate(CHANNELS)
    ]
