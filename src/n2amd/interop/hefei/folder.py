"""A run folder of Hefei-NAMD as a classical path: EIGTXT, NATXT, INICON, DEPHTIME and inp."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.hopping.checks import check
from n2amd.hopping.path import Carrier, ClassicalPath
from n2amd.interop.hefei.namelist import Namelist, read_namelist
from n2amd.interop.hefei.text import find, parse_table, read_table, read_text, without_comments
from n2amd.units import HBAR_EV_FS


@dataclass(frozen=True)
class HefeiInput:
    """A run folder of Hefei-NAMD.

    Attributes
    ----------
    path
        Energies and couplings; the final state is the first band for electrons, the last for holes.
    start_frames, start_states
        INICON, counted from zero, (samples,).
    dephasing_time
        DEPHTIME, (n, n), fs, or None where there is none.
    namelist
        `inp`.
    files
        The files that were read.
    notes
        What to tell the user of the reading: sentences.
    """

    path: ClassicalPath
    start_frames: NDArray[np.int64]
    start_states: NDArray[np.int64]
    dephasing_time: NDArray[np.float64] | None
    namelist: Namelist
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def read(folder: Path, carrier: Carrier | None = None, default: Carrier = "electron") -> HefeiInput:
    """Read a run folder: EIGTXT, NATXT and INICON, and DEPHTIME and inp where they are.

    Without `inp` the time step is 1 fs. Of longer files only what `inp` names is used: NSW frames, NSAMPLE
    initial conditions. `namd` needs one energy row less than NSW. NATXT may be real or complex.

    Parameters
    ----------
    folder
        With the files.
    carrier
        What moves, whatever LHOLE says.
    default
        What moves where neither `carrier` nor LHOLE says it.

    Raises
    ------
    InputError
        If a file is missing, cut short, or does not fit the others, or pairs are asked for.
    """
    if "pair" in (carrier, default):
        raise InputError(
            "a run folder of Hefei-NAMD holds the states of one carrier, no pairs",
            file=folder,
            field="carrier",
            remedy="choose electron or hole, or start from couplings.h5",
        )
    namelist_file = find(folder, "inp")
    namelist = read_namelist(namelist_file) if namelist_file else Namelist()
    eig_file, nat_file, initial_file = (
        require(folder, name) for name in ("EIGTXT", "NATXT", namelist.tbinit)
    )
    energies = read_energies(eig_file, namelist)
    frames, n = energies.shape
    timestep = namelist.potim or 1.0
    numerator = read_couplings(nat_file, n)
    if len(numerator) < frames - 1:
        raise InputError(
            f"{len(numerator)} rows for the {frames - 1} intervals between the frames of EIGTXT",
            file=nat_file,
            remedy="the file was cut short, or is of another trajectory: make it again",
        )
    if carrier is None:
        carrier = default if namelist.lhole is None else "hole" if namelist.lhole else "electron"
    first_band = namelist.bmin or 1
    # rows beyond the last interval would couple to a frame that EIGTXT does not have
    nac = HBAR_EV_FS / (2 * timestep) * numerator[: frames - 1]
    relative = namelist.program is None or namelist.program.relative_bands
    initial_frames, states = read_initial(initial_file, first_band, n, namelist.nsample, relative=relative)
    if initial_frames.max() >= frames - 1:
        raise InputError(
            f"start frame {initial_frames.max() + 1} of {frames}",
            file=initial_file,
            remedy="start before the last frame",
        )
    dephasing_file = find(folder, namelist.diinit)
    path = ClassicalPath(
        energies=energies,
        timestep_fs=timestep,
        carrier=carrier,
        band_index=first_band - 1 + np.arange(n),
        start=int(states[0]),
        final=0 if carrier == "electron" else n - 1,
        nac=nac,
    )
    files = (eig_file, nat_file, initial_file, dephasing_file, namelist_file)
    return HefeiInput(
        check(path, eig_file),
        initial_frames,
        states,
        read_dephasing(dephasing_file, n) if dephasing_file else None,
        namelist,
        tuple(file for file in files if file),
        _notes(namelist, folder, int(initial_frames.max()) + 1, frames),
    )


def _notes(namelist: Namelist, folder: Path, last_start: int, frames: int) -> tuple[str, ...]:
    """Sentences on what is done here and not by the program; `last_start` counts from one."""
    program, notes = namelist.program, []
    if program is None:
        return (f"{folder}: there is no inp, so the time step is 1 fs and settings say the rest",)
    if namelist.note is not None:
        notes.append(namelist.note)
    method = namelist.method or program.method
    available = namelist.nsw or frames
    # namd and namdK also need the interval after the last time
    end = last_start + (namelist.times or program.namdtime or 1) - (1 if namelist.code == "dev" else 0)
    if method not in program.wraps and end > available:
        notes.append(
            f"{folder}: the run from frame {last_start} needs frame {end} of {available}; {program.title} "
            "stops or reads beyond its arrays there, here it goes on from the first frame"
        )
    return tuple(notes)


def read_energies(file: Path, namelist: Namelist) -> NDArray[np.float64]:
    """Energies of EIGTXT, (frames, n), eV: as many frames as `inp` says; raises InputError if fewer."""
    known = None not in (namelist.bmin, namelist.bmax, namelist.nsw)
    energies = read_table(file, _bands(namelist) if known else None)
    frames, n = energies.shape
    if None not in (namelist.bmin, namelist.bmax) and _bands(namelist) != n:
        raise InputError(
            f"{n} columns, inp has bands {namelist.bmin}..{namelist.bmax}",
            file=file,
            field="BMIN, BMAX",
            remedy="correct inp",
        )
    # the public FSSH program reads no energies of the last frame
    needed = None if namelist.nsw is None else namelist.nsw - (namelist.code == "namd")
    if needed is not None and frames < needed:
        raise InputError(
            f"{frames} rows of {n} energies, inp has NSW = {namelist.nsw}",
            file=file,
            field="NSW",
            remedy="correct inp, or make the file again if it was cut short",
        )
    return energies[: namelist.nsw]


def _bands(namelist: Namelist) -> int:
    assert namelist.bmin is not None
    assert namelist.bmax is not None
    return namelist.bmax - namelist.bmin + 1


def read_couplings(file: Path, n: int) -> NDArray:
    """Read NATXT, (rows, n, n), dimensionless; complex where it is written as (re,im) pairs.

    Raises
    ------
    InputError
        If rows are not n x n numbers, or are no difference of overlaps.
    """
    text = without_comments(read_text(file))
    is_complex = "(" in text
    values: NDArray = parse_table(text, file, (2 if is_complex else 1) * n * n)
    found = values.shape[1] // 2 if is_complex else values.shape[1]
    if found != n * n:
        raise InputError(
            f"{found} columns, {n} bands need {n * n}",
            file=file,
            remedy="take EIGTXT and NATXT of one run",
        )
    if is_complex:
        values = values[:, ::2] + 1j * values[:, 1::2]
    matrices = values.reshape(-1, n, n)
    error = np.abs(matrices + matrices.conj().swapaxes(1, 2)).max(axis=(1, 2))
    if error.max() > 1e-6:
        raise InputError(
            f"not anti-Hermitian (by {error.max():.1e})",
            file=file,
            frame=int(error.argmax()) + 1,
            remedy="write <i(t)|j(t+dt)> - <j(t)|i(t+dt)>, i slow and j fast",
        )
    largest = np.abs(matrices).max(axis=(1, 2))
    if largest.max() > 2:
        raise InputError(
            f"{largest.max():.3g} is no difference of two overlaps, which is 2 at most",
            file=file,
            frame=int(largest.argmax()) + 1,
            remedy="the file must hold 2 dt d, without unit, not the coupling in meV or 1/fs",
        )
    return matrices


def read_initial(
    file: Path, first_band: int, n: int, samples: int | None = None, *, relative: bool = True
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read INICON as frames and states counted from zero.

    Bands are absolute numbers; if the first is below `first_band` (BMIN) they count within the window, as DEV
    has it. The public programs do not (`relative` false): they subtract BMIN whatever the number.

    Raises
    ------
    InputError
        If there are fewer rows than `samples`, or something counts from zero or is outside the window.
    """
    # programs read two numbers of a line, whatever follows them
    table = read_table(file, first=2, only=samples)
    if table.shape[1] < 2 or (table != np.round(table)).any() or np.abs(table).max() > 2**31:
        raise InputError(
            "rows are not two whole numbers", file=file, remedy="give frame and band, both counted from one"
        )
    if samples is not None and len(table) < samples:
        raise InputError(
            f"{len(table)} rows, inp has NSAMPLE = {samples}",
            file=file,
            field="NSAMPLE",
            remedy="correct inp",
        )
    frames, bands = table[:, 0].astype(np.int64) - 1, table[:, 1].astype(np.int64)
    counted_from = 1 if relative and bands[0] < first_band else first_band
    states = bands - counted_from
    if frames.min() < 0:
        raise InputError(
            f"row {frames.argmin() + 1}: frame {frames.min() + 1}", file=file, remedy="frames count from one"
        )
    outside = (states < 0) | (states >= n)
    if outside.any():
        row = int(outside.argmax())
        raise InputError(
            f"row {row + 1}: band {bands[row]} is none of the {n} bands from {counted_from}",
            file=file,
            remedy="give absolute bands, the first of the window is BMIN of inp"
            + (", or all within the window, counted from one" if relative else ""),
        )
    return frames, states


