"""Files of Hefei-NAMD (public and DEV), in and out: EIGTXT, NATXT, INICON, DEPHTIME, inp, SHPROP.

NATXT holds <i(t)|j(t+dt)> - <j(t)|i(t+dt)>, dimensionless, a frame a line, i slow and j fast: 2 dt d_ij.
Frames and bands in INICON count from one. Text files may be compressed (.xz), and are found under either
name.
"""

from __future__ import annotations

import io
import lzma
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from n2amd.errors import InputError
from n2amd.hopping.path import Carrier, ClassicalPath, check
from n2amd.storage import atomic_path
from n2amd.units import HBAR_EV_FS


@dataclass(frozen=True)
class Namelist:
    """What `inp` says, in the words of its &NAMDPARA group; None where it does not.

    Keys of both codes are understood; those that concern neither bands, path nor dynamics are read and left
    alone.
    """

    bmin: int | None = None
    bmax: int | None = None
    nsw: int | None = None
    potim: float | None = None
    ntraj: int | None = None
    nelm: int | None = None
    temp: float | None = None
    namdtime: int | None = None
    nsample: int | None = None
    lhole: bool | None = None
    algo: str | None = None


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
    """

    path: ClassicalPath
    start_frames: NDArray[np.int64]
    start_states: NDArray[np.int64]
    dephasing_time: NDArray[np.float64] | None
    namelist: Namelist
    files: tuple[Path, ...]


def find(folder: Path, name: str) -> Path | None:
    """The file of that name in a folder, plain or compressed."""
    return next((file for file in (folder / name, folder / f"{name}.xz") if file.exists()), None)


def read(folder: Path, carrier: Carrier | None = None) -> HefeiInput:
    """Read a run folder: EIGTXT, NATXT and INICON, and DEPHTIME and inp where they are.

    Without `inp` the time step is 1 fs and the carrier an electron, as in Hefei-NAMD. NATXT may be real or
    complex.

    Raises
    ------
    InputError
        If a file is missing or does not fit the others.
    """
    namelist_file = find(folder, "inp")
    namelist = read_namelist(namelist_file) if namelist_file else Namelist()
    eig_file, nat_file, initial_file = (_require(folder, name) for name in ("EIGTXT", "NATXT", "INICON"))
    energies = read_table(eig_file)
    frames, n = energies.shape
    if namelist.bmin is not None and namelist.bmax is not None and namelist.bmax - namelist.bmin + 1 != n:
        raise InputError(
            f"{n} columns, inp has bands {namelist.bmin}..{namelist.bmax}",
            file=eig_file,
            field="BMIN, BMAX",
            remedy="correct inp",
        )
    timestep = namelist.potim or 1.0
    numerator = read_couplings(nat_file, n)
    if len(numerator) < frames - 1:
        raise InputError(
            f"{len(numerator)} rows for the {frames - 1} intervals between the frames of EIGTXT",
            file=nat_file,
            remedy="take both files from the same trajectory",
        )
    if carrier is None:
        carrier = "hole" if namelist.lhole else "electron"
    first_band = namelist.bmin or 1
    # rows beyond the last interval would couple to a frame that EIGTXT does not have
    nac = HBAR_EV_FS / (2 * timestep) * numerator[: frames - 1]
    start_frames, start_states = read_initial(initial_file, first_band, n)
    dephasing_file = find(folder, "DEPHTIME")
    dephasing = read_table(dephasing_file) if dephasing_file else None
    if dephasing is not None and dephasing.shape != (n, n):
        raise InputError(
            f"{dephasing.shape} times for {n} bands", file=dephasing_file, remedy=f"give {n} x {n}"
        )
    path = ClassicalPath(
        energies=energies,
        timestep_fs=timestep,
        carrier=carrier,
        band_index=first_band - 1 + np.arange(n),
        start=int(start_states[0]),
        final=0 if carrier == "electron" else n - 1,
        nac=nac,
    )
    files = (eig_file, nat_file, initial_file, dephasing_file, namelist_file)
    return HefeiInput(
        check(path, eig_file), start_frames, start_states, dephasing, namelist, tuple(f for f in files if f)
    )


def read_table(file: Path) -> NDArray[np.float64]:
    """Read rows of numbers (EIGTXT, DEPHTIME, SHPROP).

    Raises
    ------
    InputError
        If it is not a table of numbers.
    """
    try:
        with _open(file) as stream:
            return np.loadtxt(stream, ndmin=2)
    except ValueError as error:
        raise InputError(f"not a table of numbers ({error})", file=file, remedy="check the file") from None


def read_couplings(file: Path, n: int) -> NDArray:
    """Read NATXT, (rows, n, n), dimensionless; complex where it is written as (re,im) pairs.

    Raises
    ------
    InputError
        If rows are not n x n numbers, or are not anti-Hermitian.
    """
    with _open(file) as stream:
        is_complex = "(" in stream.read(256)
    if is_complex:
        with _open(file) as stream:
            numbers = re.sub(r"[(),]", " ", stream.read())
        flat = np.loadtxt(io.StringIO(numbers), ndmin=2)
        values: NDArray = flat[:, ::2] + 1j * flat[:, 1::2]
    else:
        values = read_table(file)
    if values.shape[1] != n * n:
        raise InputError(
            f"{values.shape[1]} columns, {n} bands need {n * n}",
            file=file,
            remedy="take EIGTXT and NATXT of one run",
        )
    matrices = values.reshape(-1, n, n)
    error = np.abs(matrices + matrices.conj().swapaxes(1, 2)).max(axis=(1, 2))
    if error.max() > 1e-6:
        raise InputError(
            f"not anti-Hermitian (by {error.max():.1e})",
            file=file,
            frame=int(error.argmax()),
            remedy="write <i(t)|j(t+dt)> - <j(t)|i(t+dt)>, i slow and j fast",
        )
    return matrices


def read_initial(file: Path, first_band: int, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read INICON as frames and states counted from zero.

    Bands are absolute numbers; all below `first_band` (BMIN) they count within the window, as DEV has it.
    """
    table = read_table(file).astype(np.int64)
    frames, bands = table[:, 0] - 1, table[:, 1]
    states = bands - (1 if bands[0] < first_band else first_band)
    if frames.min() < 0 or states.min() < 0 or states.max() >= n:
        raise InputError(
            f"frame {frames.min() + 1}, bands {bands.min()}..{bands.max()}, {n} bands from {first_band}",
            file=file,
            remedy="frames and bands count from one",
        )
    return frames, states


