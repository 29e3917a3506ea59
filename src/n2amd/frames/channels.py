"""How many electrons, and how many filled bands, each spin channel of a frame has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from n2amd.config.states import CHANNELS, Channel
from n2amd.errors import InputError
from n2amd.frames.frame import BandReference, Frame

#: Electrons by which a number of them may miss a whole one and still be one.
WHOLE = 1e-3
#: Electrons by which neighbouring frames of a metal may differ in spin and still be in one state.
ONE_STATE = 0.5


def electrons_of_channels(frame: Frame) -> tuple[float, float]:
    """Electrons of spin up and of spin down.

    Those of the run where it fixed or told them; else the channels share the levels of the code's own bands,
    filled from below to one Fermi level.

    Parameters
    ----------
    frame
        A collinear frame.

    Raises
    ------
    InputError
        If the frame is not collinear, or neither its spin nor its bands are known.
    """
    if frame.hamiltonian.n_spin != 2:
        kind = "has no spin channels" if frame.hamiltonian.n_spin == 1 else "is of spinors"
        raise InputError(
            f"its Hamiltonian {kind}",
            frame=frame.name,
            field="spin",
            remedy="leave the spin out, or use spin-polarised runs",
        )
    if (spin := spin_of(frame)) is None:
        raise InputError(
            "how many electrons are up and how many down is not known",
            frame=frame.name,
            field="spin",
            remedy="keep the code's eigenvalues with the frame and ingest it again",
        )
    return (frame.n_electrons + spin) / 2, (frame.n_electrons - spin) / 2


def electrons_of_window(frame: Frame, spin: Channel | None) -> float:
    """Electrons in a spin channel of a frame, or in its cell where no channel is named.

    Raises
    ------
    InputError
        If a channel is named that there is not, or not known how full it is.
    """
    if spin is None:
        return frame.n_electrons
    return electrons_of_channels(frame)[CHANNELS.index(spin)]


def spin_of(frame: Frame) -> float | None:
    """Electrons of spin up less those of spin down; None where nothing tells it, or nothing is collinear."""
    if frame.fixed_moment is not None:
        return frame.fixed_moment
    if frame.spin is not None or frame.bands is None or frame.hamiltonian.n_spin != 2:
        return frame.spin
    return spin_of_bands(frame.bands, frame.n_electrons)


def spin_of_bands(bands: BandReference, n_electrons: float) -> float:
    """Electrons of spin up less those of spin down when the levels are filled from below.

    Parameters
    ----------
    bands
        Of both channels.
    n_electrons
        Electrons of both together.
    """
    energies = bands.energies
    weights = np.broadcast_to(bands.weights[:, None, None] / bands.weights.sum(), energies.shape)
    order = np.argsort(energies, axis=None, kind="stable")
    share = weights.ravel()[order]
    filled = np.clip(n_electrons - (np.cumsum(share) - share), 0.0, share)
    up = np.zeros(energies.shape)
    up[:, 0] = 1
    # sums of weights that are no binary fractions leave a rest of some 1e-14
    return round(float(filled @ (2 * up.ravel()[order] - 1)), 9) + 0.0


@dataclass(frozen=True)
class Electrons:
    """How many electrons a frame has, and how many more are up than down (None: not known, or no spin)."""

    all: float
    spin: float | None

    @classmethod
    def of(cls, frame: Frame) -> Electrons:
        """Count those of a frame."""
        return cls(frame.n_electrons, spin_of(frame))

    def __str__(self) -> str:
        spin = "" if self.spin is None else f" with a total spin of {self.spin:.4g}"
        return f"{self.all:.6g} electrons{spin}"

    def require_kept(self, later: Electrons, frame: str, tolerance: float = WHOLE) -> None:
        """Refuse a frame of a series in time that has others.

        Raises
        ------
        InputError
            If their number or the total spin differs by more than `tolerance`.
        """
        apart = abs(self.all - later.all)
        if self.spin is not None and later.spin is not None:
            apart = max(apart, abs(self.spin - later.spin))
        if apart > tolerance:
            raise InputError(
                f"{later}, in the frames before it {self}",
                frame=frame,
                field="n_electrons" if abs(self.all - later.all) > tolerance else "spin",
                remedy="hold charge and total spin along the run (a fixed moment), and make one data set for "
                "each",
            )


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
