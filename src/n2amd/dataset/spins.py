"""How many electrons, and how many filled bands, each spin channel of a frame has."""

from __future__ import annotations

import numpy as np

from n2amd.dataset.channels import electrons_of_channels
from n2amd.dataset.frame import Frame
from n2amd.errors import InputError

#: Electrons by which a number of them may miss a whole one and still be one.
WHOLE = 1e-3


def electrons_of_spins(frame: Frame) -> tuple[float, ...]:
    """Electrons of each channel of H: (all,) without spin and of spinors, (up, down) of collinear spins.

    Raises
    ------
    InputError
        If those of collinear spins are not known.
    """
    return electrons_of_channels(frame) if frame.hamiltonian.n_spin == 2 else (frame.n_electrons,)


def occupied_bands(frame: Frame) -> tuple[int, ...]:
    """Filled bands of each channel of H: doubly filled ones of a closed shell, else singly filled ones.

    Raises
    ------
    InputError
        If a band is filled in part: an odd number of electrons without spin, or a metal.
    """
    spins = electrons_of_spins(frame)
    per_band = 2 if frame.hamiltonian.n_spin == 1 else 1
    counts = np.array(spins) / per_band
    if not np.allclose(counts, np.rint(counts), rtol=0, atol=WHOLE):
        if frame.hamiltonian.n_spin == 1 and abs(spins[0] - round(spins[0])) < WHOLE:
            message = f"{spins[0]:g} electrons, an odd number, in a run without spin: a band is half filled"
        else:
            message = f"electrons of the channels {', '.join(f'{n:.6g}' for n in spins)} fill no whole bands"
        raise InputError(
            message,
            frame=frame.name,
            field="n_electrons",
            remedy="compute it with collinear spins and a fixed total spin, or with another charge",
        )
    return tuple(int(n) for n in np.rint(counts))