def read_namelist(file: Path) -> Namelist:
    """Read the &NAMDPARA group of `inp`.

    Raises
    ------
    InputError
        If there is no such group or a value cannot be read.
    """
    with _open(file) as stream:
        text = re.sub(r"!.*", "", stream.read())
    group = re.search(r"&NAMDPARA\b(.*?)(^\s*/|&END)", text, re.IGNORECASE | re.DOTALL | re.MULTILINE)
    if group is None:
        raise InputError("no group &NAMDPARA ... /", file=file, remedy="write one")
    values: dict[str, Any] = {}
    for key, value in re.findall(r"(\w+)\s*=\s*([^\s,]+)", group.group(1)):
        key = key.lower()
        kind = _KINDS.get(key)
        if kind is None:
            continue
        try:
            values[key] = kind(value)
        except (ValueError, KeyError):
            raise InputError(
                f"{value!r} cannot be read", file=file, field=key.upper(), remedy="correct it"
            ) from None
    return Namelist(**values)


def write(
    folder: Path,
    path: ClassicalPath,
    start_frames: NDArray[np.int64],
    dephasing_time: NDArray[np.float64],
    namelist: Namelist,
) -> None:
    """Write EIGTXT, NATXT, INICON, DEPHTIME and inp for DEV (all samples start from `path.start`).

    NATXT gets a row a frame, as DEV reads it; the last repeats the last interval. The states of a hole are
    written in ascending order.

    Raises
    ------
    InputError
        If the path has no couplings.
    """
    if path.nac is None:
        raise InputError("there are no couplings to write", field="nac", remedy="take a path with couplings")
    order = np.argsort(path.band_index)
    square = np.ix_(order, order)
    numerator = 2 * path.timestep_fs / HBAR_EV_FS * path.nac[:, square[0], square[1]]
    rows = np.concatenate([numerator, numerator[-1:]]).reshape(len(path.energies), -1)
    _write_table(folder / "EIGTXT", path.energies[:, order], "%16.10f")
    if np.iscomplexobj(rows):
        pairs = np.ascontiguousarray(rows, dtype=np.complex128).view(np.float64)
        _write_table(folder / "NATXT", pairs, " ".join(["(%.15e,%.15e)"] * rows.shape[1]))
    else:
        _write_table(folder / "NATXT", rows, "%23.15e")
    band = int(path.band_index[path.start]) + 1
    _write_table(folder / "INICON", np.c_[start_frames + 1, np.full(len(start_frames), band)], "%d")
    _write_table(folder / "DEPHTIME", dephasing_time[square], "%12.4f")
    known = {
        "BMIN": int(path.band_index.min()) + 1,
        "BMAX": int(path.band_index.max()) + 1,
        "NSW": len(path.energies),
        "POTIM": path.timestep_fs,
        "NSAMPLE": len(start_frames),
        "NTRAJ": namelist.ntraj,
        "NELM": namelist.nelm,
        "TEMP": namelist.temp,
        "NAMDTIME": namelist.namdtime,
        "LHOLE": ".TRUE." if path.carrier == "hole" else ".FALSE.",
        "ALGO": f'"{namelist.algo}"' if namelist.algo else None,
        "LCPTXT": ".TRUE.",
    }
    lines = [f"  {key} = {value}" for key, value in known.items() if value is not None]
    _write_text(folder / "inp", "\n".join(["&NAMDPARA", *lines, "/", ""]))


