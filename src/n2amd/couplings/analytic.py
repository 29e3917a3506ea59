"""Couplings of tracked states from those of each frame along its velocities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from n2amd.couplings.nac import adjoint
from n2amd.errors import InputError
from n2amd.units import HBAR_EV_FS


def couplings_of_motion(
    velocity_couplings: NDArray, gauge: NDArray, cluster: NDArray[np.int64], timestep: float
) -> NDArray:
    """Return hbar d_ij at t + dt/2, the mean of both frames, (F - 1, w, w), eV; anti-Hermitian.

    Parameters
    ----------
    velocity_couplings
        <i|d/dt j> of each frame's eigenvectors, (F, w, w), 1/fs.
    gauge
        Tracked states in terms of them, continuous in time, (F, w, w).
    cluster
        Cluster of each eigenvector, (F, w). States of a cluster are transported together, which is to say
        that they do not turn into each other: the couplings between them are zero.
    timestep
        dt, fs.

    Raises
    ------
    InputError
        If states turn into each other by more than half a turn in a step.
    """
    apart = cluster[:, :, None] != cluster[:, None, :]
    here = adjoint(gauge) @ (velocity_couplings * apart) @ gauge
    mean = (here[:-1] + here[1:]) / 2
    # states that become one cluster are parallel to those before
    of_arrival = gauge[1:] @ mean @ adjoint(gauge[1:])
    found = HBAR_EV_FS * (adjoint(gauge[1:]) @ (of_arrival * apart[1:]) @ gauge[1:])
    _check_resolved(found, timestep)
    return found


def _check_resolved(nac: NDArray, timestep: float) -> None:
    limit = np.pi * HBAR_EV_FS / timestep
    frame, i, j = np.unravel_index(int(np.abs(nac).argmax()), nac.shape)
    if (largest := abs(nac[frame, i, j])) > limit:
        raise InputError(
            f"states {i} and {j} of the window pass so near to each other that their analytic coupling, "
            f"{largest:.3g} eV, turns them by more than half a turn in {timestep:g} fs",
            frame=int(frame),
            field="couplings.degeneracy_meV",
            remedy="raise it, so that such states are transported together, or choose couplings.scheme: hst",
        )
