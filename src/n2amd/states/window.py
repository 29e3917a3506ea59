"""Which states are solved: valence + conduction + margin around the gap of a closed shell or spin channel."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from n2amd.config.states import CHANNELS, Component, StatesSettings
from n2amd.errors import InputError

#: Electron counts further than this from an even number are refused.
_COUNT_TOLERANCE = 1e-6
#: Names of states next to the gap.
_EDGE = re.compile(r"(?P<edge>VBM|CBM)(?P<steps>[+-][0-9]+)?")


@dataclass(frozen=True)
class StateWindow:
    """States `low` <= band < `high` of the full spectrum.

    Attributes
    ----------
    low, high
        Absolute band indices, 0-based, `high` exclusive; the margin is included.
    n_occupied
        Doubly occupied bands, or filled ones of a spin channel or of spinors: the VBM is n_occupied - 1, the
        CBM n_occupied.
    """

    low: int
    high: int
    n_occupied: int

    def __len__(self) -> int:
        return self.high - self.low

    @property
    def band_index(self) -> NDArray[np.int64]:
        """Absolute index of each state, (w,)."""
        return np.arange(self.low, self.high, dtype=np.int64)


def occupied_bands(n_electrons: float, component: Component | None = None) -> int:
    """Return the doubly occupied bands of a closed shell, or the filled ones of a spin channel or of spinors.

    Parameters
    ----------
    n_electrons
        In the cell, or in the channel.
    component
        The channel, or spinors; None: a closed shell.

    Raises
    ------
    InputError
        If the electrons do not fill whole bands, or there are none.
    """
    per_band = 1 if component in CHANNELS else 2
    n_occupied = round(n_electrons / per_band)
    if n_occupied >= 1 and abs(n_electrons - per_band * n_occupied) <= _COUNT_TOLERANCE:
        # an even number, so that no pair of degenerate spinors is half filled
        return 2 * n_occupied if component == "spinors" else n_occupied
    if component not in CHANNELS:
        raise InputError(
            f"{n_electrons:g} valence electrons do not fill whole bands",
            field="n_electrons",
            remedy="use a closed-shell cell, an even number of electrons; of a spin-polarised one, choose a "
            "channel (states.spin)",
        )
    raise InputError(
        f"{n_electrons:g} electrons of spin {component} do not fill whole bands",
        field="states.spin",
        remedy="use runs whose channels hold whole numbers of electrons: a gap in each, or a fixed moment",
    )


def band_named(name: str, n_occupied: int) -> int:
    """Return the state, 0-based from the lowest, that a name stands for.

    Parameters
    ----------
    name
        VBM, CBM, VBM-1, CBM+2 and so on, or the number itself.
    n_occupied
        Doubly occupied bands.

    Raises
    ------
    InputError
        If it is none of these.
    """
    text = name.strip().upper()
    if found := _EDGE.fullmatch(text):
        edge = n_occupied - 1 if found["edge"] == "VBM" else n_occupied
        return edge + int(found["steps"] or 0)
    if text.isascii() and text.isdigit():
        return int(text)
    raise InputError(
        f"{name!r} names no state",
        field="pair",
        remedy="write VBM, VBM-1, CBM, CBM+2, or the state's number from 0",
    )


def spin_factor(settings: StatesSettings) -> int:
    """Return how many functions the solved matrices have for each orbital: of spinors two."""
    return 2 if settings.component == "spinors" else 1


def state_window(n_electrons: float, n_orbitals: int, settings: StatesSettings) -> StateWindow:
    """Choose the states to solve.

    Parameters
    ----------
    n_electrons
        Valence electrons in the cell, or in the spin channel of the settings.
    n_orbitals
        Size of the basis: the number of bands there are, of spinors half of it.
    settings
        Numbers of valence and conduction states and of margin states on each side; the spin channel.

    Raises
    ------
    InputError
        If the electrons do not fill whole bands, or the window reaches beyond the spectrum.
    """
    n_occupied = occupied_bands(n_electrons, settings.component)
    n_bands = spin_factor(settings) * n_orbitals
    empty = n_bands - n_occupied
    for side, wanted, available in (
        ("valence", settings.valence, n_occupied),
        ("conduction", settings.conduction, empty),
    ):
        if wanted + settings.margin > available:
            raise InputError(
                f"{wanted} {side} states and a margin of {settings.margin} are asked for, "
                f"but the cell has {max(available, 0)} ({n_bands} orbitals, {n_occupied} occupied)",
                field=f"states.{side}",
                remedy="lower it or states.margin, or take a larger cell",
            )
    low = n_occupied - settings.valence - settings.margin
    return StateWindow(low, n_occupied + settings.conduction + settings.margin, n_occupied)


def with_margin_that_fits(settings: StatesSettings, n_electrons: float, n_orbitals: int) -> StatesSettings:
    """Return the settings with no more margin than the cell has states on either side.

    For DFT's own frames, whose cells are smaller than the supercells the settings are made for: a margin only
    keeps states from being lost at the window's edge, and there is no edge where the spectrum ends.

    Raises
    ------
    InputError
        If the shell is open.

    Examples
    --------
    >>> with_margin_that_fits(StatesSettings(valence=2, conduction=2, margin=6), 8.0, 26).margin
    2
    """
    n_occupied = occupied_bands(n_electrons, settings.component)
    n_bands = spin_factor(settings) * n_orbitals
    room = min(n_occupied - settings.valence, n_bands - n_occupied - settings.conduction)
    return settings.model_copy(update={"margin": max(0, min(settings.margin, room))})
