"""What certifies that certain states, and all of them, were found."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from n2amd.states.solvers.device_pencil import DevicePencil
from n2amd.states.solvers.lanczos import Anchor

#: Levels closer than this (eV) are not told apart by a count of states between them.
TOO_CLOSE_EV = 1e-5


class CertificateError(Exception):
    """States were found, but a certificate says that they are not the ones asked for."""


@dataclass(frozen=True)
class Tolerances:
    """Largest accepted errors: ||(H - E S) c||, eV; |C^dagger S C - 1|."""

    residual: float = 1e-5
    orthonormality: float = 1e-10


@dataclass(frozen=True)
class Certificate:
    """What is known of the states of one frame.

    Attributes
    ----------
    shift, inertia
        Energy between states (eV) and the number of states below it, by Sylvester's law: the absolute index
        of the first state above.
    residual
        Largest ||(H - E S) c||, eV.
    orthonormality_error
        Largest element of |C^dagger S C - 1|.
    ends_counted
        Whether states were also counted at both ends of the window, so that none inside can be missing.
    steps, factorisations
        What it took.
    """

    shift: float
    inertia: int
    residual: float
    orthonormality_error: float
    ends_counted: bool
    steps: int
    factorisations: int


@dataclass(frozen=True)
class CertifiedStates:
    """Energies (w,), eV, C and S C (n, w) in torch, ascending, and what certifies them.

    Attributes
    ----------
    anchor
        What `correct_states` needs for similar frames, together with the solver, which holds the factor; None
        where it was not asked for, or two shifts were needed.
    """

    energies: torch.Tensor
    states: torch.Tensor
    overlap_states: torch.Tensor
    certificate: Certificate
    anchor: Anchor | None = None


def measure(
    pencil: DevicePencil, energies: torch.Tensor, states: torch.Tensor, overlap_states: torch.Tensor
) -> tuple[float, float]:
    """Largest residual (eV) and error of S-orthonormality, from H and S alone."""
    left = pencil.hamiltonian(states) - overlap_states * energies
    one = torch.eye(len(energies), dtype=states.dtype, device=states.device)
    error = (states.mH @ pencil.overlap(states) - one).abs().max()
    return float(left.norm(dim=0).max()), float(error)


def check_errors(residual: float, orthonormality: float, tolerances: Tolerances) -> None:
    """Raise `CertificateError` where an error is above its tolerance or not a number."""
    if not residual <= tolerances.residual:
        raise CertificateError(f"the residual is {residual:.1e} eV (tolerance {tolerances.residual:.0e})")
    if not orthonormality <= tolerances.orthonormality:
        raise CertificateError(
            f"states are S-orthonormal only to {orthonormality:.1e} "
            f"(tolerance {tolerances.orthonormality:.0e})"
        )


def check_sides(energies: torch.Tensor, shift: float, below: int) -> None:
    """Raise `CertificateError` unless `below` of the states lie below the shift."""
    found = int((energies < shift).sum())
    if found != below:
        raise CertificateError(
            f"{found} of the states lie below the shift {shift:.4f} eV, not {below}: they are not the "
            "states that were counted"
        )


def check_count(found: int, counted: int, energy: float) -> None:
    """Raise `CertificateError` where a count of states contradicts the index of the states found."""
    if found != counted:
        raise CertificateError(
            f"{counted} states lie below {energy:.4f} eV, where the states found say {found}: "
            "some are missing or false"
        )


def counting_energy(energies: torch.Tensor, outermost: int, inwards: int) -> tuple[int, float]:
    """Where to count states at one end of a window.

    Parameters
    ----------
    energies
        Of the states found, ascending, (w,), eV.
    outermost
        Of two neighbouring states, the place of the lower one, at the end of the window.
    inwards
        +1 at the lower end, -1 at the upper one.

    Returns
    -------
    place, energy
        The lower of the two states that the energy (eV) is in the middle of: those at the end, or where
        these are one level, the next two that are not.
    """
    gaps = torch.diff(energies).tolist()
    place = outermost
    while gaps[place] < TOO_CLOSE_EV:
        place += inwards
        if not 0 <= place < len(gaps):
            raise CertificateError("all states are one level")
    return place, float(energies[place] + energies[place + 1]) / 2