def read_shprop(file: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Read SHPROP of any of the codes: time (fs), mean energy (eV), populations (times, n)."""
    table = read_table(file)
    return table[:, 0], table[:, 1], table[:, 2:]


def write_shprop(
    folder: Path,
    path: ClassicalPath,
    start_frames: NDArray[np.int64],
    population: NDArray[np.float64],
    stride: int = 1,
) -> list[Path]:
    """Write SHPROP.<t0> of every start frame in DEV's format, and return the files.

    DEV counts time from one step, not from zero. Samples with the same start frame are averaged.
    """
    steps = np.arange(population.shape[1]) * stride
    files = []
    for frame in np.unique(start_frames):
        mean = population[start_frames == frame].mean(axis=0)
        energy = np.sum(mean * path.energies[path.frames_along(int(frame), steps)], axis=1)
        table = np.c_[(steps + 1) * path.timestep_fs, energy, mean]
        file = folder / f"SHPROP.{frame + 1}"
        _write_table(file, table, "%13.2f" + "%11.6f" * (mean.shape[1] + 1))
        files.append(file)
    return files


def _logical(text: str) -> bool:
    return {"T": True, "F": False}[text.strip(".").upper()[:1]]


def _number(text: str) -> float:
    return float(text.lower().replace("d", "e"))


_KINDS: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("bmin", "bmax", "nsw", "ntraj", "nelm", "namdtime", "nsample"), int),
    **dict.fromkeys(("potim", "temp"), _number),
    "lhole": _logical,
    "algo": lambda text: text.strip("\"'"),
}


def _require(folder: Path, name: str) -> Path:
    file = find(folder, name)
    if file is None:
        raise InputError(
            "the file does not exist", file=folder / name, remedy="give a run folder of Hefei-NAMD"
        )
    return file


@contextmanager
def _open(file: Path) -> Iterator[IO[str]]:
    with lzma.open(file, "rt") if file.suffix == ".xz" else open(file) as stream:
        yield stream


def _write_table(file: Path, rows: NDArray, form: str) -> None:
    with atomic_path(file) as part:
        np.savetxt(part, rows, fmt=form)


def _write_text(file: Path, text: str) -> None:
    with atomic_path(file) as part:
        part.write_text(text)
