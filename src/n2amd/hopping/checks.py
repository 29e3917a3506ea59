"""What a classical path and a plan of surface hopping must satisfy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from n2amd.couplings.checks import check_couplings, check_energies, check_overlaps, check_timestep
from n2amd.errors import InputError

if TYPE_CHECKING:
    from n2amd.hopping.path import ClassicalPath

#: A waiting time is one step at least, so that a dephasing time below this share of a step means nothing.
_SHORTEST_DEPHASING = 0.5


def check(path: ClassicalPath, file: str | Path) -> ClassicalPath:
    """Return the path if its numbers make sense.

    Raises
    ------
    InputError
        If there are fewer than 2 frames or states, values that are not finite, overlaps or couplings of
        another shape or that cannot be, or a time step that is not positive.
    """
    frames, states = (*path.energies.shape, 0, 0)[:2]
    check_timestep(path.timestep_fs, file)
    check_energies(path.energies, file)
    if path.overlap is not None:
        check_overlaps(path.overlap, frames, states, file)
    if path.nac is not None:
        check_couplings(path.nac, path.timestep_fs, frames, states, file)
    return path


def check_gap(path: ClassicalPath, file: str | Path, field: str = "energies") -> None:
    """Raise `InputError` where a state lies beyond the one that the carrier recombines to.

    Parameters
    ----------
    path
        Of one carrier or a pair that recombines to `path.final`, with the scissor that the dynamics have.
    file, field
        Named in the error.
    """
    others = [state for state in range(path.states) if state != path.final]
    gaps = path.sign * (path.energies[:, others] - path.energies[:, [path.final]])
    if gaps.min() > 0:
        return
    frame, column = np.unravel_index(gaps.argmin(), gaps.shape)
    raise InputError(
        f"the gap between {path.label(path.final)} and {path.label(others[column])} is "
        f"{gaps.min() + 0.0:.4f} eV",
        file=file,
        frame=int(frame),
        field=field,
        remedy="a closed gap has no recombination lifetime: check the states and the electron count, or open "
        "it with a scissor",
    )


def check_dephasing(
    times_fs: NDArray[np.float64],
    timestep_fs: float,
    file: str | Path | None = None,
    field: str | None = None,
) -> NDArray[np.float64]:
    """Return dephasing times of pairs of states, (n, n), fs, that dynamics with this time step can have.

    Infinite times are those of gaps that do not fluctuate.

    Raises
    ------
    InputError
        If a time off the diagonal is not positive, or less than half a time step.
    """
    apart = ~np.eye(len(times_fs), dtype=bool)
    # written so that NaN is refused
    wrong = ~(times_fs >= _SHORTEST_DEPHASING * timestep_fs) & apart
    if wrong.any():
        i, j = map(int, np.argwhere(wrong)[0])
        raise InputError(
            f"{times_fs[i, j]:g} fs of dephasing between states {i} and {j} is too short for time steps of "
            f"{timestep_fs:g} fs",
            file=file,
            field=field,
            remedy="decoherence comes after one step at least: where states of some frames are false (the "
            "logs of `states solve` name them) train on larger cells; else take frames that are closer in "
            "time, or check the time (it is in fs)",
        )
    return times_fs
