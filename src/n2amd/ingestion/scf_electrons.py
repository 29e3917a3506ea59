"""Charge and total spin that self-consistent cycles take from the frames of a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from n2amd.dataset.electrons import charges_and_moments, require_charge
from n2amd.dataset.store import read_basis, read_frames
from n2amd.errors import InputError, within
from n2amd.frames.channels import WHOLE, electrons_of_channels, occupied_bands


def reference_electrons(path: Path) -> tuple[float, float | None]:
    """Charge and total spin of the frames of a data set, which cycles hold.

    A run that fixed no spin counts with that of its filled bands: with a gap in both channels, cycles that
    hold it come to the same state.

    Raises
    ------
    InputError
        If they differ from frame to frame, or the channels fill no whole bands.
    """
    names, charges, moments = charges_and_moments(path)
    if next(read_frames(path, [0])).hamiltonian.n_spin != 1:
        for k in np.flatnonzero(np.isnan(moments)):
            with within(path):
                up, down = electrons_of_channels(next(read_frames(path, [int(k)])))
            moments[k] = _whole_spin(up, down, path, names[k])
    states = [(float(q), None if np.isnan(m) else float(m)) for q, m in zip(charges, moments)]
    for name, state in zip(names, states):
        if state != states[0]:
            raise InputError(
                f"charge and total spin {state}, of the first frame {states[0]}",
                file=path,
                frame=name,
                field="charge",
                remedy="take a data set of one charge and total spin",
            )
    _require_sound(path)
    return states[0]


def _require_sound(path: Path) -> None:
    """Refuse electrons that contradict atoms and charge, or a total spin that they cannot have.

    Raises
    ------
    InputError
        Naming the first frame that does.
    """
    frame, basis = next(read_frames(path, [0])), read_basis(path)
    with within(path):
        require_charge(frame, basis)
        if frame.hamiltonian.n_spin == 2:
            occupied_bands(frame)


def _whole_spin(up: float, down: float, path: Path, name: str) -> int:
    """Total spin of a run that fixed none."""
    if max(abs(n - round(n)) for n in (up, down)) > WHOLE:
        raise InputError(
            f"{up:.6g} electrons up and {down:.6g} down in a run without a fixed total spin; cycles hold a "
            "whole one",
            file=path,
            frame=name,
            field="fixed_moment",
            remedy="take a data set of runs with a fixed total spin, with a gap in both channels, or without "
            "spin",
        )
    return round(up) - round(down)