def read_dephasing(file: Path, n: int) -> NDArray[np.float64]:
    """Read DEPHTIME, (n, n), fs, with the diagonal set to zero.

    Raises
    ------
    InputError
        If it is not n x n or not symmetric, or a time is not positive.
    """
    times = read_table(file, n)
    if times.size != n * n:
        raise InputError(f"{times.shape} times for {n} bands", file=file, remedy=f"give {n} x {n}")
    times = times.reshape(n, n)
    apart = ~np.eye(n, dtype=bool)
    if times[apart].min() <= 0:
        i, j = np.argwhere((times <= 0) & apart)[0]
        raise InputError(
            f"{times[i, j]:g} fs between bands {i + 1} and {j + 1}",
            file=file,
            remedy="give a positive time for every pair; only the diagonal is zero",
        )
    uneven = np.abs(times - times.T) > 1e-3 * np.maximum(times, times.T)
    if uneven[apart].any():
        i, j = np.argwhere(uneven & apart)[0]
        raise InputError(
            f"{times[i, j]:g} fs between bands {i + 1} and {j + 1}, but {times[j, i]:g} fs the other way",
            file=file,
            remedy="a dephasing time belongs to a pair of bands: give one of the two twice",
        )
    return times * apart


def require(folder: Path, name: str) -> Path:
    """Return a file of the run folder, compressed or not; raises InputError if it is missing."""
    file = find(folder, name)
    if file is None:
        raise InputError(
            "the file does not exist", file=folder / name, remedy="give a run folder of Hefei-NAMD"
        )
    return file
