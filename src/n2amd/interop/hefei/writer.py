"""A classical path as a run folder of Hefei-NAMD, with initial conditions that the program can run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.config.dynamics import DynamicsSettings
from n2amd.errors import InputError
from n2amd.hopping.dephasing import matrix
from n2amd.hopping.ensemble import start_frames
from n2amd.hopping.path import ClassicalPath, read_couplings
from n2amd.interop.hefei.namelist import Namelist, write_namelist
from n2amd.interop.hefei.programs import PROGRAMS, Code
from n2amd.interop.hefei.text import write_table, write_text
from n2amd.units import HBAR_EV_FS

#: Stands for an infinite dephasing time.
_NEVER_FS = 1e9


def draw_start_frames(
    code: Code, method: str, frames: int, times: int, samples: int, seed: int
) -> NDArray[np.int64]:
    """Draw the start frames of INICON, one from each of `samples` equal parts of what the program can use.

    `namd` and the FSSH of DEV stop (or crash) beyond the last frame, so they must start early enough; both
    DISH programs go on from the beginning. DEV cannot start at the first frame.

    Parameters
    ----------
    code, method
        Program, and `dish` or `fssh`.
    frames, times
        Frames of the trajectory (NSW) and stored times of a run (NAMDTIME).
    samples, seed
        How many, and the seed of the draw.

    Returns
    -------
    NDArray
        Counted from zero, (samples,).

    Raises
    ------
    InputError
        If the trajectory has no place for that many.
    """
    first = 1 if code == "dev" else 0
    stop = frames - 1
    if code in ("namd", "namdk"):
        stop = frames - times
    elif code == "dev" and method == "fssh":
        stop = min(stop, frames - times + 1)
    if stop - first < samples:
        raise InputError(
            f"{frames} frames have room for {max(stop - first, 0)} runs of {times} times, not {samples}",
            field="INICON",
            remedy="run a shorter time (dynamics.duration_fs), fewer samples, or a longer trajectory",
        )
    drawn = first + start_frames(samples, stop - first, seed)
    if len(np.unique(drawn)) < samples:  # parts of hardly a frame each; the programs name files by frame
        drawn = first + np.arange(samples) * (stop - first) // samples
    return drawn


def write(
    folder: Path,
    path: ClassicalPath,
    start: NDArray[np.int64],
    dephasing_time: NDArray[np.float64],
    namelist: Namelist,
    code: Code = "dev",
) -> None:
    """Write EIGTXT, NATXT, INICON, DEPHTIME and inp (all samples start from `path.start`).

    NATXT gets a row a frame, as DEV reads it; the last repeats the last interval. The states of a hole are
    written in ascending order. The public programs also ask for an empty COUPCAR.

    Parameters
    ----------
    folder
        To write into.
    path
        With couplings.
    start
        Start frames, counted from zero.
    dephasing_time
        (n, n), fs.
    namelist
        What is to be in `inp` beside the bands, frames, time step and carrier of the path.
    code
        The program to write for: `dish` reads complex couplings only, the others real ones only.

    Raises
    ------
    InputError
        If the path is a pair's or has no couplings, a program cannot read them, or the bands leave gaps.
    """
    if path.carrier == "pair":
        raise InputError(
            "a run folder of Hefei-NAMD holds the states of one carrier, no pairs",
            field="carrier",
            remedy="export an electron or a hole, or the whole window (pyxaid, libra)",
        )
    if path.nac is None:
        raise InputError("there are no couplings to write", field="nac", remedy="take a path with couplings")
    if np.iscomplexobj(path.nac) and code != "dish":
        raise InputError(
            f"the couplings are complex, which {code} cannot read",
            field="nac",
            remedy="write for the public dish (hefei-dish), or take states at Gamma",
        )
    order = np.argsort(path.band_index)
    bands = path.band_index[order] + 1
    if (np.diff(bands) != 1).any():
        raise InputError(
            f"bands {bands.tolist()} leave gaps", field="band_index", remedy="export neighbouring bands"
        )
    rows, columns = np.ix_(order, order)
    numerator = 2 * path.timestep_fs / HBAR_EV_FS * path.nac[:, rows, columns]
    flat = np.concatenate([numerator, numerator[-1:]]).reshape(len(path.energies), -1)
    write_table(folder / "EIGTXT", path.energies[:, order], "%18.12f")
    if code == "dish":
        pairs = np.ascontiguousarray(flat, dtype=np.complex128).view(np.float64)
        write_table(folder / "NATXT", pairs, " ".join(["(%.15e,%.15e)"] * flat.shape[1]))
    else:
        write_table(folder / "NATXT", flat, "%23.15e")
    start_band = np.full(len(start), path.band_index[path.start] + 1)
    write_table(folder / "INICON", np.c_[start + 1, start_band], "%d")
    # a gap that does not fluctuate never dephases; the programs divide by the time
    write_table(folder / "DEPHTIME", np.minimum(dephasing_time[rows, columns], _NEVER_FS), "%14.6f")
    if code != "dev":
        write_text(folder / "COUPCAR", "")
    told = replace(
        namelist,
        bmin=int(bands[0]),
        bmax=int(bands[-1]),
        nsw=len(path.energies),
        potim=path.timestep_fs,
        nsample=len(start),
        nelm=namelist.nelm or PROGRAMS[code].nelm,
        lhole=path.carrier == "hole",
    )
    write_namelist(folder / "inp", told, code)


def export(
    folder: Path,
    couplings: Path,
    settings: DynamicsSettings,
    code: Code,
    method: str,
    temperature_K: float,
    seed: int,
) -> tuple[int, tuple[int, int]]:
    """Write a couplings file as a run folder, with the initial conditions and times of our own dynamics.

    Parameters
    ----------
    folder
        To write into.
    couplings
        `couplings.h5`.
    settings
        Carrier, samples, trajectories, duration and dephasing time.
    code, method
        Program, and what it is to run; the public programs know one method each.
    temperature_K, seed
        Temperature in inp; seed of the start frames.

    Returns
    -------
    tuple
        Number of frames; first and last band, counted from one.

    Raises
    ------
    InputError
        If the method is unknown, or as for `write` and `draw_start_frames`.
    """
    method = {"namd": "fssh", "dish": "dish"}.get(code, method)
    if method not in ("dish", "fssh"):
        raise InputError(f"unknown method {method!r}", field="--method", remedy="choose dish or fssh")
    path = read_couplings(couplings, settings.carrier)
    times = round(settings.duration_fs / path.timestep_fs) + 1
    frames = len(path.energies)
    namelist = Namelist(
        ntraj=settings.trajectories,
        temp=temperature_K,
        namdtime=times,
        # beyond the trajectory `dish` counts in REALTIME
        realtime=times if code == "dish" else None,
        algo=method.upper() if code == "dev" else None,
    )
    start = draw_start_frames(code, method, frames, times, settings.samples, seed)
    write(folder, path, start, dephasing_times(path, settings.dephasing_time_fs), namelist, code)
    return frames, (int(path.band_index.min()) + 1, int(path.band_index.max()) + 1)


def dephasing_times(path: ClassicalPath, same_fs: float | None) -> NDArray[np.float64]:
    """Return the dephasing times of all pairs, (n, n), fs: one for all, or those of their gaps."""
    if same_fs is not None:
        return same_fs * (1.0 - np.eye(path.states))
    return matrix(path.energies, path.timestep_fs)
